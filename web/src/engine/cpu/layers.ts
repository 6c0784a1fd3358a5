/** The layers of a model on the CPU: forward, and backward by the chain rule. */
import type { Conv, Layer, Linear, Pool } from '../types';
import type { Memory } from './memory';
import { type Product, stride } from './product';

/** A tensor of the model; `gradient` gathers what `backward` adds to it, and is empty where nothing is trained. */
export interface Parameter {
  readonly value: Float32Array;
  readonly gradient: Float32Array;
}

/** What a layer hands on: `values` [batch, size], and the loss's gradient with respect to them, if it is `wanted`. */
export interface Signal {
  readonly size: number;
  readonly wanted: boolean;
  readonly values: Float32Array;
  readonly gradient: Float32Array;
}

/** A layer at work. `n`: examples of this batch. */
export interface Stage {
  readonly output: Signal;
  readonly parameters: readonly { readonly name: string; readonly parameter: Parameter }[];
  forward(n: number): void;
  /** From the output's gradient, which it changes, to the parameters' and to the input's, if that is wanted. */
  backward(n: number): void;
}

/** What every layer is built from: memory for `batch` examples, for gradients only if it is to `train`. */
export interface Ground {
  readonly memory: Memory;
  readonly product: Product;
  readonly batch: number;
  readonly train: boolean;
}

export function stageOf(layer: Layer, input: Signal, ground: Ground): Stage {
  switch (layer.kind) {
    case 'linear':
      return linear(layer, input, ground);
    case 'conv':
      return conv(layer, input, ground);
    case 'pool':
      return pool(layer, input, ground);
  }
}

function linear({ name, inputs, outputs, relu }: Linear, input: Signal, ground: Ground): Stage {
  const { product, batch } = ground;
  const output = signal(ground, outputs);
  const weight = parameter(ground, outputs * inputs);
  const bias = parameter(ground, outputs);
  const eachInput = stride(inputs, 1);
  const eachRow = stride(Math.max(batch, outputs), inputs);
  const [transposed, plain] = [eachRow.subarray(0, outputs), stride(outputs, inputs)];
  return {
    output,
    parameters: named(name, weight, bias),
    forward(n) {
      for (let i = 0; i < n; i++) output.values.set(bias.value, i * outputs);
      const x = { data: input.values, at: 0, row: inputs, step: 1 };
      product(output.values, 0, n, x, { data: weight.value, at: 0, rows: eachInput, columns: transposed });
      if (relu) rectify(output.values, n * outputs);
    },
    backward(n) {
      const dy = output.gradient;
      if (relu) mask(dy, output.values, n * outputs);
      for (let at = 0; at < n * outputs; at += outputs) {
        for (let i = 0; i < outputs; i++) bias.gradient[i] += dy[at + i];
      }
      const dyTransposed = { data: dy, at: 0, row: 1, step: outputs };
      const x = { data: input.values, at: 0, rows: eachRow.subarray(0, n), columns: eachInput };
      product(weight.gradient, 0, outputs, dyTransposed, x);
      if (!input.wanted) return;
      input.gradient.fill(0, 0, n * inputs);
      const w = { data: weight.value, at: 0, rows: plain, columns: eachInput };
      product(input.gradient, 0, n, { data: dy, at: 0, row: outputs, step: 1 }, w);
    },
  };
}

/** B is the padded image under every tap (a channel and a place in the kernel) by every place of the output. The
 *  input's gradient is a convolution, too: of the output's gradient, with the kernel turned by half a turn. */
