import { expect, it } from 'vitest';
import { Random } from '../../src/training/random';

/** xoshiro128** by its definition, in whole numbers without bounds. */
function reference(state: readonly number[], count: number): number[] {
  const low = (x: bigint): bigint => BigInt.asUintN(32, x);
  const rotate = (x: bigint, by: bigint): bigint => low(x << by) | (x >> (32n - by));
  let [a, b, c, d] = state.map((word) => low(BigInt(word)));
  return Array.from({ length: count }, () => {
    const drawn = low(rotate(low(b * 5n), 7n) * 9n);
    const shifted = low(b << 9n);
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11n);
    return Number(drawn);
  });
}

it('draws what xoshiro128** draws', () => {
  const random = Random.seeded('a task/3');
  const wanted = reference(random.state, 1000);
  expect(Array.from({ length: 1000 }, () => random.below(2 ** 32))).toEqual(wanted);
});

it('goes on from its state, which goes through JSON', () => {
  const random = Random.seeded(7);
  random.permutation(100);
  const twin = Random.at(JSON.parse(JSON.stringify(random.state)));
  expect(twin.permutation(50)).toEqual(random.permutation(50));
});

it('draws alike for equal seeds, and otherwise for others', () => {
  const orders = ['1', '2', 'a/1', 'a/2', ''].map((seed) => `${Random.seeded(seed).permutation(20)}`);
  expect(new Set(orders).size).toBe(5);
  expect(`${Random.seeded(1).permutation(20)}`).toBe(orders[0]);
});

it('permutes: each number once, and each order about as often', () => {
  const random = Random.seeded('fair');
  expect([...random.permutation(257)].sort((a, b) => a - b)).toEqual(Array.from({ length: 257 }, (_, i) => i));
  const seen = new Map<string, number>();
  for (let i = 0; i < 12_000; i++) {
    const order = `${random.permutation(4)}`;
    seen.set(order, (seen.get(order) ?? 0) + 1);
  }
  expect(seen.size).toBe(24);
  const surprise = [...seen.values()].reduce((sum, count) => sum + (count - 500) ** 2 / 500, 0);
  expect(surprise).toBeLessThan(49.7); // χ² with 23 degrees of freedom, 1 in 1000
});

it('favours no number, even where the numbers do not divide what it draws', () => {
  const random = Random.seeded('fair');
  const low = Array.from({ length: 3000 }, () => random.below(3 * 2 ** 30)).filter((drawn) => drawn < 2 ** 30);
  expect(Math.abs(low.length - 1000)).toBeLessThan(85); // 3.3 standard deviations; a bias would give 1500
});
