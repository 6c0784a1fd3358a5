/** The same chain in float64 JavaScript, in plain loops over PyTorch's layouts: what the kernels are held against. */
import type { Chain, Conv, Descent, Examples, Layer, Linear, Pool, Weights } from '../../../src/engine/types';

type Vector = Float64Array<ArrayBuffer>;

/** mulberry32: uniform in [0, 1). */
export function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function draw(chain: Chain, seed: number): Weights {
  const next = random(seed);
  const weights = new Map<string, { shape: number[]; data: Float32Array }>();
  for (const layer of chain.layers) {
    if (layer.kind === 'pool') continue;
    const fan = layer.inputs * (layer.kind === 'conv' ? layer.kernel ** 2 : 1);
    const bound = Math.sqrt(3 / fan);
    const shape = [layer.outputs, layer.inputs, ...(layer.kind === 'conv' ? [layer.kernel, layer.kernel] : [])];
    weights.set(`${layer.name}.weight`, {
      shape,
      data: Float32Array.from({ length: layer.outputs * fan }, () => (2 * next() - 1) * bound),
    });
    weights.set(`${layer.name}.bias`, {
      shape: [layer.outputs],
      data: Float32Array.from({ length: layer.outputs }, () => next() * 0.2 - 0.1),
    });
  }
  return weights;
}

export function examples(chain: Chain, n: number, seed: number): Examples {
  const next = random(seed);
  const inputs = chain.inputShape.reduce((a, b) => a * b, 1);
  return {
    x: Float32Array.from({ length: n * inputs }, () => next()),
    y: Uint32Array.from({ length: n }, () => Math.floor(next() * chain.classes)),
  };
}

type Wide = Map<string, Vector>;

export class Reference {
  readonly weights: Wide;
  private readonly start: Wide;
  private readonly first: Wide = new Map();
  private readonly second: Wide = new Map();
  private steps = 0;

  constructor(
    private readonly chain: Chain,
    weights: Weights,
  ) {
    this.weights = new Map([...weights].map(([name, { data }]) => [name, Float64Array.from(data)]));
    this.start = new Map([...this.weights].map(([name, data]) => [name, data.slice()]));
  }

  /** Every layer's input, then the logits, of one example. */
  activations(x: ArrayLike<number>): Vector[] {
    const out = [Float64Array.from(x)];
    for (const layer of this.chain.layers) out.push(this.forward(layer, out[out.length - 1]));
    return out;
  }

  /** Mean loss, number right, and the mean gradient of every tensor. */
  gradients({ x, y }: Examples, batch: ArrayLike<number>): { loss: number; correct: number; gradients: Wide } {
    const gradients: Wide = new Map([...this.weights].map(([name, { length }]) => [name, new Float64Array(length)]));
    const inputs = x.length / y.length;
    let loss = 0;
    let correct = 0;
    for (const index of Array.from(batch)) {
      const all = this.activations(x.subarray(index * inputs, (index + 1) * inputs));
      const logits = all[all.length - 1];
      const most = Math.max(...logits);
      const total = logits.reduce((sum, v) => sum + Math.exp(v - most), 0);
      loss += (Math.log(total) + most - logits[y[index]]) / batch.length;
      correct += logits.indexOf(most) === y[index] ? 1 : 0;
      let d = logits.map((v, c) => (Math.exp(v - most) / total - (c === y[index] ? 1 : 0)) / batch.length);
      for (let i = this.chain.layers.length - 1; i >= 0; i--)
        d = this.back(this.chain.layers[i], all[i], all[i + 1], d, gradients);
    }
    return { loss, correct, gradients };
  }

