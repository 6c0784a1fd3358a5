/** Layers for the tests' small chains. */
import type { Conv, Linear, Pool } from '../../../src/engine/types';

export const linear = (name: string, inputs: number, outputs: number, relu = false): Linear => ({
  kind: 'linear',
  name,
  inputs,
  outputs,
  relu,
});

export const pool = (channels: number, height: number, width: number): Pool => ({
  kind: 'pool',
  channels,
  height,
  width,
});

/** From [inputs, height, width], with its ReLU unless said otherwise. */
export const conv = (
  name: string,
  inputs: number,
  outputs: number,
  [height, width]: readonly [number, number],
  kernel = 3,
  relu = true,
): Conv => ({
  kind: 'conv',
  name,
  inputs,
  outputs,
  height,
  width,
  kernel,
  relu,
});
