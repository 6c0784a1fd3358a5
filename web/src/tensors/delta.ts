/** An update: what training added to the weights, and how large that is. */
import { Refused } from '../refused';
import type { Tensor, Weights } from '../engine/types';

/** Local minus global, in float32, as `delta/<name>`. */
export function deltaOf(trained: Weights, given: Weights): Weights {
  const delta = new Map<string, Tensor>();
  for (const [name, { shape, data }] of given) {
    const local = trained.get(name);
    if (local === undefined || `${local.shape}` !== `${shape}`) {
      throw new TypeError(`${name} is [${shape}] in the weights given, and other or absent in those trained`);
    }
    delta.set(`delta/${name}`, { shape, data: data.map((value, i) => local.data[i] - value) });
  }
  if (trained.size !== given.size) throw new TypeError('the weights trained have tensors that those given have not');
  return delta;
}

/** The L2 norm of all tensors as one vector, summed in float64. Refuses, as the server does, what is not finite. */
export function normOf(update: Weights): number {
  let square = 0;
  for (const [name, { data }] of update) {
    for (const value of data) square += value * value;
    if (!Number.isFinite(square)) throw diverged(`${name} holds values that are not finite.`);
  }
  return Math.sqrt(square);
}

export function allFinite(weights: Weights): boolean {
  return [...weights.values()].every(({ data }) => data.every(Number.isFinite));
}

export const diverged = (problem: string): Refused =>
  new Refused(
    'diverged',
    problem,
    'lower the learning rate (training.learning_rate) or momentum; check that inputs are scaled to 0..1.',
  );
