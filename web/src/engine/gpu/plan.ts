/** How a chain lies on the device: channels innermost in vectors of four, borders of zeros where taps reach over. */
import type { Chain, Conv, Linear, Weights } from '../types';
import { Refused } from '../../refused';

/** One activation, or its gradient: [n, height + 2 border, width + 2 border, channels rounded up to 4]. */
export interface Place {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly border: number;
}

/** A layer with parameters: a product of patches of `kernel` × `kernel` pixels. On the device its weights are rows of
 *  outputs, [(ky, kx, input) rounded up, outputs rounded up], in blocks of 4 × 4, then the bias: what a kernel reads at
 *  once lies together, and the same block serves forward (m * x) and back (d * m). */
export interface Product {
  readonly layer: Linear | Conv;
  /** 1 for a linear layer, and for a first convolution, which is given patches instead of pixels. */
  readonly kernel: number;
  readonly input: Place;
  /** PyTorch's column [inputs (× kernel × kernel)] of each row; -1: padding. */
  readonly columns: Int32Array;
  /** Where its parameters begin among all, and how many there are, in floats. */
  readonly offset: number;
  readonly length: number;
}

export interface Stage {
  readonly relu: boolean;
  readonly product: Product | null;
  readonly input: Place;
  readonly output: Place;
  /** The gradient of the output; null before the first parameters. */
  readonly gradient: Place | null;
  /** Of the gradient of the input; null where nobody needs it. */
  readonly before: Place | null;
}

export interface Plan {
  readonly stages: readonly Stage[];
  /** Floats of all parameters, each layer's beginning at a multiple of 64 (the alignment of bindings). */
  readonly parameters: number;
}

export const vectors = (channels: number): number => Math.ceil(channels / 4);

/** Bytes of `n` of them. */
export const bytesOf = (place: Place, n: number): number =>
  n * (place.height + 2 * place.border) * (place.width + 2 * place.border) * vectors(place.channels) * 16;

export function plan(chain: Chain): Plan {
  const { layers, inputShape } = chain;
  const reach = layers.map((layer, i) => (layer.kind === 'conv' && i > 0 ? (layer.kernel - 1) / 2 : 0));
  const firstProduct = layers.findIndex((layer) => layer.kind !== 'pool');
  const spatial = layers[0]?.kind !== 'linear';
  if (spatial && inputShape.length !== 3)
    throw new TypeError('Convolutions and pools need examples of [channels, height, width]');
  const [channels, height, width] = spatial ? inputShape : [inputShape.reduce((a, b) => a * b, 1), 1, 1];
  let place: Place = { height, width, channels, border: 0 };
  let gradient: Place | null = null;
  let offset = 0;
  const stages = layers.map((layer, i): Stage => {
    const border = reach[i + 1] ?? 0;
    const trained = i >= firstProduct && firstProduct >= 0;
    let input = place;
    let kernel = 1;
    let columns = new Int32Array();
    if (layer.kind === 'linear') {
      expect(layer.name, layer.inputs, input.channels * input.height * input.width);
      columns = flattened(input);
      input = { height: 1, width: 1, channels: columns.length, border: 0 };
      place = { height: 1, width: 1, channels: layer.outputs, border: 0 };
    } else if (layer.kind === 'conv') {
      expect(layer.name, layer.inputs, input.channels);
      columns = taps(layer, i === 0);
      if (i === 0) input = { ...input, channels: columns.length };
      else kernel = layer.kernel;
      place = { height: input.height, width: input.width, channels: layer.outputs, border };
    } else {
      place = { ...input, height: input.height >> 1, width: input.width >> 1, border };
    }
    // A linear layer writes no border: where there is one, its gradient is laid into it afterwards.
    const before = gradient === null ? null : { ...input, border: layer.kind === 'linear' ? 0 : gradient.border };
    gradient = trained ? { ...place, border: i > firstProduct ? reach[i] : 0 } : null;
    if (layer.kind === 'pool') return { relu: false, product: null, input, output: place, gradient, before };
    const length = Math.ceil(((columns.length + 1) * vectors(layer.outputs) * 4) / 64) * 64;
    const product = { layer, kernel, input, columns, offset, length };
    offset += length;
    return { relu: layer.relu, product, input, output: place, gradient, before };
  });
  const last = layers.at(-1);
  if (last?.kind !== 'linear') throw new TypeError('A chain ends in a linear layer');
  expect(last.name, last.outputs, chain.classes);
  return { stages, parameters: offset };
}

