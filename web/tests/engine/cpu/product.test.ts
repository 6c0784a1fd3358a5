import { describe, expect, it } from 'vitest';
import { productIn, stride } from '../../../src/engine/cpu/product';
import { MEMORIES } from './memories';
import { error, values } from './reference';

const SIZES = [1, 3, 17, 65, 257];
// Every size in each place, and a depth that is more than one block's.
const SHAPES = [
  ...SIZES.flatMap((m) => SIZES.map((n) => [m, n, SIZES[(SIZES.indexOf(m) + 2 * SIZES.indexOf(n)) % 5]] as const)),
  ...SIZES.map((side) => [side, side, side] as const),
  [5, 9, 1025] as const,
];

it('compiles its SIMD module here', () => {
  expect(MEMORIES[0][1].variant).toBe('wasm simd 4x8');
});

describe.each(MEMORIES)('a product %s', (_, memories) => {
  for (const [left, right] of ['AB', 'TB', 'AT'].map((kinds) => [kinds[0] === 'T', kinds[1] === 'T'])) {
    it(`adds ${left ? 'Aᵀ' : 'A'} ${right ? 'Bᵀ' : 'B'} to C, at every size`, () => {
      for (const [m, n, k] of SHAPES) {
        const { laidOut } = memories.layOut((memory) => ({
          product: productIn(memory, m),
          a: memory.take(3 + m * k),
          b: memory.take(2 + n * k),
          c: memory.take(1 + m * n + 8),
        }));
        const { product, a, b, c } = laidOut;
        a.set(values(a.length, 1));
        b.set(values(b.length, 2));
        c.set(values(c.length, 3));
        const wanted = Float64Array.from(c);
        const [row, step] = left ? [1, m] : [k, 1];
        const [rows, columns] = right ? [stride(k, 1), stride(n, k)] : [stride(k, n), stride(n, 1)];
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < n; j++) {
            for (let l = 0; l < k; l++) {
              wanted[1 + i * n + j] += a[3 + i * row + l * step] * b[2 + rows[l] + columns[j]];
            }
          }
        }
        product(c, 1, m, { data: a, at: 3, row, step }, { data: b, at: 2, rows, columns });
        expect(error(c, wanted), `${m} × ${n} × ${k}`).toBeLessThan(3e-6);
      }
    });
  }
});
