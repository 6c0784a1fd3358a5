/** The vectors of `scripts/parity_vectors.py`, and what both sides compute from a hash in place of storing it. */
import { readFileSync } from 'node:fs';
import { layoutOf, sizeOf } from '../../src/engine/catalogue';
import type { Chain, Descent, Examples, Tensor, Weights } from '../../src/engine/types';

export interface Case {
  readonly model: string;
  readonly options: Readonly<Record<string, number>>;
  readonly shape: readonly number[];
  readonly classes: number;
  readonly descent: Descent;
  /** The final weights, as Python wrote them; null where they are not stored. */
  readonly file: string | null;
  readonly losses: readonly number[];
  readonly correct: readonly number[];
  /** Of each final tensor: its norm, how far it moved, and the sketch of how it moved. */
  readonly tensors: Readonly<Record<string, { norm: number; moved: number; sketch: readonly number[] }>>;
}

interface Vectors {
  readonly counts: readonly { model: string; shape: readonly number[]; classes: number; parameters: number }[];
  readonly cases: readonly Case[];
}

const at = (name: string): URL => new URL(name, import.meta.url);

export const vectors: Vectors = JSON.parse(readFileSync(at('vectors.json'), 'utf8'));

export const fileOf = (name: string): Uint8Array => new Uint8Array(readFileSync(at(`files/${name}`)));

const EXAMPLES = 36;

/** Values in [0, 1), multiples of 2⁻²⁴. */
function uniform(count: number, salt: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    let x = (i + (salt << 20)) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    return ((x ^ (x >>> 16)) >>> 8) / 2 ** 24;
  });
}

export function weightsOf(chain: Chain): Weights {
  const layout = layoutOf(chain);
  const weights = new Map<string, Tensor>();
  for (const [name, shape] of layout) {
    const fanIn = sizeOf((layout.get(name.replace('bias', 'weight')) ?? []).slice(1));
    const values = uniform(sizeOf(shape), 1 + weights.size).map((u) => (2 * u - 1) * Math.sqrt(6 / fanIn));
    weights.set(name, { shape, data: Float32Array.from(values) });
  }
  return weights;
}

export function examplesOf(chain: Chain): Examples {
  const x = uniform(EXAMPLES * sizeOf(chain.inputShape), 100).map((u) => (u < 0.5 ? 0 : u));
  return { x: Float32Array.from(x), y: Uint32Array.from(uniform(EXAMPLES, 101), (u) => Math.floor(u * chain.classes)) };
}

/** The places of the examples of each step: in order, over and over. */
export function batchesOf(steps: number, size: number): Uint32Array[] {
  let from = 0;
  return Array.from({ length: steps }, () => {
    const batch = Uint32Array.from({ length: Math.min(size, EXAMPLES - from) }, (_, i) => from + i);
    from = (from + batch.length) % EXAMPLES;
    return batch;
  });
}

/** Values added up in as many cells as `cells` says, by hashed places and signs. */
export function sketch(values: Float64Array, cells: number): Float64Array {
  const places = uniform(values.length, 102);
  const signs = uniform(values.length, 103);
  const sums = new Float64Array(cells);
  values.forEach((value, i) => (sums[Math.floor(places[i] * cells)] += signs[i] < 0.5 ? -value : value));
  return sums;
}

export const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.sqrt(Array.from(a).reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));

export const norm = (a: ArrayLike<number>): number => distance(a, new Float64Array(a.length));
