/** The small parts of a node's work, without a server. */
import { describe, expect, it, vi } from 'vitest';
import { Lost } from '../../src/node/answers';
import { toBase32, toBase64, toBase64Url, fromBase64 } from '../../src/node/bytes';
import { Checkpoints } from '../../src/node/checkpoints';
import { Heartbeat } from '../../src/node/heartbeat';
import { Asking } from '../../src/node/asking';
import { Membership } from '../../src/node/membership';
import type { Progress } from '../../src/node/parts';
import type { TaskSpec } from '../../src/node/protocol';
import { atLeast, delays, onWake, Patience, sleep } from '../../src/node/patience';
import { shareOf, take, takesShare } from '../../src/node/share';
import { alone, type Locks } from '../../src/node/standing';
import { Store } from '../../src/node/store';
import { Watch, type Channel, type News } from '../../src/node/watch';
import { Refused } from '../../src/refused';
import { Disk } from './opfs';
import { Teller } from '../../src/node/teller';
import { Lanes } from '../../src/node/lanes';
import { identityOf, newPair } from '../../src/node/identity';
import { parseSafetensors, StandIns, writeSafetensors } from './standins';

describe('bytes', () => {
  it('are written as others write them', () => {
    const bytes = Uint8Array.from([0, 251, 255, 190, 62, 1, 2, 3, 4, 5]);
    expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
    expect(toBase64Url(bytes.subarray(0, 4))).toBe('APv_vg');
    expect(fromBase64(toBase64(bytes))).toEqual(bytes);
    expect(toBase32(new TextEncoder().encode('fooba'))).toBe('mzxw6ytb'); // RFC 4648, section 10
  });
});

describe('pauses', () => {
  it('double up to half a minute, a random half taken off', () => {
    const [whole, half] = [delays(0.25, 30, () => 0), delays(0.25, 30, () => 1)];
    expect(Array.from({ length: 9 }, () => whole.next().value)).toEqual([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]);
    expect(half.next().value).toBe(0.125);
  });

  it("heed the server's word, up to a minute", async () => {
    const pauses: number[] = [];
    const patience = new Patience(undefined, async (seconds) => void pauses.push(seconds));
    await patience.wait(new Refused('busy', 'p', 'm', 5));
    await patience.wait(new Refused('busy', 'p', 'm', 3600));
    expect(pauses[0]).toBeGreaterThanOrEqual(5.5);
    expect(pauses[0]).toBeLessThanOrEqual(6);
    expect(pauses[1]).toBeLessThanOrEqual(62);
    expect(pauses[1]).toBeGreaterThanOrEqual(61);
  });

  it('end with a signal, or on waking', async () => {
    const [stop, wake] = [new AbortController(), new AbortController()];
    const [stopped, woken] = [sleep(Infinity, stop.signal), sleep(Infinity, undefined, wake.signal)];
    stop.abort(new Error('stop'));
    wake.abort();
    await expect(stopped).rejects.toThrow('stop');
    await woken;
  });

  it('are cut short when the clock has jumped', () => {
    vi.useFakeTimers();
    let now = 0;
    const told = vi.fn();
    const end = onWake(told, 1000, () => now);
    now += 1000;
    vi.advanceTimersByTime(1000);
    expect(told).not.toHaveBeenCalled();
    now += 3_600_000;
    vi.advanceTimersByTime(1000);
    expect(told).toHaveBeenCalledOnce();
    end();
    vi.useRealTimers();
  });
});

describe('a heartbeat', () => {
  const rest = async (_: number, signal?: AbortSignal): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  };
  const over = (signal: AbortSignal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason)));

  it('outlives a lost server, and ends the work when the server says so', async () => {
    let beats = 0;
    const beat = async () => {
      beats += 1;
      if (beats < 3) {
        throw new Lost('away');
      }
      return beats < 5 ? { state: 'continue' } : { state: 'stop', reason: 'the round is over' };
    };
    const heart = new Heartbeat(beat, 1, rest);
    expect(await over(heart.signal)).toMatchObject({ code: 'round_closed', problem: 'the round is over.' });
    expect(beats).toBe(5);
  });

  it('ends the work with the refusal of a report', async () => {
    const heart = new Heartbeat(() => Promise.reject(new Refused('fenced', 'p', 'm')), 1, rest);
    expect(await over(heart.signal)).toMatchObject({ code: 'fenced' });
  });
});

