/** Small stand-ins for what the node is built on: files and models are real, training moves every weight by a little. */
import type { Engine, Examples, Tensor, Weights } from '../../src/engine/types';
import type { Report } from '../../src/messages';
import type { Keyring } from '../../src/node/keyring';
import type { Checkpoint, Craft, Listening, Parts, Plan, Progress, Trained, Training } from '../../src/node/parts';

export function keyringInMemory(kept = new Map<string, unknown>()): Keyring {
  const get = async <T>(name: string): Promise<T | undefined> => kept.get(name) as T | undefined;
  return {
    get,
    put: async (name, value) => void kept.set(name, value),
    remove: async (name) => void kept.delete(name),
    keep: async (name, make) => {
      kept.set(name, kept.get(name) ?? (await make()));
      return kept.get(name) as Awaited<ReturnType<typeof make>>;
    },
  };
}

export function parseSafetensors(bytes: Uint8Array): Weights {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<
    string,
    { shape: number[]; data_offsets: [number, number] }
  >;
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  return new Map(
    names.map((name) => {
      const { shape, data_offsets } = header[name] ?? { shape: [], data_offsets: [0, 0] };
      const [from, to] = data_offsets.map((at) => 8 + length + at);
      return [name, { shape, data: new Float32Array(bytes.slice(from, to).buffer) }] as const;
    }),
  );
}

export function writeSafetensors(weights: Weights): Uint8Array<ArrayBuffer> {
  const tensors = [...weights].sort(([a], [b]) => (a < b ? -1 : 1));
  let at = 0;
  const header = Object.fromEntries(
    tensors.map(([name, { shape, data }]) => {
      const from = at;
      at += data.byteLength;
      return [name, { dtype: 'F32', shape, data_offsets: [from, at] }];
    }),
  );
  const json = JSON.stringify(header);
  const padded = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 8) * 8));
  const bytes = new Uint8Array(8 + padded.length + at);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded.length), true);
  bytes.set(padded, 8);
  let to = 8 + padded.length;
  for (const [, { data }] of tensors) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), to);
    to += data.byteLength;
  }
  return bytes;
}

const map = (weights: Weights, change: (tensor: Tensor, name: string) => Float32Array): Weights =>
  new Map([...weights].map(([name, tensor]) => [name, { shape: tensor.shape, data: change(tensor, name) }]));

/** A training whose every step adds `rate` to every weight, so that what came of it is known. */
class Steps implements Training {
  private step = 0;
  private readonly total: number;

  constructor(
    private weights: Weights,
    private readonly n: number,
    private readonly plan: Plan,
    private readonly between: (step: number) => Promise<void>,
  ) {
    this.total = plan.epochs * Math.ceil(n / plan.batchSize);
  }

  async run({ onProgress, shouldStop, keepNow, keep }: Listening): Promise<Trained> {
    while (this.step < this.total) {
      await this.between(this.step);
      if (shouldStop()) {
        throw new Error('stopped');
      }
      this.weights = map(this.weights, ({ data }) => data.map((value) => value + this.plan.learningRate));
      this.step += 1;
      const progress = this.progress();
      onProgress(progress);
      if (keepNow(progress)) {
        await keep(await this.checkpoint());
      }
    }
    return { weights: this.weights, numExamples: this.n, numSteps: this.step, loss: 1, accuracy: 0.5, seconds: 1 };
  }

  progress(): Progress {
    const epoch = Math.ceil((this.step * this.plan.epochs) / this.total);
    const { step, total: totalSteps } = this;
    return { step, totalSteps, epoch, loss: 1, accuracy: 0.5, examplesPerS: 10, memoryBytes: 1000 };
  }

  async checkpoint(): Promise<Checkpoint> {
    return { tensors: this.weights, position: this.step };
  }

  async restore({ tensors, position }: Checkpoint): Promise<void> {
    this.weights = tensors;
    this.step = Number(position);
  }

  destroy(): void {}
}

