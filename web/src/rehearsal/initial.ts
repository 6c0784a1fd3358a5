/** Initial weights by the rule of `resources/models/initialisation.py`; the draws are this tab's own. */
import { layoutOf, sizeOf } from '../engine/catalogue';
import type { Chain, Tensor, Weights } from '../engine/types';
import { Random } from '../training/random';
import { uniform } from './draws';

/** What PyTorch draws by itself; and what keeps the signal's size through ReLU (He et al. 2015, arXiv:1502.01852). */
const [PYTORCH, HE] = [1 / Math.sqrt(3), Math.SQRT2];

/** Weights are uniform with standard deviation gain / √fan_in, biases uniform in ±1 / √fan_in. */
export function initialWeights(modelId: string, chain: Chain, seed: number): Weights {
  const gain = modelId === 'cifar10_cnn' ? HE : PYTORCH;
  const random = Random.seeded(`initial weights/${seed}`);
  const weights = new Map<string, Tensor>();
  let unit = 0;
  for (const [name, shape] of layoutOf(chain)) {
    const isBias = shape.length === 1; // it follows its weight
    if (!isBias) unit = 1 / Math.sqrt(sizeOf(shape.slice(1)));
    const bound = isBias ? unit : gain * Math.sqrt(3) * unit;
    const data = Float32Array.from({ length: sizeOf(shape) }, () => bound * (2 * uniform(random) - 1));
    weights.set(name, { shape, data });
  }
  return weights;
}
