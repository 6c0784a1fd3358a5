import { describe, expect, it } from 'vitest';
import { gamma, uniform } from '../../src/rehearsal/draws';
import { Random } from '../../src/training/random';

const COUNT = 20_000;
const LEVELS = [0.1, 0.5, 0.9, 0.99];

describe.each([
  // shape, and scipy.stats.gamma.ppf at the four levels
  [0.1, [6.073e-11, 0.00059339, 0.26615, 1.5885]],
  [0.5, [0.0078954, 0.22747, 1.3528, 3.3174]],
  [1, [0.10536, 0.69315, 2.3026, 4.6052]],
  [3.7, [1.5464, 3.3725, 6.2789, 9.5633]],
])('gamma(%d)', (shape, quantiles) => {
  it('has the mean, the variance and the quantiles of the distribution', () => {
    const random = Random.seeded(`gamma/${shape}`);
    const drawn = Float64Array.from({ length: COUNT }, () => gamma(random, shape)).sort();
    const mean = drawn.reduce((sum, value) => sum + value, 0) / COUNT;
    const variance = drawn.reduce((sum, value) => sum + (value - mean) ** 2, 0) / COUNT;
    expect(Math.abs(mean / shape - 1)).toBeLessThan(4 / Math.sqrt(shape * COUNT)); // four standard errors
    expect(Math.abs(variance / shape - 1)).toBeLessThan(0.15);
    quantiles.forEach((quantile, i) => {
      const below = drawn.filter((value) => value < quantile).length / COUNT;
      expect(Math.abs(below - LEVELS[i])).toBeLessThan(4 * Math.sqrt((LEVELS[i] * (1 - LEVELS[i])) / COUNT));
    });
  });
});

it('a tiny shape gives numbers, be they zero', () => {
  const random = Random.seeded(1);
  expect(Array.from({ length: 100 }, () => gamma(random, 1e-4)).every((value) => value >= 0 && value < 20)).toBe(true);
});

it('uniform draws lie within (0, 1) and are half below a half', () => {
  const random = Random.seeded(2);
  const drawn = Array.from({ length: COUNT }, () => uniform(random));
  expect(drawn.every((value) => value > 0 && value < 1)).toBe(true);
  expect(Math.abs(drawn.filter((value) => value < 0.5).length / COUNT - 0.5)).toBeLessThan(2 / Math.sqrt(COUNT));
});