export class StandIns implements Parts, Craft {
  /** Waited for before every step of training. */
  between: (step: number) => Promise<void> = () => new Promise((resolve) => setImmediate(resolve));
  /** Loses the device. */
  lose: (why: string) => void = () => undefined;
  readonly models = ['mlp'];
  readonly parseSafetensors = parseSafetensors;
  readonly writeSafetensors = writeSafetensors;
  readonly opened: string[] = [];

  async openEngine(force?: 'webgpu' | 'cpu'): Promise<Engine> {
    this.opened.push(force ?? 'any');
    const lost = new Promise<string>((resolve) => (this.lose = resolve));
    const report = { kind: 'cpu', reason: 'a test', adapter: {}, limits: {}, kernels: [], matmulGflops: 1 } as const;
    const score = async (_: unknown, __: unknown, { y }: Examples) => ({ loss: 1, accuracy: 0.5, examples: y.length });
    return { report, lost, score, destroy: () => undefined } as unknown as Engine;
  }

  chainOf(_id: string, options: Readonly<Record<string, number>>, inputShape: readonly number[], classes: number) {
    return { inputShape, classes, layers: [], hidden: options.hidden ?? 64 };
  }

  layoutOf(chain: ReturnType<StandIns['chainOf']>): ReadonlyMap<string, readonly number[]> {
    const inputs = chain.inputShape.reduce((a, b) => a * b, 1);
    return new Map([
      ['hidden.weight', [chain.hidden, inputs]],
      ['hidden.bias', [chain.hidden]],
      ['output.weight', [chain.classes, chain.hidden]],
      ['output.bias', [chain.classes]],
    ]);
  }

  deltaOf(trained: Weights, given: Weights): Weights {
    const delta = map(trained, ({ data }, name) => data.map((value, i) => value - (given.get(name)?.data[i] ?? NaN)));
    return new Map([...delta].map(([name, tensor]) => [`delta/${name}`, tensor]));
  }

  normOf(weights: Weights): number {
    return Math.hypot(...[...weights.values()].flatMap(({ data }) => [...data]));
  }

  async craft(): Promise<Craft> {
    return this;
  }

  /** Twenty examples of three classes. */
  async readSource(_: unknown, inputShape: readonly number[]): Promise<Examples> {
    const size = inputShape.reduce((a, b) => a * b, 1);
    return { x: new Float32Array(20 * size).fill(0.5), y: Uint32Array.from({ length: 20 }, (__, i) => i % 3) };
  }

  splitHoldout({ x, y }: Examples, size: number, share: number) {
    const held = Math.floor(y.length * share);
    const part = (from: number, to: number): Examples => ({ x: x.slice(from * size, to * size), y: y.slice(from, to) });
    return { train: part(held, y.length), heldOut: part(0, held) };
  }

  async openTraining(_engine: Engine, _chain: unknown, weights: Weights, { y }: Examples, plan: Plan): Promise<Training> {
    return new Steps(weights, y.length, plan, (step) => this.between(step));
  }
}

/** Hears reports, and lets a test wait for one. */
export class Heard {
  readonly reports: Report[] = [];
  private readonly waiting = new Set<() => void>();

  readonly post = (report: Report): void => {
    this.reports.push(report);
    this.waiting.forEach((look) => look());
  };

  /** The first report, past or to come, that `fits`; troubles on the way are part of the story if it never comes. */
  until<T extends Report['type']>(
    type: T,
    fits: (report: Extract<Report, { type: T }>) => boolean = () => true,
  ): Promise<Extract<Report, { type: T }>> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.reports.find((report) => report.type === type && fits(report as Extract<Report, { type: T }>));
        if (found !== undefined) {
          this.waiting.delete(look);
          resolve(found as Extract<Report, { type: T }>);
        }
      };
      this.waiting.add(look);
      look();
    });
  }

  get troubles(): string[] {
    return this.reports.flatMap((report) => (report.type === 'trouble' ? [report.trouble.code] : []));
  }

  get logs(): string[] {
    return this.reports.flatMap((report) => (report.type === 'log' ? [report.text] : []));
  }
}
