/** One step of descent on one tensor, in place: SGD and Adam (Kingma & Ba 2015, arXiv:1412.6980) as PyTorch has them,
 *  with FedProx's proximal term (Li et al. 2020, arXiv:1812.06127). */
import { sizeOf } from '../catalogue';
import type { Descent, Tensor, Weights } from '../types';
import type { Parameter } from './layers';

type Shapes = ReadonlyMap<string, readonly number[]>;

/** Adam's decay rates and what is added to the root, PyTorch's defaults. */
const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

/** The optimiser's tensors by name, all of the model's shapes; only `start` does not begin at zero. */
export function slotsOf(descent: Descent, shapes: Shapes): Map<string, readonly number[]> {
  const slots = descent.optimizer === 'adam' ? ['exp_avg', 'exp_avg_sq'] : descent.momentum > 0 ? ['momentum'] : [];
  if (descent.proximal > 0) slots.push('start');
  return new Map(slots.flatMap((slot) => [...shapes].map(([name, shape]) => [`${slot}/${name}`, shape])));
}

/** Before the first step: zeros, and the weights themselves where there is a proximal term. */
export function freshSlots(slots: Shapes, weights: Weights): Map<string, Tensor> {
  const fresh = new Map<string, Tensor>();
  for (const [name, shape] of slots) {
    const start = name.startsWith('start/') ? weights.get(name.slice('start/'.length)) : undefined;
    fresh.set(name, { shape, data: start?.data.slice() ?? new Float32Array(sizeOf(shape)) });
  }
  return fresh;
}

/** `step` counts from 1; `slots` are of `freshSlots`, changed as PyTorch changes them. */
export function descend(
  name: string,
  { value, gradient }: Parameter,
  slots: Weights,
  descent: Descent,
  step: number,
): void {
  const { learningRate, momentum, weightDecay, proximal } = descent;
  const slot = (kind: string): Float32Array | undefined => slots.get(`${kind}/${name}`)?.data;
  const [start, velocity, mean, square] = [slot('start'), slot('momentum'), slot('exp_avg'), slot('exp_avg_sq')];
  if (start !== undefined || weightDecay > 0) {
    const pulled = start ?? value;
    for (let i = 0; i < value.length; i++) {
      gradient[i] += proximal * (value[i] - pulled[i]) + weightDecay * value[i];
    }
  }
  if (mean !== undefined && square !== undefined) {
    const rate = learningRate / (1 - BETA1 ** step);
    const root = Math.sqrt(1 - BETA2 ** step);
    for (let i = 0; i < value.length; i++) {
      const g = gradient[i];
      mean[i] += (1 - BETA1) * (g - mean[i]);
      square[i] = BETA2 * square[i] + (1 - BETA2) * g * g;
      value[i] -= (rate * mean[i]) / (Math.sqrt(square[i]) / root + EPSILON);
    }
    return;
  }
  if (velocity !== undefined) for (let i = 0; i < value.length; i++) velocity[i] = momentum * velocity[i] + gradient[i];
  const direction = velocity ?? gradient;
  for (let i = 0; i < value.length; i++) value[i] -= learningRate * direction[i];
}
