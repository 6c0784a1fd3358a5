import { expect, it } from 'vitest';
import { splitHoldout } from '../../src/training/holdout';

const examples = (n: number) => ({
  x: Float32Array.from({ length: 2 * n }, (_, i) => i),
  y: Uint32Array.from({ length: n }, (_, i) => i),
});

it('holds out a share, rounded down, and parts every example from its fellow with its values', () => {
  const { train, heldOut } = splitHoldout(examples(17), 2, 0.3, 'node');
  expect([train.y.length, heldOut.y.length]).toEqual([12, 5]);
  expect([...train.y, ...heldOut.y].sort((a, b) => a - b)).toEqual([...examples(17).y]);
  for (const { x, y } of [train, heldOut]) {
    expect([...y]).toEqual([...y].sort((a, b) => a - b));
    expect([...x]).toEqual([...y].flatMap((label) => [2 * label, 2 * label + 1]));
  }
});

it('draws the same by the same seed, and otherwise by another', () => {
  const held = (seed: string): string => `${splitHoldout(examples(40), 2, 0.5, seed).heldOut.y}`;
  expect(held('a')).toBe(held('a'));
  expect(held('a')).not.toBe(held('b'));
});

it('holds out nothing of a share of zero, and all of one', () => {
  expect(splitHoldout(examples(5), 2, 0, 1).heldOut.y.length).toBe(0);
  expect(splitHoldout(examples(5), 2, 1, 1).train.y.length).toBe(0);
});
