/** Which variant of a kernel is the fastest on this device, by trying them on the model's own shapes. */
import type { Device, Launch } from './device';

export interface Choice {
  readonly variant: string;
  readonly gflops: number;
}

/** By class of shapes; plain data, to be stored under vendor and architecture and given back next time. */
export type Calibration = Readonly<Record<string, Choice>>;

export interface Candidate {
  readonly name: string;
  build(): Promise<Launch[]>;
}

interface Trial {
  readonly name: string;
  readonly launches: Launch[];
  readonly ms: number;
}

/** All of an engine's trials take about this long, however slow the device; what comes later takes the likeliest. */
const BUDGET_MS = 1200;

export class Chooser {
  private spent = 0;
  readonly chosen: Record<string, Choice> = {};

  constructor(
    private readonly device: Device,
    private readonly before: Calibration,
  ) {}

  /** The kernels for one class of shapes, of `operations` on a batch of `n`. The first candidate is the likeliest. */
  async choose(shape: string, candidates: readonly Candidate[], n: number, operations: number): Promise<Launch[]> {
    const known = this.chosen[shape] ?? this.before[shape];
    const again = candidates.find(({ name }) => name === known?.variant);
    if (known !== undefined && again !== undefined) {
      this.chosen[shape] = known;
      return again.build();
    }
    let best: Trial | null = null;
    for (const { name, build } of candidates) {
      if (best !== null && this.spent > BUDGET_MS) break;
      const start = performance.now();
      const launches = await build();
      const ms: number = this.spent > BUDGET_MS ? Infinity : await this.time(launches, n, best?.ms);
      this.spent += performance.now() - start;
      if (best === null || ms < best.ms) best = { name, launches, ms };
    }
    if (best === null) return [];
    this.chosen[shape] = { variant: best.name, gflops: operations / best.ms / 1e6 };
    return best.launches;
  }

  /** Milliseconds of one run, after one that warms up; several runs where one is too short for the clock; none
   *  where the first is hopeless beside `best`. */
  async time(launches: readonly Launch[], n: number, best = Infinity): Promise<number> {
    let ms = await this.once(launches, n, 1);
    if (ms > 3 * best) return ms;
    for (let times = 1; times <= 64; times *= 8) {
      ms = (await this.once(launches, n, times)) / times;
      if (ms * times > 4) break;
    }
    return ms;
  }

  private async once(launches: readonly Launch[], n: number, times: number): Promise<number> {
    const start = performance.now();
    this.device.run(launches, n, times);
    await this.device.gpu.queue.onSubmittedWorkDone();
    return performance.now() - start;
  }
}
