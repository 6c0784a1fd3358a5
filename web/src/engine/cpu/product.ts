/** Products of matrices on the CPU. All there is, is C += A · B, where a table says where the values of B lie: so one
 *  function does A·B, Aᵀ·B and A·Bᵀ, and convolutions, whose B is a window that slides over an image. */
import { type Memory, PANEL } from './memory';

/** As many of a panel's rows as half of a small cache of 32 KiB holds. */
const DEPTH = 512;

/** Where A lies: A[i, j] is `data[at + i row + j step]`. */
export interface Left {
  readonly data: Float32Array;
  readonly at: number;
  readonly row: number;
  readonly step: number;
}

/** Where B lies: B[i, j] is `data[at + rows[i] + columns[j]]`. */
export interface Right {
  readonly data: Float32Array;
  readonly at: number;
  readonly rows: Int32Array;
  readonly columns: Int32Array;
}

/** C += A · B: `c` dense [m, n] from `at` on, n the columns of `b`, all three in the memory. */
export type Product = (c: Float32Array, at: number, m: number, a: Left, b: Right) => void;

export function productIn(memory: Memory, largestM: number): Product {
  const packed = memory.take(PANEL * DEPTH);
  const ragged = memory.take(PANEL * largestM);
  return (c, at, m, a, b) => {
    const n = b.columns.length;
    for (let from = 0; from < b.rows.length; from += DEPTH) {
      const k = Math.min(DEPTH, b.rows.length - from);
      for (let column = 0; column < n; column += PANEL) {
        pack(packed, b, from, k, column);
        const aAt = a.at + from * a.step;
        const width = n - column;
        if (width >= PANEL) {
          memory.panel(a.data, aAt, a.row, a.step, packed, k, c, at + column, n, m);
          continue;
        }
        ragged.fill(0, 0, PANEL * m);
        memory.panel(a.data, aAt, a.row, a.step, packed, k, ragged, 0, PANEL, m);
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < width; j++) c[at + i * n + column + j] += ragged[PANEL * i + j];
        }
      }
    }
  };
}

/** Rows `from` to `from` + k of eight columns of B, row by row; beyond the last column, the last one again. */
function pack(packed: Float32Array, { data, at, rows, columns }: Right, from: number, k: number, column: number): void {
  const place = (j: number): number => at + columns[Math.min(column + j, columns.length - 1)];
  const [c0, c1, c2, c3] = [place(0), place(1), place(2), place(3)];
  const [c4, c5, c6, c7] = [place(4), place(5), place(6), place(7)];
  for (let i = 0, to = 0; i < k; i++, to += PANEL) {
    const row = rows[from + i];
    packed[to] = data[row + c0];
    packed[to + 1] = data[row + c1];
    packed[to + 2] = data[row + c2];
    packed[to + 3] = data[row + c3];
    packed[to + 4] = data[row + c4];
    packed[to + 5] = data[row + c5];
    packed[to + 6] = data[row + c6];
    packed[to + 7] = data[row + c7];
  }
}

/** 0, step, 2 step, …: the table of a matrix whose rows or columns are that far apart. */
export function stride(count: number, step: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => i * step);
}
