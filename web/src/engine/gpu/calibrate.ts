/** Which variant of a kernel is the fastest on this device, by trying them on the model's own shapes. */
import type { Calibration } from '../types';
import type { Device, Launch } from './device';

export interface Candidate {
  readonly name: string;
  build(): Promise<Launch[]>;
}

/** All of an engine's trials take about this long, however slow the device; what comes later takes the likeliest, untried. */
const BUDGET_MS = 1200;

export class Chooser {
  private spent = 0;
  private turn: Promise<unknown> = Promise.resolve();
  readonly chosen: Record<string, Calibration[string]> = {};

  constructor(
    private readonly device: Device,
    private readonly before: Calibration,
  ) {}

  /** The kernels for one class of shapes, of `operations` on a batch of `n`. The first candidate is the likeliest. */
  async choose(shape: string, candidates: readonly Candidate[], n: number, operations: number): Promise<Launch[]> {
    const name = this.turn.then(() => this.fastest(shape, candidates, n, operations));
    this.turn = name.catch(() => undefined);
    const said = await name;
    return (candidates.find((candidate) => candidate.name === said) ?? candidates[0]).build();
  }

  /** One at a time: trials side by side would time each other. */
  private async fastest(
    shape: string,
    candidates: readonly Candidate[],
    n: number,
    operations: number,
  ): Promise<string> {
    const known = this.chosen[shape] ?? this.before[shape];
    if (candidates.some(({ name }) => name === known?.variant)) {
      this.chosen[shape] = known;
      return known.variant;
    }
    let best: { readonly name: string; readonly ms: number } | null = null;
    for (const { name, build } of candidates) {
      if (this.spent > BUDGET_MS) break;
      const start = performance.now();
      const ms: number = await this.time(await build(), n, best?.ms);
      this.spent += performance.now() - start;
      if (best === null || ms < best.ms) best = { name, ms };
    }
    if (best === null) return candidates[0].name;
    this.chosen[shape] = { variant: best.name, gflops: operations / best.ms / 1e6 };
    return best.name;
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
