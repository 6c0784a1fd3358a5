/** The worker's desk: takes the page's commands and tells what comes of them. No failure stays silent. */
import type { Engine } from '../engine/types';
import type { Command, Rehearsal, Report, Trouble } from '../messages';
import { Refused } from '../refused';
import { Connection, type Address } from './connection';
import { Device } from './device';
import type { Folder } from './folder';
import { openIdentity } from './identity';
import type { Keyring } from './keyring';
import { Node, orderKey, type Order } from './node';
import type { Parts } from './parts';
import { onWake } from './patience';
import { cardOf, roundsOf } from './picker';
import type { TaskView } from './protocol';
import { nodeLock, type Locks } from './standing';
import { Store } from './store';
import { Teller } from './teller';
import { Watch, type Channel, type News } from './watch';

/** What the browser gives to pages of a secure origin. */
export interface Browser {
  readonly locks: Locks;
  openKeyring(): Promise<Keyring>;
  /** Null where there is no private file system. */
  readonly files: (() => Promise<Folder>) | null;
  openChannel(name: string): Channel;
}

export type Rehearse = (
  engine: Engine,
  rehearsal: Rehearsal,
  base: string,
  tell: (report: Report) => void,
  signal: AbortSignal,
) => Promise<void>;

type Opening = Extract<Command, { readonly type: 'open' }>;

/** Everything that `open` opens but the engine, which may take seconds to be measured. */
interface Opened {
  readonly address: Address;
  readonly connection: Connection;
  readonly keyring: Keyring;
  readonly store: Store;
  readonly watch: Watch;
  readonly device: Promise<Device>;
}

/** Through what news came. */
interface Heard {
  readonly connection: Connection;
  readonly keyring: Keyring;
  readonly store: Store;
  readonly base: string;
}

export class Desk {
  private readonly tell: Teller;
  private opening: Promise<Opened> | null = null;
  private node: Node | null = null;
  private rehearsal: AbortController | null = null;
  private shown: string | null = null;
  private mayTrain: boolean | null = null;
  /** The code of why there is no news; null while there is. */
  private lost: string | null = null;
  private stored = '';

  /** `browser`: null where the origin is not secure, for then there is next to nothing. */
  constructor(
    post: (report: Report) => void,
    private readonly parts: Parts,
    private readonly rehearse: Rehearse,
    private readonly browser: Browser | null,
  ) {
    this.tell = new Teller(post);
  }

  async take(command: Command): Promise<void> {
    try {
      await this.obey(command);
    } catch (error) {
      this.tell.trouble(error);
    }
  }

  private async obey(command: Command): Promise<void> {
    if (command.type === 'open') {
      this.opening = this.opening === null ? this.open(command) : this.reopen(command, this.opening);
      const opened = await this.opening;
      await opened.device;
      return this.goOn(opened);
    }
    if (this.opening === null) {
      throw new Refused('internal', 'The page asked before it opened the worker.', 'reload the page');
    }
    const opened = await this.opening;
    switch (command.type) {
      case 'refresh':
        opened.watch.refresh();
        return this.tellStorage(opened.store, true);
      case 'visible':
        opened.watch.visible = command.visible;
        return;
      case 'examine':
        return this.examine(opened, command.taskId, command.source);
      case 'train':
        return this.train(opened, { taskId: command.taskId, name: command.name, source: command.source });
      case 'pause':
        return this.node?.pause();
      case 'resume':
        return this.node?.resume();
      case 'leave':
        return this.node?.leave();
      case 'close':
        await this.node?.close();
        opened.watch.close();
        return opened.connection.close();
      case 'rehearse':
        return this.startRehearsal(opened, command.rehearsal);
      case 'end_rehearsal':
        return this.rehearsal?.abort(new Refused('stopped', 'The rehearsal was stopped.', 'start it again'));
      case 'clear_storage':
        return this.clear(opened);
    }
  }

  private async open(opening: Opening, held?: Promise<Device>): Promise<Opened> {
    const { base: given, transport, token: invitation, force } = opening;
    const { browser, tell, parts } = this;
    if (browser === null) {
      const problem = 'Browsers give neither storage, keys nor WebGPU to a page that came over plain HTTP.';
      throw new Refused('insecure', problem, 'open it by https://, or on the server itself as http://127.0.0.1');
    }
    const base = given.replace(/\/+$/, '');
    const keyring = await browser.openKeyring();
    if (invitation !== undefined) {
      await keyring.put(tokenKey(base), invitation);
    }
    const token = (await keyring.get<string>(tokenKey(base))) ?? null;
    const address: Address = { base, transport, token };
    // What is read for people comes over plain calls, whatever the node's own transport.
    const connection = new Connection({ ...address, transport: 'http' });
    onWake(() => connection.wake());
    const store = await Store.open(browser.files, (trouble) => tell.report({ type: 'trouble', trouble }));
    const channel = browser.openChannel(`potluck ${base}`);
    const watch = new Watch(
      connection,
      browser.locks,
      channel,
      base,
      (news) => void this.hear(news, { connection, keyring, store, base }),
      (trouble) => this.lose(trouble),
    );
    const device = held ?? Device.open(parts, base, tell, force);
    device.catch(() => undefined); // told where it is waited for
    return { address, connection, keyring, store, watch, device };
  }

  /** An invitation that comes later takes the place of the one before. */
  private async reopen(command: Opening, opening: Promise<Opened>): Promise<Opened> {
    const opened = await opening;
    if (command.token === undefined) {
      return opened;
    }
    if (this.node !== null) {
      this.tell.trouble(new Refused('busy', 'This tab is at work with the invitation it has.', 'leave the task first'));
      return opened;
    }
    opened.watch.close();
    opened.connection.close();
    this.mayTrain = this.lost = null;
    return this.open(command, opened.device);
  }

