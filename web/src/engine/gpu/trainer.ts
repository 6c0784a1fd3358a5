/** A model in training on the device: examples uploaded once, one command buffer a step, scores read when asked for. */
import type { Descent, Examples, StepScore, Trainer, TrainerState, Weights } from '../types';
import type { Device, Launch } from './device';
import { HEAD, type Network } from './network';
import { pack, unpack, vectors } from './plan';
import loss from './wgsl/loss.wgsl?raw';
import prelude from './wgsl/prelude.wgsl?raw';
import update from './wgsl/update.wgsl?raw';

/** Steps whose scores the device keeps before they are copied out. */
const SLOTS = 1024;
/** Steps handed to the device that it may not have done yet; it is asked after every half of them. */
const IN_FLIGHT = 16;

/** The optimiser's tensors on the device, by the prefix that a state gives them. */
type Moments = ReadonlyMap<string, GPUBuffer>;

export class GpuTrainer implements Trainer {
  private steps = 0;
  private slot = 0;
  private flying = 0;
  private readonly waiting: Uint32Array[] = [];
  private room: Promise<void> = Promise.resolve();
  private readonly scores: Promise<StepScore[]>[] = [];

  private constructor(
    private readonly device: Device,
    private readonly network: Network,
    private readonly descent: Descent,
    private readonly launches: readonly Launch[],
    private readonly moments: Moments,
    private readonly results: GPUBuffer,
  ) {}

  static async create(network: Network, weights: Weights, examples: Examples, descent: Descent): Promise<GpuTrainer> {
    const { device, plan, chain } = network;
    const start = pack(plan, weights);
    const bytes = plan.parameters * 4;
    const adam = descent.optimizer === 'adam';
    const names = [
      ...(adam ? ['exp_avg/', 'exp_avg_sq/'] : descent.momentum !== 0 ? ['momentum/'] : []),
      ...(descent.proximal !== 0 ? ['start/'] : []),
    ];
    const moments = new Map(names.map((name) => [name, network.take(bytes)]));
    const results = network.take(SLOTS * 8);
    const labels = network.take(examples.y.byteLength);
    const gradients = network.take(bytes);
    const { queue } = device.gpu;
    queue.writeBuffer(network.examples, 0, examples.x as Float32Array<ArrayBuffer>);
    queue.writeBuffer(labels, 0, examples.y as Uint32Array<ArrayBuffer>);
    const backward = network.backward(gradients);
    const logits = network.activations[network.activations.length - 1];
    const score = device.launch(
      prelude + loss,
      { CLASSES: chain.classes, STRIDE: vectors(chain.classes) * 4 },
      [network.step, labels, logits, backward.logits, results],
      64,
      () => 64,
    );
    const first = moments.get(adam ? 'exp_avg/' : 'momentum/') ?? null;
    const pull = moments.get('start/') ?? null;
    const settings = {
      ADAM: adam,
      FIRST: adam || descent.momentum,
      DECAY: descent.weightDecay,
      PROXIMAL: descent.proximal,
      START: pull !== null,
    };
    const buffers = [network.step, gradients, network.parameters, pull, first, moments.get('exp_avg_sq/') ?? null];
    const descend = device.launch(prelude + update, settings, buffers, 64, () => plan.parameters / 4);
    const launches = await Promise.all([network.forward(), score, backward.launches, descend]);
    // Trials of kernels have left the parameters alone, and everything else is written anew at each step.
    queue.writeBuffer(network.parameters, 0, start);
    if (pull !== null) queue.writeBuffer(pull, 0, start);
    return new GpuTrainer(device, network, descent, launches.flat(), moments, results);
  }

  get memoryBytes(): number {
    return this.network.memoryBytes;
  }

  step(batch: Uint32Array): void {
    this.device.alive();
    const { batch: most, stored } = this.network;
    if (batch.length < 1 || batch.length > most)
      throw new RangeError(`A batch has 1 to ${most} examples, not ${batch.length}`);
    if (batch.some((index) => index >= stored))
      throw new RangeError(`A batch names an example beyond the ${stored} there are`);
    this.waiting.push(batch.slice());
    this.pump();
  }

