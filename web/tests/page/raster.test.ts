import { expect, it } from 'vitest';
import { centreOfMass, raster, type Stroke } from '../../src/page/raster';

const seven: Stroke[] = [[{ x: 0.1, y: 0.1 }, { x: 0.4, y: 0.1 }, { x: 0.2, y: 0.5 }]];
const bar: Stroke[] = [[{ x: 0.2, y: 0.3 }, { x: 0.2, y: 0.9 }]];

/** First and last row and column with ink, as lengths. */
function inked(plane: Float32Array, width: number): { rows: number; columns: number } {
  const at = [...plane.keys()].filter((index) => (plane[index] ?? 0) > 0);
  const span = (values: number[]): number => Math.max(...values) - Math.min(...values) + 1;
  return { rows: span(at.map((index) => Math.floor(index / width))), columns: span(at.map((index) => index % width)) };
}

it('puts the centre of mass in the middle and the ink into a box of 20 pixels', () => {
  const plane = raster(seven, [1, 28, 28]);
  const { x, y } = centreOfMass(plane, 28);
  expect(Math.abs(x - 14)).toBeLessThan(0.125); // half a sample
  expect(Math.abs(y - 14)).toBeLessThan(0.125);
  expect(inked(plane, 28).rows).toBeGreaterThanOrEqual(20);
  expect(inked(plane, 28).rows).toBeLessThanOrEqual(21);
  expect(inked(plane, 28).columns).toBeLessThan(20);
});

it('gives the same example wherever and however large a person draws', () => {
  const moved = bar.map((stroke) => stroke.map(({ x, y }) => ({ x: x + 0.5, y: y - 0.2 })));
  const [one, other] = [raster(bar, [1, 28, 28]), raster(moved, [1, 28, 28])];
  const apart = one.reduce((most, value, at) => Math.max(most, Math.abs(value - (other[at] ?? 0))), 0);
  expect(apart).toBeLessThan(0.3); // a row of samples may fall to the other side of an edge
});

it('is antialiased: full ink inside, part ink at the edges, within 0 to 1', () => {
  const plane = raster(seven, [1, 28, 28]);
  expect(Math.max(...plane)).toBe(1);
  expect(Math.min(...plane)).toBe(0);
  expect(plane.some((value) => value > 0.1 && value < 0.9)).toBe(true);
});

it('fills images under 16 pixels, as the digits sample does', () => {
  expect(inked(raster(bar, [1, 8, 8]), 8).rows).toBe(8);
});

it('repeats the plane for each colour', () => {
  const [grey, colour] = [raster(seven, [1, 32, 32]), raster(seven, [3, 32, 32])];
  expect(colour).toEqual(Float32Array.from([...grey, ...grey, ...grey]));
});

it('leaves an empty pad black, and a dot a dot', () => {
  expect(Math.max(...raster([], [1, 28, 28]))).toBe(0);
  const dot = raster([[{ x: 0.9, y: 0.9 }]], [1, 28, 28]);
  expect(inked(dot, 28).rows).toBeLessThanOrEqual(7);
  expect(centreOfMass(dot, 28).x).toBeCloseTo(14, 1);
});