function conv(layer: Conv, input: Signal, ground: Ground): Stage {
  const { name, inputs, outputs, height, width, kernel, relu } = layer;
  const { memory, product, train } = ground;
  const [area, square] = [height * width, kernel * kernel];
  const size = outputs * inputs * square;
  const output = signal(ground, outputs * area);
  const weight = parameter(ground, size);
  const bias = parameter(ground, outputs);
  const turned = memory.take(input.wanted ? size : 0);
  const rim = (kernel - 1) / 2;
  const [paddedHeight, paddedWidth] = [height + 2 * rim, width + 2 * rim];
  const paddedArea = paddedHeight * paddedWidth;
  const padded = memory.take(paddedArea * Math.max(inputs, train ? outputs : 0));
  const places = Int32Array.from({ length: area }, (_, i) => Math.floor(i / width) * paddedWidth + (i % width));
  const tap = (i: number): number => {
    const inKernel = i % square;
    return Math.floor(i / square) * paddedArea + Math.floor(inKernel / kernel) * paddedWidth + (inKernel % kernel);
  };
  const taps = Int32Array.from({ length: square * Math.max(inputs, outputs) }, (_, i) => tap(i));
  const inputTaps = taps.subarray(0, inputs * square);
  const outputTaps = taps.subarray(0, outputs * square);

  /** Example `i` of `values` with its rim of zeros. The rim stays zero: only what is inside is ever written. */
  function pad(values: Float32Array, i: number, channels: number): void {
    for (let row = 0; row < channels * height; row++) {
      const [channel, y] = [Math.floor(row / height), row % height];
      const from = i * channels * area + row * width;
      const to = channel * paddedArea + (y + rim) * paddedWidth + rim;
      for (let x = 0; x < width; x++) padded[to + x] = values[from + x];
    }
  }

  return {
    output,
    parameters: named(name, weight, bias),
    forward(n) {
      const w = { data: weight.value, at: 0, row: inputs * square, step: 1 };
      const image = { data: padded, at: 0, rows: inputTaps, columns: places };
      for (let i = 0; i < n; i++) {
        pad(input.values, i, inputs);
        const at = i * outputs * area;
        for (let o = 0; o < outputs; o++) output.values.fill(bias.value[o], at + o * area, at + (o + 1) * area);
        product(output.values, at, outputs, w, image);
      }
      if (relu) rectify(output.values, n * outputs * area);
    },
    backward(n) {
      const dy = output.gradient;
      if (relu) mask(dy, output.values, n * outputs * area);
      const inputImage = { data: padded, at: 0, rows: places, columns: inputTaps };
      for (let i = 0; i < n; i++) {
        const at = i * outputs * area;
        for (let o = 0; o < outputs; o++) {
          let sum = 0;
          for (let j = at + o * area; j < at + (o + 1) * area; j++) sum += dy[j];
          bias.gradient[o] += sum;
        }
        pad(input.values, i, inputs);
        product(weight.gradient, 0, outputs, { data: dy, at, row: area, step: 1 }, inputImage);
      }
      if (!input.wanted) return;
      for (let i = 0; i < size; i++) {
        const [o, c, inKernel] = [Math.floor(i / (inputs * square)), Math.floor(i / square) % inputs, i % square];
        turned[(c * outputs + o) * square + square - 1 - inKernel] = weight.value[i];
      }
      input.gradient.fill(0, 0, n * inputs * area);
      const w = { data: turned, at: 0, row: outputs * square, step: 1 };
      const image = { data: padded, at: 0, rows: outputTaps, columns: places };
      for (let i = 0; i < n; i++) {
        pad(dy, i, outputs);
        product(input.gradient, i * inputs * area, inputs, w, image);
      }
    },
  };
}

function pool({ channels, height, width }: Pool, input: Signal, ground: Ground): Stage {
  const [h, w] = [height >> 1, width >> 1];
  const output = signal(ground, channels * h * w);
  /** Tells of each output the place of its maximum. */
  function each(n: number, tell: (to: number, from: number) => void): void {
    const { values } = input;
    for (let row = 0, to = 0; row < n * channels * h; row++) {
      let at = (Math.floor(row / h) * height + 2 * (row % h)) * width;
      for (let x = 0; x < w; x++, at += 2, to++) {
        let best = at;
        if (above(values[at + 1], values[best])) best = at + 1;
        if (above(values[at + width], values[best])) best = at + width;
        if (above(values[at + width + 1], values[best])) best = at + width + 1;
        tell(to, best);
      }
    }
  }
  return {
    output,
    parameters: [],
    forward(n) {
      each(n, (to, from) => {
        output.values[to] = input.values[from];
      });
    },
    backward(n) {
      if (!input.wanted) return;
      input.gradient.fill(0, 0, n * input.size);
      each(n, (to, from) => {
        input.gradient[from] = output.gradient[to];
      });
    },
  };
}

/** NaN is above everything, as in PyTorch: what has diverged must show in the loss. */
const above = (a: number, b: number): boolean => a > b || a !== a;

function rectify(values: Float32Array, count: number): void {
  for (let i = 0; i < count; i++) if (values[i] < 0) values[i] = 0;
}

function mask(gradient: Float32Array, values: Float32Array, count: number): void {
  for (let i = 0; i < count; i++) if (values[i] <= 0) gradient[i] = 0;
}

export function signal({ memory, batch, train }: Ground, size: number, wanted = train): Signal {
  return { size, wanted, values: memory.take(batch * size), gradient: memory.take(wanted ? batch * size : 0) };
}

function parameter({ memory, train }: Ground, size: number): Parameter {
  return { value: memory.take(size), gradient: memory.take(train ? size : 0) };
}

const named = (name: string, weight: Parameter, bias: Parameter): Stage['parameters'] => [
  { name: `${name}.weight`, parameter: weight },
  { name: `${name}.bias`, parameter: bias },
];
