import { expect, it } from 'vitest';
import type { Weights } from '../../src/engine/types';
import { allFinite, deltaOf, normOf } from '../../src/tensors/delta';

const of = (...data: number[]): Weights =>
  new Map([['a.weight', { shape: [data.length], data: Float32Array.from(data) }]]);

it('is local minus global in float32, under the names of an update', () => {
  const delta = deltaOf(of(1.5, 0.1), of(1, 0.3));
  expect([...delta.keys()]).toEqual(['delta/a.weight']);
  expect(delta.get('delta/a.weight')).toEqual({
    shape: [2],
    data: Float32Array.of(0.5, Math.fround(0.1) - Math.fround(0.3)),
  });
});

it('needs the same tensors on both sides', () => {
  const more = new Map([...of(1), ['b', { shape: [1], data: Float32Array.of(1) }] as const]);
  expect(() => deltaOf(of(1), of(1, 2))).toThrow(/a\.weight is \[2\]/);
  expect(() => deltaOf(more, of(1))).toThrow(TypeError);
  expect(() => deltaOf(of(1), more)).toThrow(TypeError);
});

it('has the norm of all tensors as one vector, even where float32 would lose it', () => {
  const update = new Map([...of(3e19, 0), ['b', { shape: [1], data: Float32Array.of(4e19) }] as const]);
  expect(normOf(update) / 5e19).toBeCloseTo(1, 6);
  expect(normOf(of(4096, ...Array<number>(1000).fill(0.01)))).toBeGreaterThan(4096);
});

it('is refused where a value is not finite', () => {
  for (const value of [NaN, Infinity, -Infinity]) {
    expect(() => normOf(of(1, value, 2))).toThrow(expect.objectContaining({ code: 'diverged' }));
    expect(allFinite(of(1, value, 2))).toBe(false);
  }
  expect(allFinite(of(1, 2))).toBe(true);
});
