/** A chain on the device: its parameters, the activations of one batch, and the kernels that fill them. */
import type { Chain } from '../types';
import { Refused } from '../../refused';
import type { Chooser } from './calibrate';
import type { Device, Launch, Binding } from './device';
import { bytesOf, fits, plan, vectors, type Plan, type Product, type Stage } from './plan';
import { extent, launches, operations, variants, type Pass } from './products';
import gather from './wgsl/gather.wgsl?raw';
import poolText from './wgsl/pool.wgsl?raw';
import prelude from './wgsl/prelude.wgsl?raw';
import widen from './wgsl/widen.wgsl?raw';

/** Floats at the head of the step's buffer, before the examples' numbers; see prelude.wgsl. */
export const HEAD = 4;

export class Network {
  readonly plan: Plan;
  readonly step: GPUBuffer;
  readonly parameters: GPUBuffer;
  readonly examples: GPUBuffer;
  /** activations[i] goes into layer i; the last are the logits. */
  readonly activations: readonly GPUBuffer[];
  private readonly taken: GPUBuffer[] = [];

  constructor(
    readonly device: Device,
    readonly chooser: Chooser,
    private readonly software: boolean,
    readonly chain: Chain,
    readonly batch: number,
    /** Examples that lie on the device. */
    readonly stored: number,
  ) {
    this.plan = plan(chain);
    const most = Math.min(device.gpu.limits.maxStorageBufferBindingSize, device.gpu.limits.maxBufferSize);
    const { stages, parameters } = this.plan;
    const inputs = chain.inputShape.reduce((a, b) => a * b, 1);
    fits(parameters * 4, most, 'The model’s parameters', 'Choose a smaller model, or the Python node.');
    fits(stored * inputs * 4, most, `${stored} examples`, 'Train on fewer examples.');
    const places = [stages[0].input, ...stages.map(({ output }) => output)];
    for (const place of places.concat(stages.flatMap(({ gradient }) => gradient ?? []))) {
      fits(bytesOf(place, batch), most, `The activations of ${batch} examples`, 'Choose a smaller batch.');
    }
    this.step = this.take((HEAD + batch) * 4);
    this.parameters = this.take(parameters * 4);
    this.examples = this.take(stored * inputs * 4);
    this.activations = places.map((place) => this.take(bytesOf(place, batch)));
  }

  /** Bytes held on the device. */
  get memoryBytes(): number {
    return this.taken.reduce((sum, { size }) => sum + size, 0);
  }

  take(bytes: number): GPUBuffer {
    const buffer = this.device.take(bytes);
    this.taken.push(buffer);
    return buffer;
  }

  /** Its buffers go to those who come next, unless something is wrong with them. */
  destroy(sound = true): void {
    for (const buffer of this.taken.splice(0)) {
      if (sound) this.device.give(buffer);
      else buffer.destroy();
    }
  }

  /** From the examples on the device to the logits. */
  async forward(): Promise<Launch[]> {
    const { stages } = this.plan;
    const [layer] = this.chain.layers;
    const kernel = layer.kind === 'conv' ? layer.kernel : 1;
    const { height, width } = stages[0].input;
    const CHANNELS = layer.kind === 'pool' ? layer.channels : layer.inputs;
    const OUT = vectors(stages[0].input.channels);
    const constants = { K: kernel, EDGE: (kernel - 1) / 2, CHANNELS, HEIGHT: height, WIDTH: width, OUT };
    const each = height * width * OUT;
    const first = this.device.launch(
      prelude + gather,
      constants,
      [this.step, this.examples, this.activations[0]],
      64,
      (n) => n * each,
    );
    const rest = stages.map((stage, i) => {
      const [x, y] = [this.activations[i], this.activations[i + 1]];
      return stage.product === null
        ? this.pool(stage, false, [x, y])
        : this.product('forward', stage, stage.product, x, y);
    });
    return (await Promise.all([first, ...rest])).flat();
  }

