/** Federated averaging (McMahan et al. 2017, arXiv:1602.05629, algorithm 1), on deltas as the server does it. */
import type { Tensor, Weights } from '../engine/types';

/** What one node brings: its tensors as `delta/<name>`, and the examples that it trained on. */
export interface Update {
  readonly delta: Weights;
  readonly numExamples: number;
}

/** w + Σ nₖ Δₖ / Σ nₖ, summed in float64. */
export function fedavg(weights: Weights, updates: readonly Update[]): Weights {
  const total = updates.reduce((sum, { numExamples }) => sum + numExamples, 0);
  if (!(total > 0)) throw new RangeError('there are no examples to weigh the updates by');
  const next = new Map<string, Tensor>();
  for (const [name, { shape, data }] of weights) {
    const mean = new Float64Array(data.length);
    for (const { delta, numExamples } of updates) {
      const found = delta.get(`delta/${name}`)?.data;
      if (found?.length !== data.length) throw new TypeError(`an update has no ${name} of [${shape}]`);
      const share = numExamples / total;
      for (let i = 0; i < mean.length; i++) mean[i] += share * found[i];
    }
    next.set(name, { shape, data: data.map((value, i) => value + mean[i]) });
  }
  return next;
}