describe('checkpoints', () => {
  const progress = (step: number, epoch: number): Progress => ({
    step,
    totalSteps: 100,
    epoch,
    loss: 1,
    accuracy: 1,
    examplesPerS: 1,
    memoryBytes: 1,
  });

  it('are due every ten seconds, sooner once an epoch is over, and never after the last step', async () => {
    let now = 0;
    const store = await Store.open(async () => new Disk().root, 'http://a', () => undefined);
    const due = new Checkpoints({ parseSafetensors, writeSafetensors }, store, 'task-a', {}, 1000, () => now);
    now = 9.9;
    expect(due.due(progress(1, 1))).toBe(false);
    now = 10;
    expect(due.due(progress(2, 1))).toBe(true);
    expect(due.due(progress(100, 1))).toBe(false);
    await due.keep({ tensors: new Map(), position: 0 });
    now = 10.9;
    expect(due.due(progress(3, 2))).toBe(false);
    now = 11.1;
    expect(due.due(progress(4, 3))).toBe(true);
  });

  it('take no more than a twenty-fifth of the time', async () => {
    let now = 0;
    const store = await Store.open(async () => new Disk().root, 'http://a', () => undefined);
    vi.spyOn(store, 'write').mockImplementation(async () => {
      now += 2; // seconds that a slow disk takes
      return true;
    });
    const due = new Checkpoints({ parseSafetensors, writeSafetensors }, store, 'task-a', {}, 1000, () => now);
    await due.keep({ tensors: new Map(), position: 0 });
    now = 2 + 49;
    expect(due.due(progress(1, 1))).toBe(false);
    now = 2 + 51;
    expect(due.due(progress(2, 1))).toBe(true);
  });
});

describe('one standing request', () => {
  it('is held by one tab; another waits until it is let go', async () => {
    const locks = navigator.locks as Locks;
    const { signal } = new AbortController();
    const order: string[] = [];
    let letGo: () => void = () => undefined;
    const first = alone(locks, 'a', signal, () => order.push('taken?'), () => new Promise<void>((resolve) => (letGo = resolve)));
    await new Promise((resolve) => setImmediate(resolve));
    const second = alone(locks, 'a', signal, () => (order.push('taken'), letGo()), async () => void order.push('second'));
    await Promise.all([first, second]);
    expect(order).toEqual(['taken', 'second']);
  });

  it('reads the news once for eight tabs, and all hear it', async () => {
    let reads = 0;
    const connection = { readJson: async (uri: string) => ((reads += uri === 'potluck://tasks' ? 1 : 0), []) };
    const heard = new Array<number>(8).fill(0);
    const watches = await new Promise<Watch[]>((resolve) => {
      const all: Watch[] = heard.map((_, i) => {
        const onNews = (_: News): void => {
          heard[i] = (heard[i] ?? 0) + 1;
          if (heard.every(Boolean)) {
            resolve(all);
          }
        };
        const channel = new BroadcastChannel('news') as unknown as Channel;
        return new Watch(connection, navigator.locks as Locks, channel, 'b', onNews, () => undefined);
      });
    });
    expect(reads).toBeLessThan(8);
    watches.forEach((watch) => watch.close());
  });
});

describe('a share', () => {
  it('is the examples at its places, and no others', () => {
    const all = { x: Float32Array.from([0, 0, 1, 1, 2, 2]), y: Uint32Array.from([5, 6, 7]) };
    expect(take(all, [2, 0])).toEqual({ x: Float32Array.from([2, 2, 0, 0]), y: Uint32Array.from([7, 5]) });
    expect(() => take(all, [3])).toThrow('no example 3');
  });

  it('of the digits is cut by the server; own examples are all used', async () => {
    const all = { x: Float32Array.from([0, 1, 2, 3]), y: Uint32Array.from([4, 5, 6, 7]) };
    const asked: string[] = [];
    const connection = { readJson: async (uri: string) => (asked.push(uri), { data: 'digits', examples: [3, 1] }) };
    const spec = { data: { id: 'digits', holdout: 0.5, partition: { seed: null } }, seed: 7 } as unknown as TaskSpec;
    const { signal } = new AbortController();
    const parts = new StandIns();
    const mine = await shareOf(parts, connection, 'task-a', spec, all, 2, signal);
    expect(asked).toEqual(['potluck://tasks/task-a/partition/2']);
    expect([mine.heldOut.y, mine.train.y]).toEqual([Uint32Array.from([7]), Uint32Array.from([5])]);
    const own = await shareOf(parts, connection, 'task-a', spec, all, null, signal);
    expect(own.train.y).toEqual(Uint32Array.from([6, 7]));
    expect(own.fingerprint).not.toBe(mine.fingerprint);
    const odd = { readJson: async () => ({ examples: ['1'] }) };
    await expect(shareOf(parts, odd, 'task-a', spec, all, 2, signal)).rejects.toMatchObject({ code: 'internal' });
    expect(takesShare(spec, { kind: 'digits' })).toBe(true);
    expect(takesShare(spec, { kind: 'files', files: [] })).toBe(false);
  });
});