  /** From the gradient of the logits, which it returns first, to those of all parameters. */
  backward(gradients: GPUBuffer): { readonly logits: GPUBuffer; readonly launches: Promise<Launch[]> } {
    const { stages } = this.plan;
    const d = stages.map(({ gradient }) => (gradient === null ? null : this.take(bytesOf(gradient, this.batch))));
    const out: Promise<Launch | Launch[]>[] = [];
    for (const [i, stage] of [...stages.entries()].reverse()) {
      const [x, own, before] = [this.activations[i], d[i], d[i - 1] ?? null];
      const mask = stages[i - 1]?.relu ? x : undefined;
      if (own === null) break;
      if (stage.product === null) {
        if (before !== null) out.push(this.pool(stage, mask !== undefined, [x, own, before]));
        continue;
      }
      out.push(this.product('weights', stage, stage.product, x, gradients, own));
      if (before === null) continue;
      const place = stages[i - 1]?.gradient;
      const flat = place?.border !== stage.before?.border;
      const target = flat ? this.take(bytesOf(stage.input, this.batch)) : before;
      out.push(this.product('back', stage, stage.product, own, target, mask));
      if (flat && place) {
        const IN = vectors(place.channels);
        const constants = { HEIGHT: place.height, WIDTH: place.width, IN, ...extent('Y', place) };
        const each = place.height * place.width * IN;
        out.push(this.device.launch(prelude + widen, constants, [this.step, target, before], 64, (n) => n * each));
      }
    }
    const logits = d.at(-1);
    if (!logits) throw new TypeError('A chain without parameters cannot be trained');
    return { logits, launches: Promise.all(out).then((launches) => launches.flat()) };
  }

  private pool(stage: Stage, mask: boolean, buffers: readonly GPUBuffer[]): Promise<Launch> {
    const { input, output, gradient, before } = stage;
    const back = buffers.length === 3;
    const IN = vectors(input.channels);
    const constants = {
      HEIGHT: output.height,
      WIDTH: output.width,
      IN,
      BACK: back,
      MASK: mask,
      ...extent('X', input),
      ...extent('Y', back ? (gradient ?? output) : output),
      ...extent('G', before ?? input),
    };
    const each = output.height * output.width * IN;
    return this.device.launch(prelude + poolText, constants, [this.step, ...buffers], 64, (n) => n * each);
  }

  /** `third`: of a weights' pass the gradient of the output, of a backward one the mask. */
  private async product(
    pass: Pass,
    stage: Stage,
    { layer, offset, length, kernel }: Product,
    x: GPUBuffer,
    y: GPUBuffer,
    third?: GPUBuffer,
  ): Promise<Launch[]> {
    const slice = (buffer: GPUBuffer): Binding => ({ buffer, offset: offset * 4, size: length * 4 });
    const weights = pass === 'weights';
    if (weights && third === undefined) throw new Refused('internal', 'A gradient is missing.', 'Tell the project.');
    const { input, output } = stage;
    const pixels = layer.kind === 'conv' ? ` on ${output.height}x${output.width}` : '';
    const n = Math.min(this.batch, !this.software ? 512 : layer.kind === 'conv' ? 4 : 64);
    const shape = `${pass} ${layer.kind}${kernel > 1 ? ` ${kernel}x${kernel}` : ''} ${input.channels} to ${output.channels}${pixels}, batch ${n}`;
    let scratch: GPUBuffer | undefined;
    const candidates = variants(pass, stage, this.software).map((variant) => ({
      name: variant.name,
      build: () => {
        if (variant.parts > 1) scratch ??= this.take(variant.parts * length * 4);
        const on = weights
          ? { step: this.step, x, w: third ?? x, y: slice(y), scratch }
          : { step: this.step, x, w: slice(this.parameters), y, mask: third };
        return launches(this.device, pass, stage, variant, on);
      },
    }));
    return this.chooser.choose({ shape, candidates, step: this.step, n, operations: operations(stage) });
  }
}