function expect(name: string, said: number, is: number): void {
  if (said !== is) throw new TypeError(`Layer ${name} says ${said} where the chain has ${is}`);
}

/** A linear layer's rows: what lies as [height, width, channels rounded up], PyTorch counts as [c, h, w]. */
function flattened(place: Place): Int32Array<ArrayBuffer> {
  const stride = vectors(place.channels) * 4;
  const area = place.height * place.width;
  return Int32Array.from({ length: area * stride }, (_, row) => {
    const channel = row % stride;
    return channel < place.channels ? channel * area + Math.floor(row / stride) : -1;
  });
}

/** A convolution's rows: (ky, kx, input), each pixel's inputs rounded up, or all of a patch together. */
function taps(layer: Conv, patch: boolean): Int32Array<ArrayBuffer> {
  const area = layer.kernel ** 2;
  const stride = patch ? layer.inputs : vectors(layer.inputs) * 4;
  return Int32Array.from({ length: vectors(area * stride) * 4 }, (_, row) => {
    const input = row % stride;
    const tap = Math.floor(row / stride);
    return input < layer.inputs && tap < area ? input * area + tap : -1;
  });
}

/** Weights (or an optimiser's tensors, under a prefix) as the device lays them. Throws a TypeError where one is missing
 *  or has another shape. */
export function pack(plan: Plan, weights: Weights, prefix = ''): Float32Array<ArrayBuffer> {
  const out = new Float32Array(plan.parameters);
  each(plan, prefix, (name, shape, at) => {
    const tensor = weights.get(name);
    if (tensor === undefined || tensor.shape.join() !== shape.join()) {
      throw new TypeError(`Tensor ${name} should be [${shape}], is ${tensor ? `[${tensor.shape}]` : 'missing'}`);
    }
    for (let i = 0; i < tensor.data.length; i++) out[at(i)] = tensor.data[i];
  });
  return out;
}

/** The other way round. */
export function unpack(plan: Plan, packed: Float32Array, prefix = ''): Weights {
  const weights = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  each(plan, prefix, (name, shape, at) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b));
    for (let i = 0; i < data.length; i++) data[i] = packed[at(i)];
    weights.set(name, { shape, data });
  });
  return weights;
}

type Visit = (name: string, shape: readonly number[], at: (i: number) => number) => void;

function each(plan: Plan, prefix: string, visit: Visit): void {
  for (const { product } of plan.stages) {
    if (product === null) continue;
    const { layer, columns, offset } = product;
    const stride = vectors(layer.outputs) * 4;
    const inputs = layer.kind === 'conv' ? layer.inputs * layer.kernel ** 2 : layer.inputs;
    const rows = new Uint32Array(inputs);
    columns.forEach((column, row) => {
      if (column >= 0) rows[column] = row;
    });
    const shape =
      layer.kind === 'conv' ? [layer.outputs, layer.inputs, layer.kernel, layer.kernel] : [layer.outputs, inputs];
    visit(`${prefix}${layer.name}.weight`, shape, (i) => {
      const row = rows[i % inputs];
      const output = Math.floor(i / inputs);
      return offset + (row >> 2) * stride * 4 + (output >> 2) * 16 + (row & 3) * 4 + (output & 3);
    });
    visit(`${prefix}${layer.name}.bias`, [layer.outputs], (i) => offset + columns.length * stride + i);
  }
}

/** Says no to what the device cannot bind. */
export function fits(bytes: number, most: number, what: string, mend: string): void {
  if (bytes <= most) return;
  const mib = (n: number): string => `${Math.ceil(n / 2 ** 20)} MiB`;
  throw new Refused('too_large', `${what} take ${mib(bytes)}, and this device binds ${mib(most)} at once.`, mend);
}