describe('what a broken server says', () => {
  it.each([[NaN], [0], [-1], ['x'], [undefined]])('is no pause: %s', (said) => expect(atLeast(3, said)).toBe(3));
  it('is heeded where it makes sense', () => expect(atLeast(3, 4.5)).toBe(4.5));

  it('makes no tight loop of asking for work', async () => {
    const rests: number[] = [];
    const waits: unknown[] = [];
    const call = async (_: string, { wait_s }: Readonly<Record<string, unknown>>) => {
      waits.push(wait_s);
      return { action: 'wait', task_id: 'task-a', task_state: 'running', retry_after_s: NaN };
    };
    const rest = async (seconds: number): Promise<void> => void rests.push(seconds);
    const asking = new Asking({ call }, 'task-a', true, NaN, new Teller(() => undefined), rest);
    await asking.next(new AbortController().signal);
    expect(waits).toEqual([1]);
    expect(rests[0]).toBeGreaterThan(0.9);
  });

  it('makes no endless upload: parts have a size, and a part that is not taken is a failure', async () => {
    const store = await Store.open(null, 'http://a', () => undefined);
    const sizes: number[] = [];
    const call = async (tool: string, args: Readonly<Record<string, unknown>>) => {
      if (tool === 'begin_upload') {
        return { upload_id: 'u', next_offset: 0, chunk_max_bytes: NaN };
      }
      sizes.push(String(args.data_b64).length);
      return { next_offset: args.offset };
    };
    const lanes = new Lanes('http://a', {} as never, { call }, store, { raw: false, chunk_max_bytes: 0 });
    const sending = lanes.upload({}, new Uint8Array(5000), new AbortController().signal);
    await expect(sending).rejects.toMatchObject({ code: 'offset_gap' });
    expect(sizes).toEqual([1368, 1368, 1368]); // 1024 bytes in base64, three times
  });
});

describe('a renewal', () => {
  it('that one caller no longer waits for is there for the others', async () => {
    let answer: (said: Readonly<Record<string, unknown>>) => void = () => undefined;
    let signal: AbortSignal | undefined;
    const call = (_: string, __: unknown, asked: { signal?: AbortSignal }) => {
      ({ signal } = asked);
      return new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
        answer = resolve;
        signal?.addEventListener('abort', () => reject(signal?.reason));
      });
    };
    const identity = await identityOf(await newPair());
    const member = new Membership({ call } as never, identity, '', 'a', {}, () => undefined);
    const gone = new AbortController();
    const [first, second] = [member.renew(gone.signal), member.renew()];
    gone.abort(new Error('the heartbeat stopped'));
    await expect(first).rejects.toThrow('the heartbeat stopped');
    expect(signal?.aborted).toBe(false);
    answer({ challenge: 'c', sign: 'something else' });
    await expect(second).rejects.toMatchObject({ code: 'bad_challenge' }); // that is, it was answered
    const third = member.renew();
    member.close();
    await expect(third).rejects.toMatchObject({ name: 'AbortError' });
    expect(signal?.aborted).toBe(true);
  });
});

describe('the news', () => {
  it('reads all that tasks ask for, twenty at a time, and the names of their classes once', async () => {
    const tasks = Array.from({ length: 45 }, (_, i) => ({ task_id: `task-${i}`, state: 'running', data: 'digits' }));
    const read: string[] = [];
    const readJson = async (uri: string): Promise<unknown> => {
      read.push(uri);
      return uri === 'potluck://tasks' ? tasks : uri === 'potluck://datasets/digits' ? { class_names: ['zero'] } : {};
    };
    const counts: number[] = [];
    const ended: (() => void)[] = [];
    const done = new Promise<News>((resolve) => {
      const onNews = (news: News): void => {
        counts.push(Object.keys(news.views).length);
        void (counts.at(-1) === 45 ? resolve(news) : Promise.resolve().then(() => setImmediate(() => watch.refresh())));
      };
      const channel: Channel = { postMessage: () => undefined, onmessage: null, close: () => undefined };
      const watch = new Watch({ readJson }, navigator.locks as Locks, channel, 'twenty', onNews, () => undefined);
      ended.push(() => watch.close());
    });
    expect((await done).classNames).toEqual({ digits: ['zero'] });
    ended.forEach((end) => end());
    expect(counts).toEqual([20, 40, 45]);
    expect(read.filter((uri) => uri.includes('datasets'))).toHaveLength(1);
  });
});
