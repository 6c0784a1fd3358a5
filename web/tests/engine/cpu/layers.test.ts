import { describe, expect, it } from 'vitest';
import { type Ground, signal, stageOf } from '../../../src/engine/cpu/layers';
import type { Memories } from '../../../src/engine/cpu/memory';
import { productIn } from '../../../src/engine/cpu/product';
import type { Conv, Layer, Linear, Pool } from '../../../src/engine/types';
import { MEMORIES } from './memories';
import { convPass, error, linearPass, type Pass, poolPass, values } from './reference';

const CLOSE = 5e-6;

/** Runs a layer forward and backward, twice: the second pass must not find what the first one left. */
function passThrough(
  memories: Memories,
  layer: Layer,
  batch: number,
  n: number,
  x: Float32Array,
  dy: Float32Array,
): Pass {
  const { laidOut } = memories.layOut((memory) => {
    const rows = layer.kind === 'pool' ? batch : Math.max(batch, layer.inputs, layer.outputs);
    const ground: Ground = { memory, product: productIn(memory, rows), batch, train: true };
    const input = signal(ground, x.length / n);
    return { input, stage: stageOf(layer, input, ground) };
  });
  const { input, stage } = laidOut;
  const found = stage.parameters.map(({ parameter }) => parameter);
  found.forEach(({ value }, i) => value.set(values(value.length, 10 + i)));
  for (const scale of [-3, 1]) {
    input.values.set(x.map((value) => scale * value));
    stage.output.gradient.set(dy);
    for (const { gradient } of found) gradient.fill(0);
    stage.forward(n);
    stage.backward(n);
  }
  const wide = (part: Float32Array | undefined): Float64Array => Float64Array.from(part ?? []);
  return {
    output: wide(stage.output.values.slice(0, dy.length)),
    weight: wide(found[0]?.gradient),
    bias: wide(found[1]?.gradient),
    input: wide(input.gradient.slice(0, x.length)),
  };
}

function expectSame(found: Pass, wanted: Pass, what: string): void {
  for (const part of ['output', 'weight', 'bias', 'input'] as const) {
    expect(error(found[part], wanted[part]), `${what}: ${part}`).toBeLessThan(CLOSE);
  }
}

describe.each(MEMORIES)('a layer %s', (_, memories) => {
  const linears = [[1, 1, 1], [3, 17, 65], [17, 3, 257], [65, 257, 3], [257, 65, 17], [1, 257, 1]] as const;
  it.each(linears)('multiplies %i examples of %i values into %i outputs, and back', (n, inputs, outputs) => {
    for (const relu of [true, false]) {
      const layer: Linear = { kind: 'linear', name: 'l', inputs, outputs, relu };
      const [x, dy] = [values(n * inputs, 1), values(n * outputs, 2)];
      const wanted = linearPass(layer, n, x, values(inputs * outputs, 10), values(outputs, 11), dy);
      expectSame(passThrough(memories, layer, n + 2, n, x, dy), wanted, relu ? 'with ReLU' : 'without ReLU');
    }
  });

  const convs = [
    [1, 1, 1, 1, 1, 3],
    [2, 3, 17, 3, 17, 3],
    [2, 17, 3, 17, 3, 5],
    [1, 2, 3, 65, 2, 3],
    [1, 1, 2, 2, 257, 5],
    [3, 65, 1, 4, 3, 1],
    [1, 3, 65, 5, 5, 3],
    [1, 257, 2, 3, 3, 3],
  ] as const;
  it.each(convs)('convolves %i examples of %i channels into %i, %i × %i by %i', (...sizes) => {
    const [n, inputs, outputs, height, width, kernel] = sizes;
    for (const relu of [true, false]) {
      const layer: Conv = { kind: 'conv', name: 'c', inputs, outputs, height, width, kernel, relu };
      const [x, dy] = [values(n * inputs * height * width, 1), values(n * outputs * height * width, 2)];
      const wanted = convPass(layer, n, x, values(outputs * inputs * kernel ** 2, 10), values(outputs, 11), dy);
      expectSame(passThrough(memories, layer, n + 1, n, x, dy), wanted, relu ? 'with ReLU' : 'without ReLU');
    }
  });

  const pools = [[1, 1, 2, 2], [3, 17, 3, 5], [2, 3, 17, 4], [1, 2, 65, 257], [1, 257, 2, 3]] as const;
  it.each(pools)('pools %i examples of %i channels, %i × %i, ties to the first', (n, channels, height, width) => {
    const layer: Pool = { kind: 'pool', channels, height, width };
    const x = values(n * channels * height * width, 1).map((value) => Math.round(3 * value));
    const dy = values(n * channels * Math.floor(height / 2) * Math.floor(width / 2), 2);
    expectSame(passThrough(memories, layer, n, n, x, dy), poolPass(layer, n, x, dy), 'pool');
  });

  it('hands on what is no number, so that it shows in the loss', () => {
    const x = Float32Array.of(1, 2, NaN, 0, NaN, 3, 1, 1);
    const pool: Pool = { kind: 'pool', channels: 2, height: 2, width: 2 };
    const pooled = passThrough(memories, pool, 1, 1, x, new Float32Array(2));
    expect([...pooled.output]).toEqual([NaN, NaN]);
    const layer: Linear = { kind: 'linear', name: 'l', inputs: 1, outputs: 1, relu: true };
    expect(passThrough(memories, layer, 1, 1, Float32Array.of(NaN), Float32Array.of(1)).output[0]).toBeNaN();
  });
});
