/** Draws from continuous distributions. */
import type { Random } from '../training/random';

/** In (0, 1), neither end among them. */
export const uniform = (random: Random): number => (random.below(2 ** 32) + 0.5) / 2 ** 32;

/** Box & Muller 1958; the second of the pair is left. */
const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(uniform(random))) * Math.cos(2 * Math.PI * uniform(random));

/** Gamma(shape, 1): Marsaglia & Tsang 2000, A simple method for generating gamma variables (§4; below 1: §6). */
export function gamma(random: Random, shape: number): number {
  if (shape < 1) return gamma(random, shape + 1) * uniform(random) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random);
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(uniform(random)) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}
