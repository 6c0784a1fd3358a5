/** A model on the CPU: its layers in a row, and the loss at their end. */
import { layoutOf, sizeOf } from '../catalogue';
import type { Chain, StepScore, Tensor, Weights } from '../types';
import { type Ground, type Parameter, signal, type Stage, stageOf } from './layers';
import type { Memory } from './memory';
import { productIn } from './product';

export class Network {
  readonly parameters: ReadonlyMap<string, Parameter & { readonly shape: readonly number[] }>;
  private readonly input;
  private readonly stages: readonly Stage[];

  /** Takes memory for `batch` examples; for gradients, too, if it is to `train`. */
  constructor(
    readonly chain: Chain,
    memory: Memory,
    readonly batch: number,
    train: boolean,
  ) {
    const rows = chain.layers.map((layer) => (layer.kind === 'pool' ? 0 : Math.max(layer.inputs, layer.outputs)));
    const ground: Ground = { memory, product: productIn(memory, Math.max(batch, ...rows)), batch, train };
    this.input = signal(ground, sizeOf(chain.inputShape), false);
    const stages: Stage[] = [];
    for (const layer of chain.layers) stages.push(stageOf(layer, stages.at(-1)?.output ?? this.input, ground));
    this.stages = stages;
    const layout = layoutOf(chain);
    const named = stages.flatMap((stage) => stage.parameters);
    this.parameters = new Map(
      named.map(({ name, parameter }) => [name, { ...parameter, shape: layout.get(name) ?? [] }]),
    );
  }

  load(weights: Weights): void {
    for (const [name, { value }] of this.parameters) value.set(tensorOf(weights, name).data);
  }

  weights(): Map<string, Tensor> {
    return new Map([...this.parameters].map(([name, { shape, value }]) => [name, { shape, data: value.slice() }]));
  }

  /** Logits [n, classes] of the examples at `places`, no more of them than the batch; valid until the next call. */
  forward(x: Float32Array, places: ArrayLike<number>): Float32Array {
    const { size, values } = this.input;
    for (let i = 0; i < places.length; i++) values.set(x.subarray(places[i] * size, (places[i] + 1) * size), i * size);
    for (const stage of this.stages) stage.forward(places.length);
    return this.logits.values.subarray(0, places.length * this.chain.classes);
  }

  /** From the loss's gradient by the logits of the last `forward`, which the caller has written, to the parameters'. */
  backward(n: number): void {
    for (const { gradient } of this.parameters.values()) gradient.fill(0);
    for (const stage of this.stages.toReversed()) stage.backward(n);
  }

  get logits(): Stage['output'] {
    return this.stages[this.stages.length - 1].output;
  }
}

/** Mean cross-entropy and right answers (ties: the first class). Where there is room in `gradient`, it is the loss's
 *  by the logits. */
export function crossEntropy(
  logits: Float32Array,
  classes: number,
  y: Uint32Array,
  places: ArrayLike<number>,
  gradient: Float32Array,
): StepScore {
  const n = places.length;
  const wanted = gradient.length > 0;
  let [loss, correct] = [0, 0];
  for (let i = 0; i < n; i++) {
    const at = i * classes;
    const label = at + y[places[i]];
    let best = at;
    for (let j = at; j < at + classes; j++) if (logits[j] > logits[best]) best = j;
    let sum = 0;
    for (let j = at; j < at + classes; j++) sum += Math.exp(logits[j] - logits[best]);
    loss += Math.log(sum) + logits[best] - logits[label];
    if (best === label) correct += 1;
    if (!wanted) continue;
    for (let j = at; j < at + classes; j++) {
      gradient[j] = (Math.exp(logits[j] - logits[best]) / sum - (j === label ? 1 : 0)) / n;
    }
  }
  return { loss: loss / n, correct };
}

function tensorOf(weights: Weights, name: string): Tensor {
  const tensor = weights.get(name);
  if (tensor === undefined) throw new TypeError(`there is no tensor ${name}`);
  return tensor;
}
