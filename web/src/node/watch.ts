/** What is going on at the server, for people: tasks, and the rounds of one. One tab asks for all of a browser profile,
 *  without waiting; how often depends on whether anybody looks. */
import type { Trouble } from '../messages';
import { Refused } from '../refused';
import { LATER } from './answers';
import type { Connection } from './connection';
import { sleep } from './patience';
import type { TaskSummary, TaskView } from './protocol';
import { watchLock, type Locks } from './standing';

/** How often a tab that is seen wants news, and one that is not, in milliseconds. */
const SEEN_MS = 4000;
const HIDDEN_MS = 30_000;
/** Asked for more often than this, the news is still new, in milliseconds. */
const NEW_MS = 2000;
const AWAY = 'no_server';
/** Of so many tasks at most the details are read at a time. */
const DETAILS = 20;

export interface News {
  readonly tasks: readonly TaskSummary[];
  /** By task: spec and rounds, as far as they have been read. */
  readonly views: Readonly<Record<string, TaskView>>;
  /** By data set of the catalogue, in the order of the labels. */
  readonly classNames: Readonly<Record<string, readonly string[]>>;
}

/** What tabs say to each other. */
type Word =
  | { readonly ask: string | null; readonly now: boolean }
  | { readonly news: News }
  | { readonly lost: Trouble };

/** The part of a `BroadcastChannel` that is used here. */
export interface Channel {
  postMessage(word: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
  close(): void;
}

export class Watch {
  /** The task whose rounds this tab shows. */
  private focus: string | null = null;
  private seen = true;
  /** While this tab asks for all. */
  private turn: AbortController | null = null;
  private askedAt = -Infinity;
  private polling: Promise<void> | null = null;
  private readonly wanted = new Set<string>();
  private readonly views = new Map<string, TaskView>();
  private readonly classNames = new Map<string, readonly string[]>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly over = new AbortController();

  constructor(
    private readonly connection: Pick<Connection, 'readJson'>,
    locks: Locks,
    private readonly channel: Channel,
    base: string,
    private readonly onNews: (news: News) => void,
    private readonly onLost: (trouble: Trouble) => void,
  ) {
    channel.onmessage = ({ data }) => this.hear(data as Word);
    void this.takeTurns(locks, watchLock(base));
    this.tick();
  }

  look(taskId: string): void {
    this.focus = taskId;
    this.refresh();
  }

  set visible(visible: boolean) {
    this.seen = visible;
    this.tick();
  }

  refresh(): void {
    this.ask(true);
  }

  close(): void {
    clearTimeout(this.timer);
    this.over.abort();
    this.channel.close();
  }

  /** Asks for all tabs while the lock is held; one that the server refuses lets another try, perhaps with a token. */
  private async takeTurns(locks: Locks, lock: string): Promise<void> {
    const { signal } = this.over;
    const hold = async (): Promise<void> => {
      this.turn = new AbortController();
      this.refresh();
      await sleep(Infinity, AbortSignal.any([signal, this.turn.signal]));
    };
    while (!signal.aborted) {
      await locks.request(lock, { signal }, hold).catch(() => undefined);
      this.turn = null;
      await sleep(SEEN_MS / 1000, signal).catch(() => undefined);
    }
  }

  private tick(): void {
    clearTimeout(this.timer);
    this.ask(false);
    this.timer = setTimeout(() => this.tick(), this.seen ? SEEN_MS : HIDDEN_MS);
  }

  private ask(now: boolean): void {
    const word: Word = { ask: this.focus, now };
    if (this.over.signal.aborted) {
      return; // the channel is closed
    }
    if (this.turn) {
      this.hear(word);
    } else {
      this.channel.postMessage(word);
    }
  }

  private hear(word: Word): void {
    if ('news' in word) {
      this.onNews(word.news);
    } else if ('lost' in word) {
      this.onLost(word.lost);
    } else if (this.turn) {
      if (word.ask !== null) {
        this.wanted.add(word.ask);
      }
      if (word.now || performance.now() - this.askedAt > NEW_MS) {
        this.polling ??= this.poll().finally(() => (this.polling = null));
      }
    }
  }

  private async poll(): Promise<void> {
    this.askedAt = performance.now();
    let word: Word;
    try {
      word = { news: await this.read() };
    } catch (error) {
      const lost = lostBy(error);
      if (lost.code !== AWAY) {
        // It is about this tab, by its token say: another one may be luckier.
        this.turn?.abort();
        return this.over.signal.aborted ? undefined : this.onLost(lost);
      }
      word = { lost };
    }
    if (!this.over.signal.aborted) {
      this.channel.postMessage(word);
      this.hear(word);
    }
  }

  private async read(): Promise<News> {
    const asked = { once: true, signal: this.over.signal };
    const tasks = (await this.connection.readJson('potluck://tasks', asked)) as TaskSummary[];
    const open = tasks.filter(({ state }) => state !== 'finished' && state !== 'cancelled');
    const unknown = open.map(({ task_id: id }) => id).filter((id) => !this.views.has(id));
    for (const id of new Set([...unknown.slice(0, DETAILS), ...this.wanted])) {
      this.wanted.delete(id);
      if (tasks.some((task) => task.task_id === id)) {
        this.views.set(id, (await this.connection.readJson(`potluck://tasks/${id}`, asked)) as TaskView);
      }
    }
    for (const id of new Set(tasks.map(({ data }) => data))) {
      if (id !== 'own' && !id.startsWith('hf:') && !this.classNames.has(id)) {
        const card = await this.connection.readJson(`potluck://datasets/${id}`, asked).catch(unlessRefused);
        this.classNames.set(id, (card as Card | null)?.class_names ?? []);
      }
    }
    return { tasks, views: Object.fromEntries(this.views), classNames: Object.fromEntries(this.classNames) };
  }
}

/** What the catalogue says of a data set, as far as it is shown. */
interface Card {
  readonly class_names?: readonly string[];
}

/** Nothing, where the server says no. */
const unlessRefused = (error: unknown): null => {
  if (error instanceof Refused && !LATER.has(error.code)) {
    return null;
  }
  throw error;
};

/** Why there is no news: the server's word against this tab, or none from it that counts. */
function lostBy(error: unknown): Trouble {
  if (error instanceof Refused && !LATER.has(error.code)) {
    return error.trouble;
  }
  const why = error instanceof Error ? error.message : String(error);
  const mend = 'check that it runs and that this device is online; the page goes on by itself when it is back';
  return { code: AWAY, problem: `No answer from the server (${why}).`, mend };
}
