/** Pauses: growing, with chance in them, cut short by a signal or when the machine wakes. */
import type { Refused } from '../refused';

/** How long a server's word on when to come again is heeded, in seconds; then it is asked whether that still holds. */
const LONGEST_S = 60;

/** What the server `said`, if that is a number no smaller than `least`: a pause of nothing would be a tight loop. */
export const atLeast = (least: number, said: unknown): number =>
  typeof said === 'number' && said >= least ? said : least;

/** Seconds to wait before each new attempt: doubling up to `capS`, of which a random half is taken off, so that nodes
 *  which lost the same server do not return in step. */
export function* delays(firstS = 0.25, capS = 30, chance: () => number = Math.random): Generator<number, never> {
  for (let delay = firstS; ; delay = Math.min(delay * 2, capS)) {
    yield delay * (1 - chance() / 2);
  }
}

export type Sleep = (seconds: number, signal?: AbortSignal) => Promise<void>;

/** A pause, of `Infinity` until a signal: rejects with the reason of `signal`, is just over when `wake` is aborted. */
export function sleep(seconds: number, signal?: AbortSignal, wake?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const over = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', over);
      wake?.removeEventListener('abort', over);
      if (signal?.aborted) {
        reject(signal.reason);
      } else {
        resolve();
      }
    };
    const timer = seconds === Infinity ? undefined : setTimeout(over, seconds * 1000);
    signal?.addEventListener('abort', over);
    wake?.addEventListener('abort', over);
  });
}

/** What `work` answers, unless `signal` is aborted first: then its reason is thrown, and `work` is left to itself. */
export async function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  let leave: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    leave = () => reject(signal.reason);
    signal.addEventListener('abort', leave);
    if (signal.aborted) {
      leave();
    }
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', leave);
    work.catch(() => undefined);
  }
}

/** The pauses of one piece of work for a server that is there and says "later". */
export class Patience {
  private readonly pauses = delays(1);

  constructor(
    private readonly onWait: (why: string, pauseS: number) => void = () => undefined,
    private readonly rest: Sleep = sleep,
  ) {}

  /** Waits as long as the refusal says and a growing bit more, so that not all who were told so come back at once. */
  async wait(refused: Refused, signal?: AbortSignal): Promise<void> {
    const pause = Math.min(refused.retryAfterS ?? 0, LONGEST_S) + this.pauses.next().value;
    this.onWait(refused.problem, pause);
    await this.rest(pause, signal);
  }
}

/** Calls `told` when the machine is online again or its clock has jumped, as after a laptop's sleep. Returns its end. */
export function onWake(told: () => void, everyMs = 5000, now: () => number = Date.now): () => void {
  let last = now();
  const timer = setInterval(() => {
    const late = now() - last > 4 * everyMs;
    last = now();
    if (late) {
      told();
    }
  }, everyMs);
  globalThis.addEventListener?.('online', told);
  return () => {
    clearInterval(timer);
    globalThis.removeEventListener?.('online', told);
  };
}
