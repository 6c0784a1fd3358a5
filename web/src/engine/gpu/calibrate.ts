/** Which variant of a kernel is the fastest on this device, by trying them on the model's own shapes. */
import type { Calibration } from '../types';
import type { Device, Launch } from './device';

export interface Candidate {
  readonly name: string;
  build(): Promise<Launch[]>;
}

/** One class of shapes, and what may serve it, the likeliest first. */
export interface Trial {
  readonly shape: string;
  readonly candidates: readonly Candidate[];
  /** The step's buffer, which is told that there are `n` examples, of so many operations each. */
  readonly step: GPUBuffer;
  readonly n: number;
  readonly operations: number;
}

interface Waiting extends Trial {
  readonly first: Promise<Launch[]>;
  resolve(launches: Promise<Launch[]>): void;
}

/** All of an engine's trials take about this long, however slow the device; what comes later takes the likeliest, untried. */
const BUDGET_MS = 1200;

export class Chooser {
  private spent = 0;
  private turn: Promise<unknown> = Promise.resolve();
  private readonly waiting: Waiting[] = [];
  readonly chosen: Record<string, Calibration[string]> = {};

  constructor(
    private readonly device: Device,
    private readonly before: Calibration,
  ) {}

  /** The kernels for one class of shapes. The likeliest of all who wait are compiled side by side, then tried one at a
   *  time, for side by side they would time each other: those with the most to do first. */
  async choose(trial: Trial): Promise<Launch[]> {
    const known = this.known(trial);
    if (known !== undefined) return known.build();
    const first = trial.candidates[0].build();
    return new Promise((resolve) => {
      this.waiting.push({ ...trial, first, resolve });
      this.turn = this.turn.then(() => this.next());
    });
  }

  private async next(): Promise<void> {
    await Promise.allSettled(this.waiting.map(({ first }) => first));
    const most = this.waiting.sort((a, b) => a.n * a.operations - b.n * b.operations).pop();
    if (most === undefined) return;
    const found = this.fastest(most);
    most.resolve(found);
    await found.catch(() => undefined);
  }

  private known({ shape, candidates }: Trial): Candidate | undefined {
    const known = this.chosen[shape] ?? this.before[shape];
    const found = candidates.find(({ name }) => name === known?.variant);
    if (found !== undefined) this.chosen[shape] = known;
    return found;
  }

  private async fastest(trial: Waiting): Promise<Launch[]> {
    const known = this.known(trial);
    if (known !== undefined) return known.build();
    const { shape, candidates, n, operations } = trial;
    let best = { variant: '', launches: await trial.first, ms: Infinity };
    for (const [i, { name, build }] of candidates.entries()) {
      if (this.spent > BUDGET_MS) break;
      const start = performance.now();
      const launches = i === 0 ? best.launches : await build();
      const ms = await this.time(launches, trial, best.ms);
      this.spent += performance.now() - start;
      if (ms < best.ms) best = { variant: name, launches, ms };
    }
    if (best.variant !== '') this.chosen[shape] = { variant: best.variant, gflops: (n * operations) / best.ms / 1e6 };
    return best.launches;
  }

  /** Milliseconds of one run, after one that warms up; several runs where one is too short for the clock; none
   *  where the first is hopeless beside `best`. */
  private async time(launches: readonly Launch[], trial: Trial, best: number): Promise<number> {
    let ms = await this.once(launches, trial, 1);
    if (ms > 3 * best) return ms;
    for (let times = 1; times <= 64; times *= 8) {
      ms = (await this.once(launches, trial, times)) / times;
      if (ms * times > 4) break;
    }
    return ms;
  }

  private async once(launches: readonly Launch[], { step, n }: Trial, times: number): Promise<number> {
    const { queue } = this.device.gpu;
    queue.writeBuffer(step, 0, Uint32Array.of(n));
    const start = performance.now();
    this.device.run(launches, n, times);
    await queue.onSubmittedWorkDone();
    return performance.now() - start;
  }
}
