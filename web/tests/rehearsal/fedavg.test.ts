import { expect, it } from 'vitest';
import type { Weights } from '../../src/engine/types';
import { fedavg } from '../../src/rehearsal/fedavg';

const weights = (name: string, ...data: number[]): Weights =>
  new Map([[name, { shape: [data.length], data: Float32Array.from(data) }]]);

it('adds the mean of the deltas, weighted by examples', () => {
  const updates = [
    { delta: weights('delta/w', 1, -2, 0), numExamples: 1 },
    { delta: weights('delta/w', 5, 2, 0.5), numExamples: 3 },
  ];
  // (1·1 + 3·5) / 4 = 4, (1·-2 + 3·2) / 4 = 1, 1.5 / 4 = 0.375
  expect([...(fedavg(weights('w', 10, 20, 30), updates).get('w')?.data ?? [])]).toEqual([14, 21, 30.375]);
});

it('sums in float64: what float32 would swallow counts', () => {
  const many = Array.from({ length: 1024 }, () => ({ delta: weights('delta/w', 2 ** -24), numExamples: 1 }));
  const updates = [{ delta: weights('delta/w', 1), numExamples: 1024 }, ...many];
  // (1 + 2⁻²⁴) / 2, and minus a half; a float32 sum would stay at 1/2 exactly.
  expect(fedavg(weights('w', -0.5), updates).get('w')?.data[0]).toBe(2 ** -25);
});

it('leaves the weights that it was given as they are, and keeps their shapes', () => {
  const given: Weights = new Map([['w', { shape: [2, 1], data: Float32Array.of(1, 2) }]]);
  const next = fedavg(given, [{ delta: weights('delta/w', 1, 1), numExamples: 7 }]);
  expect(next.get('w')).toEqual({ shape: [2, 1], data: Float32Array.of(2, 3) });
  expect([...(given.get('w')?.data ?? [])]).toEqual([1, 2]);
});

it('takes no updates without examples, and none of another model', () => {
  expect(() => fedavg(weights('w', 1), [])).toThrow(RangeError);
  expect(() => fedavg(weights('w', 1), [{ delta: weights('delta/v', 1), numExamples: 1 }])).toThrow(/no w/);
});
