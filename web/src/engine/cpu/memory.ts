/** Where a network's numbers lie on the CPU, and the inner loop that works on them there: WebAssembly's memory and SIMD
 *  where the browser runs them, plain typed arrays elsewhere. */
import { simdModule } from './simd';

/** Columns of a panel: what the inner loop computes at a time. */
export const PANEL = 8;

/** C[m, 8] += A[m, k] · P[k, 8]. Row i of C begins at `c[cAt + i cRow]`, A[i, j] is `a[aAt + i aRow + j aStep]`, and P
 *  is dense from its start. */
export type Panel = (
  a: Float32Array,
  aAt: number,
  aRow: number,
  aStep: number,
  p: Float32Array,
  k: number,
  c: Float32Array,
  cAt: number,
  cRow: number,
  m: number,
) => void;

export interface Memory {
  /** Zeros; all that is taken is to be taken while the memory is laid out. */
  take(values: number): Float32Array;
  readonly panel: Panel;
}

/** Lays out a memory for what `layOut` takes. It is called twice, the first time to count: it must take the same both
 *  times, and may not use what it took. */
export type Layout = <T>(layOut: (memory: Memory) => T) => { readonly laidOut: T; readonly bytes: number };

export interface Memories {
  readonly variant: string;
  readonly layOut: Layout;
}

/** SIMD if it is allowed and present, else typed arrays. */
export async function openMemories(): Promise<Memories> {
  try {
    const module = await WebAssembly.compile(simdModule());
    return { variant: 'wasm simd 4x8', layOut: (layOut) => inWasm(module, layOut) };
  } catch {
    return PLAIN; // an old browser, or a content security policy without 'wasm-unsafe-eval'
  }
}

const PAGE = 65_536;
const MOST = 2 ** 30; // values: addresses are of 32 bits
const align = (values: number): number => 4 * Math.ceil(values / 4);

function inWasm<T>(module: WebAssembly.Module, layOut: (memory: Memory) => T): { laidOut: T; bytes: number } {
  let values = 0;
  const nothing = new Float32Array(0);
  const count = (n: number): Float32Array => {
    values += align(n);
    if (values > MOST) throw new RangeError('more than WebAssembly can address');
    return nothing;
  };
  layOut({ take: count, panel: plainPanel });
  const memory = new WebAssembly.Memory({ initial: Math.ceil((4 * values) / PAGE) });
  const instance = new WebAssembly.Instance(module, { m: { m: memory } });
  const f = instance.exports.f as (...places: number[]) => void;
  let next = 0;
  const laidOut = layOut({
    take: (n) => {
      const taken = new Float32Array(memory.buffer, 4 * next, n);
      next += align(n);
      return taken;
    },
    panel: (a, aAt, aRow, aStep, p, k, c, cAt, cRow, m) => {
      const end = p.byteOffset + 4 * PANEL * k;
      f(a.byteOffset + 4 * aAt, 4 * aRow, 4 * aStep, p.byteOffset, end, c.byteOffset + 4 * cAt, 4 * cRow, m);
    },
  });
  return { laidOut, bytes: memory.buffer.byteLength };
}

/** Typed arrays and a loop without SIMD. */
export const PLAIN: Memories = {
  variant: 'typed arrays 4x4',
  layOut: (layOut) => {
    let bytes = 0;
    const take = (n: number): Float32Array => ((bytes += 4 * n), new Float32Array(n));
    return { laidOut: layOut({ take, panel: plainPanel }), bytes };
  },
};

/** Four rows by four columns at a time in variables; a block's rows beyond the last are the last row again. */
const plainPanel: Panel = (a, aAt, aRow, aStep, p, k, c, cAt, cRow, m) => {
  for (let row = 0; row < m; row += 4) {
    for (let column = 0; column < PANEL; column += 4) {
      const [r1, r2, r3] = [Math.min(row + 1, m - 1), Math.min(row + 2, m - 1), Math.min(row + 3, m - 1)];
      let [a0, a1, a2, a3] = [aAt + row * aRow, aAt + r1 * aRow, aAt + r2 * aRow, aAt + r3 * aRow];
      let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      let s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
      for (let at = column; at < PANEL * k; at += PANEL) {
        const p0 = p[at], p1 = p[at + 1], p2 = p[at + 2], p3 = p[at + 3];
        const v0 = a[a0], v1 = a[a1], v2 = a[a2], v3 = a[a3];
        s00 += v0 * p0; s01 += v0 * p1; s02 += v0 * p2; s03 += v0 * p3;
        s10 += v1 * p0; s11 += v1 * p1; s12 += v1 * p2; s13 += v1 * p3;
        s20 += v2 * p0; s21 += v2 * p1; s22 += v2 * p2; s23 += v2 * p3;
        s30 += v3 * p0; s31 += v3 * p1; s32 += v3 * p2; s33 += v3 * p3;
        a0 += aStep; a1 += aStep; a2 += aStep; a3 += aStep;
      }
      const sums = [[s00, s01, s02, s03], [s10, s11, s12, s13], [s20, s21, s22, s23], [s30, s31, s32, s33]];
      for (let i = 0; i < Math.min(4, m - row); i++) {
        const at = cAt + (row + i) * cRow + column;
        for (let j = 0; j < 4; j++) c[at + j] += sums[i][j];
      }
    }
  }
};
