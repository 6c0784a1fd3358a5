import { expect, it } from 'vitest';
import { chainOf, layoutOf } from '../../src/engine/catalogue';
import type { Weights } from '../../src/engine/types';
import { initialWeights } from '../../src/rehearsal/initial';

const drawn = (model: string, shape: readonly number[], seed = 1) =>
  initialWeights(model, chainOf(model, {}, shape, 10), seed);
const bound = (data: readonly number[]): number => data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const deviation = (data: readonly number[]): number =>
  Math.sqrt(data.reduce((sum, value) => sum + value * value, 0) / data.length);
const of = (weights: Weights, name: string): number[] => [...(weights.get(name)?.data ?? [])];

it("has the model's names and shapes", () => {
  const chain = chainOf('mnist_cnn', {}, [1, 8, 8], 10);
  const weights = initialWeights('mnist_cnn', chain, 0);
  expect([...weights].map(([name, { shape }]) => [name, shape])).toEqual([...layoutOf(chain)]);
});

it("draws as PyTorch's layers do: weights and biases within 1 / √fan_in", () => {
  const weights = drawn('mnist_cnn', [1, 8, 8]);
  for (const [layer, fanIn] of [
    ['conv2', 32 * 9],
    ['hidden', 64 * 4],
  ] as const) {
    const weight = of(weights, `${layer}.weight`);
    expect(bound(weight) * Math.sqrt(fanIn)).toBeLessThanOrEqual(1 + 1e-6);
    expect(bound(weight) * Math.sqrt(fanIn)).toBeGreaterThan(0.99);
    expect(deviation(weight) * Math.sqrt(3 * fanIn)).toBeCloseTo(1, 1);
    expect(bound(of(weights, `${layer}.bias`)) * Math.sqrt(fanIn)).toBeGreaterThan(0.8);
    expect(bound(of(weights, `${layer}.bias`)) * Math.sqrt(fanIn)).toBeLessThanOrEqual(1 + 1e-6);
  }
});

it("draws the deep network's weights after He et al., its biases as PyTorch", () => {
  const weights = drawn('cifar10_cnn', [3, 8, 8]);
  const fanIn = 128 * 9;
  expect(deviation(of(weights, 'features.12.weight')) * Math.sqrt(fanIn)).toBeCloseTo(Math.SQRT2, 1);
  expect(bound(of(weights, 'features.12.weight')) * Math.sqrt(fanIn)).toBeCloseTo(Math.sqrt(6), 2);
  expect(bound(of(weights, 'features.12.bias')) * Math.sqrt(fanIn)).toBeLessThanOrEqual(1 + 1e-6);
});

it('equal seeds give equal weights, others others', () => {
  expect(drawn('mlp', [4])).toEqual(drawn('mlp', [4]));
  expect(drawn('mlp', [4])).not.toEqual(drawn('mlp', [4], 2));
});
