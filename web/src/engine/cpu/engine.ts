/** The engine where there is no GPU to be had: the same models and the same steps, on one core. */
import { Refused } from '../../refused';
import { layoutOf, sizeOf } from '../catalogue';
import { checkFit, checkTensors } from '../check';
import type {
  Chain,
  Descent,
  Engine,
  EngineReport,
  Examples,
  Score,
  StepScore,
  Trainer,
  TrainerState,
  Weights,
} from '../types';
import { type Memories, openMemories } from './memory';
import { crossEntropy, Network } from './network';
import { descend, freshSlots, slotsOf } from './optimiser';
import { productIn, stride } from './product';

/** Examples that are scored at a time, before the event loop has its turn. */
const CHUNK = 64;

/** The engine of this thread; `reason`: in words, why the CPU computes. */
export async function openCpu(reason: string): Promise<Engine> {
  return cpuOn(await openMemories(), reason);
}

/** An engine on the memory and the inner loop of the caller's choice. */
export function cpuOn(memories: Memories, reason: string): Engine {
  const report = reportOf(memories, reason);

  /** Hands the logits [n, classes] of the examples to `take`, a few examples at a time. */
  async function forward(chain: Chain, weights: Weights, x: Float32Array, take: Take): Promise<void> {
    const count = x.length / sizeOf(chain.inputShape);
    const { network } = networkIn(memories, chain, Math.min(CHUNK, count), false);
    network.load(weights);
    for (let from = 0; from < count; from += CHUNK) {
      const places = Uint32Array.from({ length: Math.min(CHUNK, count - from) }, (_, i) => from + i);
      take(network.forward(x, places), places);
      await turn();
    }
  }

  return {
    report,
    lost: new Promise(() => {}),
    async trainer(chain, weights, examples, descent) {
      checkFit(chain, weights, examples);
      return new CpuTrainer(memories, chain, weights, examples, descent);
    },
    async score(chain, weights, examples): Promise<Score> {
      checkFit(chain, weights, examples);
      const n = examples.y.length;
      if (n === 0) throw new TypeError('there are no examples to score');
      let [loss, correct] = [0, 0];
      await forward(chain, weights, examples.x, (logits, places) => {
        const part = crossEntropy(logits, chain.classes, examples.y, places, NOTHING);
        loss += part.loss * places.length;
        correct += part.correct;
      });
      return { loss: loss / n, accuracy: correct / n, examples: n };
    },
    destroy() {},
  };
}

type Take = (logits: Float32Array, places: Uint32Array) => void;

const NOTHING = new Float32Array(0);

function networkIn(
  memories: Memories,
  chain: Chain,
  batch: number,
  train: boolean,
): { readonly network: Network; readonly bytes: number } {
  try {
    const { laidOut, bytes } = memories.layOut((memory) => new Network(chain, memory, batch, train));
    return { network: laidOut, bytes };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const problem = `This model needs more memory for batches of ${batch} than a tab can have.`;
    throw new Refused('quota', problem, 'close other tabs, or choose a task with a smaller model or batch size.');
  }
}

class CpuTrainer implements Trainer {
  readonly memoryBytes: number;
  private readonly network: Network;
  private readonly slotShapes: ReadonlyMap<string, readonly number[]>;
  private slots: Weights;
  private steps = 0;
  private scores: StepScore[] = [];

  constructor(
    memories: Memories,
    chain: Chain,
    weights: Weights,
    private readonly examples: Examples,
    private readonly descent: Descent,
  ) {
    const { network, bytes } = networkIn(memories, chain, descent.batchSize, true);
    this.network = network;
    this.network.load(weights);
    this.slotShapes = slotsOf(descent, layoutOf(chain));
    this.slots = freshSlots(this.slotShapes, weights);
    const held = [...this.slots.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    this.memoryBytes = bytes + held + examples.x.byteLength + examples.y.byteLength;
  }

  step(batch: Uint32Array): void {
    if (batch.length === 0 || batch.length > this.descent.batchSize) {
      throw new RangeError(`a step has 1 to ${this.descent.batchSize} examples, not ${batch.length}`);
    }
    const { network, examples } = this;
    const logits = network.forward(examples.x, batch);
    this.scores.push(crossEntropy(logits, network.chain.classes, examples.y, batch, network.logits.gradient));
    network.backward(batch.length);
    this.steps += 1;
    for (const [name, parameter] of network.parameters) descend(name, parameter, this.slots, this.descent, this.steps);
  }

  async drain(): Promise<StepScore[]> {
    await turn();
    return this.scores.splice(0);
  }

  async weights(): Promise<Weights> {
    return this.network.weights();
  }

  async state(): Promise<TrainerState> {
    return { steps: this.steps, weights: this.network.weights(), tensors: copied(this.slots) };
  }

  async restore(state: TrainerState): Promise<void> {
    checkTensors(layoutOf(this.network.chain), state.weights);
    checkTensors(this.slotShapes, state.tensors);
    this.network.load(state.weights);
    this.slots = copied(state.tensors);
    this.steps = state.steps;
    this.scores = [];
  }

  destroy(): void {}
}

const copied = (tensors: Weights): Weights =>
  new Map([...tensors].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));

/** A turn of the event loop, so that messages are heard. A timer would wait for 4 ms. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

function reportOf(memories: Memories, reason: string): EngineReport {
  const side = 512;
  const { laidOut } = memories.layOut((memory) => ({
    product: productIn(memory, side),
    a: memory.take(side * side),
    b: memory.take(side * side),
    c: memory.take(side * side),
  }));
  const { product, a, b, c } = laidOut;
  a.fill(1);
  b.fill(1);
  const rows = stride(side, side);
  const columns = stride(side, 1);
  let seconds = Infinity;
  for (let trial = 0; trial < 2; trial++) {
    const started = performance.now();
    product(c, 0, side, { data: a, at: 0, row: side, step: 1 }, { data: b, at: 0, rows, columns });
    seconds = Math.min(seconds, (performance.now() - started) / 1000);
  }
  const gflops = (2 * side ** 3) / seconds / 1e9;
  const kernels = [{ shape: 'every product', variant: memories.variant, gflops }];
  return { kind: 'cpu', reason, adapter: {}, limits: {}, kernels, matmulGflops: gflops };
}