  /** Hands the device what it may have; the rest waits until half of that is done. */
  private pump(): void {
    while (this.flying < IN_FLIGHT) {
      const batch = this.waiting.shift();
      if (batch === undefined) return;
      this.submit(batch);
      this.flying += 1;
      if (this.flying % (IN_FLIGHT / 2) !== 0) continue;
      const done = this.device.gpu.queue.onSubmittedWorkDone().catch(() => undefined); // A lost device: reading tells.
      this.room = done.then(() => {
        this.flying -= IN_FLIGHT / 2;
        this.pump();
      });
    }
  }

  private submit(batch: Uint32Array): void {
    if (this.slot === SLOTS) this.collect();
    this.steps += 1;
    const { optimizer, learningRate } = this.descent;
    const adam = optimizer === 'adam';
    const head = new ArrayBuffer((HEAD + batch.length) * 4);
    new Uint32Array(head).set([batch.length, this.slot]);
    const rate = adam ? learningRate / (1 - 0.9 ** this.steps) : learningRate;
    new Float32Array(head).set([rate, adam ? 1 / Math.sqrt(1 - 0.999 ** this.steps) : 1], 2);
    new Uint32Array(head).set(batch, HEAD);
    this.device.gpu.queue.writeBuffer(this.network.step, 0, head);
    this.device.run(this.launches, batch.length);
    this.slot += 1;
  }

  /** Has the scores so far copied out, so that their slots are free again. */
  private collect(): void {
    if (this.slot === 0) return;
    const read = this.device.read([{ buffer: this.results, bytes: this.slot * 8 }]);
    const scores = read.then(([pairs]) =>
      Array.from({ length: pairs.length / 2 }, (_, i) => ({ loss: pairs[2 * i], correct: pairs[2 * i + 1] })),
    );
    scores.catch(() => undefined); // Told by the `drain` that waits for it.
    this.scores.push(scores);
    this.slot = 0;
  }

  /** Until all steps are with the device. */
  private async submitted(): Promise<void> {
    this.device.alive();
    while (this.waiting.length > 0) await this.room;
  }

  async drain(): Promise<StepScore[]> {
    await this.submitted();
    this.collect();
    const scores = await Promise.all(this.scores);
    this.device.check(); // Where it throws, the next one still gets the scores.
    this.scores.splice(0, scores.length);
    return scores.flat();
  }

  async weights(): Promise<Weights> {
    return (await this.state()).weights;
  }

  async state(): Promise<TrainerState> {
    await this.submitted();
    const { plan, parameters } = this.network;
    const bytes = plan.parameters * 4;
    const steps = this.steps;
    const [weights, ...rest] = await this.device.read(
      [parameters, ...this.moments.values()].map((buffer) => ({ buffer, bytes })),
    );
    this.device.check();
    const tensors = [...this.moments.keys()].flatMap((prefix, i) => [...unpack(plan, rest[i], prefix)]);
    return { steps, weights: unpack(plan, weights), tensors: new Map(tensors) };
  }

  async restore(state: TrainerState): Promise<void> {
    const { plan, parameters } = this.network;
    const weights = pack(plan, state.weights);
    const tensors = state.weights.size * this.moments.size;
    if (state.tensors.size !== tensors)
      throw new TypeError(`The optimiser has ${tensors} tensors, the state ${state.tensors.size}`);
    const moments = [...this.moments].map(([prefix, buffer]) => ({ buffer, data: pack(plan, state.tensors, prefix) }));
    await this.submitted();
    this.device.gpu.queue.writeBuffer(parameters, 0, weights);
    for (const { buffer, data } of moments) this.device.gpu.queue.writeBuffer(buffer, 0, data);
    this.steps = state.steps;
  }

  destroy(): void {
    this.waiting.length = 0;
    this.network.destroy();
  }
}
