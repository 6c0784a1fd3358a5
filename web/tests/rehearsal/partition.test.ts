import { expect, it } from 'vitest';
import { dirichletShares, FEWEST, labelCounts } from '../../src/rehearsal/partition';
import { Refused } from '../../src/refused';
import { Random } from '../../src/training/random';

const LABELS = Uint32Array.from({ length: 600 }, (_, i) => i % 10);
const cut = (parts: number, alpha: number, seed = 1, labels = LABELS) =>
  dirichletShares(labels, parts, alpha, Random.seeded(seed));

it.each([
  [1, 0.5],
  [2, 1e6],
  [5, 0.01],
  [16, 0.5],
  [16, 1e-5],
])('%d shares with alpha %d are disjoint, sorted, the whole, and none is too small', (parts, alpha) => {
  for (let seed = 0; seed < 10; seed++) {
    const shares = cut(parts, alpha, seed);
    expect(shares.length).toBe(parts);
    expect(shares.flatMap((share) => [...share]).sort((a, b) => a - b)).toEqual([...LABELS.keys()]);
    for (const share of shares) {
      expect(share.length).toBeGreaterThanOrEqual(FEWEST);
      expect([...share]).toEqual([...share].sort((a, b) => a - b));
    }
  }
});

it('a large alpha gives each node about as many of each class, a small one few classes', () => {
  const even = labelCounts(LABELS, cut(5, 1e6), 10).flat();
  expect(Math.min(...even)).toBeGreaterThanOrEqual(10); // of 12
  expect(Math.max(...even)).toBeLessThanOrEqual(14);
  const skewed = labelCounts(LABELS, cut(5, 0.05), 10);
  const largest = skewed.map((counts) => Math.max(...counts) / counts.reduce((a, b) => a + b));
  expect(largest.reduce((a, b) => a + b) / 5).toBeGreaterThan(0.3);
  expect(skewed.flat().filter((count) => count === 0).length).toBeGreaterThan(20);
});

it('depends on the seed alone', () => {
  expect(cut(4, 0.5, 3)).toEqual(cut(4, 0.5, 3));
  expect(cut(4, 0.5, 3)).not.toEqual(cut(4, 0.5, 4));
});

it('counts the labels of each share', () => {
  const shares = [Uint32Array.of(0, 2, 4), Uint32Array.of(1, 3)];
  expect(labelCounts(Uint32Array.of(2, 0, 2, 0, 1), shares, 4)).toEqual([
    [0, 1, 2, 0],
    [2, 0, 0, 0],
  ]);
});

it('exactly enough examples are enough, and one fewer is refused with how many nodes would do', () => {
  const labels = new Uint32Array(3 * FEWEST);
  expect(cut(3, 0.1, 1, labels).map((share) => share.length)).toEqual([FEWEST, FEWEST, FEWEST]);
  expect(() => cut(3, 0.1, 1, labels.slice(1))).toThrow(/14 examples are too few for 3 nodes.*at most 2 nodes/);
  expect(() => cut(1, 0.1, 1, labels.slice(0, 1))).toThrow(Refused);
});