  step(data: Examples, batch: ArrayLike<number>, descent: Descent): { loss: number; correct: number } {
    const { loss, correct, gradients } = this.gradients(data, batch);
    this.steps += 1;
    for (const [name, w] of this.weights) {
      const m = entry(this.first, name, w.length);
      const v = entry(this.second, name, w.length);
      const g = get(gradients, name);
      const from = get(this.start, name);
      for (let i = 0; i < w.length; i++) {
        const pulled = g[i] + descent.proximal * (w[i] - from[i]) + descent.weightDecay * w[i];
        if (descent.optimizer === 'sgd') {
          m[i] = descent.momentum * m[i] + pulled;
          w[i] -= descent.learningRate * m[i];
        } else {
          m[i] = 0.9 * m[i] + 0.1 * pulled;
          v[i] = 0.999 * v[i] + 0.001 * pulled ** 2;
          const hat = m[i] / (1 - 0.9 ** this.steps);
          w[i] -= (descent.learningRate * hat) / (Math.sqrt(v[i] / (1 - 0.999 ** this.steps)) + 1e-8);
        }
      }
    }
    return { loss, correct };
  }

  private forward(layer: Layer, x: Vector): Vector {
    if (layer.kind === 'pool') {
      const y = new Float64Array(layer.channels * (layer.height >> 1) * (layer.width >> 1));
      windows(layer, (out, sources) => (y[out] = Math.max(...sources.map((s) => x[s]))));
      return y;
    }
    const w = get(this.weights, `${layer.name}.weight`);
    const b = get(this.weights, `${layer.name}.bias`);
    const area = layer.kind === 'conv' ? layer.height * layer.width : 1;
    const y = Float64Array.from({ length: layer.outputs * area }, (_, i) => b[Math.floor(i / area)]);
    products(layer, (out, source, weight) => (y[out] += x[source] * w[weight]));
    return layer.relu ? y.map((v) => Math.max(v, 0)) : y;
  }

  private back(layer: Layer, x: Vector, y: Vector, d: Vector, gradients: Wide): Vector {
    const before = new Float64Array(x.length);
    if (layer.kind === 'pool') {
      windows(layer, (out, sources) => {
        const first = sources.find((s) => x[s] === y[out]);
        if (first !== undefined) before[first] += d[out];
      });
      return before;
    }
    const own = layer.relu ? d.map((v, i) => (y[i] > 0 ? v : 0)) : d;
    const w = get(this.weights, `${layer.name}.weight`);
    const gw = get(gradients, `${layer.name}.weight`);
    const gb = get(gradients, `${layer.name}.bias`);
    const area = layer.kind === 'conv' ? layer.height * layer.width : 1;
    own.forEach((v, i) => (gb[Math.floor(i / area)] += v));
    products(layer, (out, source, weight) => {
      gw[weight] += own[out] * x[source];
      before[source] += own[out] * w[weight];
    });
    return before;
  }
}

function get(map: Wide, name: string): Vector {
  const found = map.get(name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

function entry(map: Wide, name: string, length: number): Vector {
  const found = map.get(name) ?? new Float64Array(length);
  map.set(name, found);
  return found;
}

/** Every multiplication of a layer: which output, which input, which weight. */
function products(layer: Linear | Conv, visit: (out: number, source: number, weight: number) => void): void {
  if (layer.kind === 'linear') {
    for (let o = 0; o < layer.outputs; o++) for (let i = 0; i < layer.inputs; i++) visit(o, i, o * layer.inputs + i);
    return;
  }
  const { inputs, outputs, height, width, kernel } = layer;
  const half = (kernel - 1) / 2;
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++)
      for (let ky = 0; ky < kernel; ky++)
        for (let kx = 0; kx < kernel; kx++)
          for (let y = Math.max(0, half - ky); y < Math.min(height, height + half - ky); y++)
            for (let x = Math.max(0, half - kx); x < Math.min(width, width + half - kx); x++)
              visit(
                (o * height + y) * width + x,
                (i * height + y + ky - half) * width + x + kx - half,
                ((o * inputs + i) * kernel + ky) * kernel + kx,
              );
}

function windows(layer: Pool, visit: (out: number, sources: number[]) => void): void {
  const [h, w] = [layer.height >> 1, layer.width >> 1];
  for (let c = 0; c < layer.channels; c++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) {
        const at = (c * layer.height + 2 * y) * layer.width + 2 * x;
        visit((c * h + y) * w + x, [at, at + 1, at + layer.width, at + layer.width + 1]);
      }
}