  /** A tab that was closed, or crashed, left its work behind. */
  private async goOn(opened: Opened): Promise<void> {
    const { keyring, address } = opened;
    const order = await keyring.get<KeptOrder | null>(orderKey(address.base));
    if (!order || this.node !== null) {
      return;
    }
    if (order.source === null) {
      return this.tell.log('This browser was at work on a task: choose it, and give your files again, to go on.');
    }
    this.tell.log('Going on with the task that this browser was working on.');
    await this.train(opened, { ...order, source: order.source });
  }

  private async train(opened: Opened, order: Order): Promise<void> {
    if (this.node !== null) {
      if (this.node.order.taskId === order.taskId) {
        return;
      }
      throw new Refused('busy', 'This tab is the node of another task.', 'leave that task first');
    }
    const { address, keyring, store, watch } = opened;
    const locks = this.browserAt().locks;
    const device = await opened.device;
    void navigator.storage?.persist?.().catch(() => false); // else the browser may clear what is kept when it likes
    const node = new Node({ address, parts: this.parts, device, keyring, store, locks, tell: this.tell }, order);
    this.node = node;
    this.show(watch, order.taskId);
    void node.run().finally(() => {
      this.node = null;
      watch.refresh();
      void this.tellStorage(store, true);
    });
  }

  private async examine(opened: Opened, taskId: string, source: Order['source']): Promise<void> {
    const { connection, address, watch } = opened;
    if (this.node === null) {
      this.show(watch, taskId); // a node at work keeps its own task's rounds in sight
    }
    const task = (await connection.readJson(`potluck://tasks/${taskId}`)) as TaskView;
    const { y } = await this.parts.readSource(source, task.input_shape, task.num_classes, address.base);
    const perClass = new Array<number>(task.num_classes).fill(0);
    y.forEach((label) => (perClass[label] = (perClass[label] ?? 0) + 1));
    this.tell.report({ type: 'examined', examples: y.length, perClass });
  }

  private async startRehearsal({ device, address }: Opened, rehearsal: Rehearsal): Promise<void> {
    if (this.rehearsal !== null) {
      throw new Refused('busy', 'A rehearsal is running.', 'stop it first');
    }
    const stop = new AbortController();
    this.rehearsal = stop;
    try {
      const held = await device;
      if (held.lost.aborted) {
        await held.reopen();
      }
      await this.rehearse(held.engine, rehearsal, address.base, (report) => this.tell.report(report), stop.signal);
    } catch (error) {
      if (!stop.signal.aborted) {
        throw error;
      }
    } finally {
      this.rehearsal = null;
    }
  }

  private async clear({ store, address }: Opened): Promise<void> {
    const { locks } = this.browserAt();
    const cleared = await locks.request(nodeLock(address.base), { ifAvailable: true }, async (lock) => {
      await (lock === null ? undefined : store.clear());
      return lock !== null;
    });
    if (!cleared) {
      const problem = 'A tab of this browser is at work, and its work is kept here.';
      throw new Refused('busy', problem, 'leave the task in that tab first');
    }
    await this.tellStorage(store, true);
  }

  private show(watch: Watch, taskId: string): void {
    this.shown = taskId;
    watch.look(taskId);
  }

  private async hear(news: News, { connection, keyring, store, base }: Heard): Promise<void> {
    if (this.lost !== null) {
      this.lost = null;
      this.tell.log('The server is reached again.');
    }
    this.mayTrain ??= await mayTrain(connection, keyring, base);
    if (this.mayTrain === null) {
      return; // the next news tell
    }
    const obstacle = this.mayTrain ? null : 'This server takes invited nodes only: open the link of an invitation.';
    const tasks = news.tasks.map((task) => cardOf(task, news.views[task.task_id] ?? null, this.parts, obstacle));
    this.tell.report({ type: 'tasks', tasks });
    const view = this.shown === null ? undefined : news.views[this.shown];
    if (view !== undefined) {
      this.tell.report({ type: 'rounds', taskId: view.task_id, rounds: roundsOf(view) });
    }
    await this.tellStorage(store, false);
  }

  private lose(trouble: Trouble): void {
    if (this.lost !== trouble.code) {
      this.lost = trouble.code;
      this.tell.report({ type: 'trouble', trouble });
    }
  }

  private async tellStorage(store: Store, always: boolean): Promise<void> {
    const storage = await store.report();
    const text = JSON.stringify(storage.files);
    if (always || text !== this.stored) {
      this.stored = text;
      this.tell.report({ type: 'storage', storage });
    }
  }

  private browserAt(): Browser {
    if (this.browser === null) {
      throw new Refused('insecure', 'This page has no secure origin.', 'open it by https://');
    }
    return this.browser;
  }
}

/** An order as it is kept for the next tab: without the files of a person. */
type KeptOrder = Omit<Order, 'source'> & { readonly source: Order['source'] | null };

/** Under which name the keyring keeps the invitation to a server. */
const tokenKey = (base: string): string => `token ${base}`;

/** Whether this caller may be a node: nobody else is given a challenge. It costs a thirtieth of a list of tools. Null if
 *  that cannot be told now. */
async function mayTrain(connection: Connection, keyring: Keyring, base: string): Promise<boolean | null> {
  try {
    const { publicKey } = await openIdentity(keyring);
    const hello = { public_key: publicKey, capabilities: {}, audience: new URL(base).host };
    await connection.call('handshake', hello, { once: true });
    return true;
  } catch (error) {
    return error instanceof Refused && error.code === 'forbidden' ? false : null;
  }
}
