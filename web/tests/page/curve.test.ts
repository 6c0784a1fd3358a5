import { expect, it } from 'vitest';
import { Curve, Odometer } from '../../src/page/curve';

it('gives its columns in order, gaps as null', () => {
  const curve = new Curve();
  curve.push([1, 2.3, null]);
  curve.push([2, 2.1, 0.4]);
  expect(curve.columns(2)).toEqual([[1, 2], [2.3, 2.1], [null, 0.4]]);
});

it('walks steps again after a checkpoint instead of folding back', () => {
  const curve = new Curve();
  [1, 2, 3, 4].forEach((x) => curve.push([x, x]));
  curve.push([3, 30]);
  expect(curve.rows).toEqual([[1, 1], [2, 2], [3, 30]]);
});

it('stays small over a long training, keeping its ends and its order', () => {
  const curve = new Curve(100);
  for (let x = 0; x <= 5000; x++) {
    curve.push([x, x]);
  }
  const [xs] = curve.columns(1);
  expect(xs.length).toBeLessThanOrEqual(100);
  expect([xs[0], xs.at(-1)]).toEqual([0, 5000]);
  expect(xs).toEqual([...xs].sort((a, b) => a - b));
});

it('samples rows for the table with both ends', () => {
  const curve = new Curve();
  for (let x = 0; x < 100; x++) {
    curve.push([x, 1]);
  }
  expect(curve.sample(4).map(([x]) => x)).toEqual([0, 33, 66, 99]);
});

it('puts the steps of later rounds behind those of earlier ones', () => {
  const way = new Odometer();
  expect([way.at(1, 10), way.at(1, 20), way.at(2, 5), way.at(2, 10), way.at(4, 1)]).toEqual([10, 20, 25, 30, 31]);
});

it('begins the way of another task at zero, and goes on with that of the same one', () => {
  const way = new Odometer();
  expect([way.begins('a'), way.at(1, 10), way.at(2, 5)]).toEqual([false, 10, 15]);
  expect([way.begins('a'), way.at(3, 1)]).toEqual([false, 16]);
  expect([way.begins('b'), way.at(3, 1), way.at(4, 2)]).toEqual([true, 1, 3]);
});
