/** What the kernels must compute, in float64 and by the definition. */
import type { Conv, Linear, Pool } from '../../../src/engine/types';

export type Values = ArrayLike<number>;

/** Reproducible values in -1..1, some of them zero. */
export function values(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    const u = Math.sin((i + 1) * 12.9898 + seed * 78.233) * 43758.5453;
    const v = 2 * (u - Math.floor(u)) - 1;
    return v < -0.6 ? 0 : v;
  });
}

/** The largest difference, in units of the largest value wanted. */
export function error(found: Values, wanted: Values): number {
  if (found.length !== wanted.length) return Infinity;
  const scale = Array.from(wanted).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  let worst = 0;
  for (let i = 0; i < wanted.length; i++) {
    const off = Math.abs(found[i] - wanted[i]);
    worst = off <= worst ? worst : off; // NaN stays
  }
  return worst / scale;
}

/** What goes forward and backward through a layer. */
export interface Pass {
  readonly output: Float64Array;
  readonly weight: Float64Array;
  readonly bias: Float64Array;
  readonly input: Float64Array;
}

/** Runs `meet(o, w, i)` over every product x[i] · weight[w] that is part of output[o]; w null: times one. */
type Meet = (output: number, weight: number | null, input: number) => void;

export function linearPass(layer: Linear, n: number, x: Values, w: Values, b: Values, dy: Values): Pass {
  const { inputs, outputs } = layer;
  return pass(n * outputs, layer.relu, (o) => o % outputs, x, w, b, dy, (meet) => {
    for (let i = 0; i < n; i++) {
      for (let o = 0; o < outputs; o++) {
        for (let j = 0; j < inputs; j++) meet(i * outputs + o, o * inputs + j, i * inputs + j);
      }
    }
  });
}

export function convPass(layer: Conv, n: number, x: Values, w: Values, b: Values, dy: Values): Pass {
  const { inputs, outputs, height, width, kernel } = layer;
  const rim = (kernel - 1) / 2;
  const channel = (o: number): number => Math.floor(o / (height * width)) % outputs;
  return pass(n * outputs * height * width, layer.relu, channel, x, w, b, dy, (meet) => {
    for (let o = 0; o < n * outputs * height * width; o++) {
      const [column, row] = [o % width, Math.floor(o / width) % height];
      const i = Math.floor(o / (outputs * height * width));
      for (let c = 0; c < inputs; c++) {
        for (let u = 0; u < kernel; u++) {
          for (let v = 0; v < kernel; v++) {
            const [y, z] = [row + u - rim, column + v - rim];
            if (y < 0 || y >= height || z < 0 || z >= width) continue;
            const weight = ((channel(o) * inputs + c) * kernel + u) * kernel + v;
            meet(o, weight, ((i * inputs + c) * height + y) * width + z);
          }
        }
      }
    }
  });
}

export function poolPass({ channels, height, width }: Pool, n: number, x: Values, dy: Values): Pass {
  const [h, w] = [Math.floor(height / 2), Math.floor(width / 2)];
  const first = (o: number): number => {
    const [image, row, column] = [Math.floor(o / (h * w)), Math.floor(o / w) % h, o % w];
    const corner = (image * height + 2 * row) * width + 2 * column;
    const four = [corner, corner + 1, corner + width, corner + width + 1];
    return four.reduce((best, at) => (x[at] > x[best] ? at : best));
  };
  return pass(n * channels * h * w, false, null, x, [], [], dy, (meet) => {
    for (let o = 0; o < n * channels * h * w; o++) meet(o, null, first(o));
  });
}

function pass(
  size: number,
  relu: boolean,
  biasOf: ((output: number) => number) | null,
  x: Values,
  w: Values,
  b: Values,
  dy: Values,
  walk: (meet: Meet) => void,
): Pass {
  const output = Float64Array.from({ length: size }, (_, o) => (biasOf === null ? 0 : b[biasOf(o)]));
  walk((o, weight, i) => (output[o] += (weight === null ? 1 : w[weight]) * x[i]));
  if (relu) output.forEach((value, o) => (output[o] = Math.max(0, value)));
  const gradient = Float64Array.from({ length: size }, (_, o) => (relu && output[o] === 0 ? 0 : dy[o]));
  const [weight, bias] = [new Float64Array(w.length), new Float64Array(b.length)];
  const input = new Float64Array(x.length);
  walk((o, place, i) => {
    if (place !== null) weight[place] += gradient[o] * x[i];
    input[i] += gradient[o] * (place === null ? 1 : w[place]);
  });
  if (biasOf !== null) gradient.forEach((value, o) => (bias[biasOf(o)] += value));
  return { output, weight, bias, input };
}
