/** What every library under test is made to do: the same steps of SGD, from the same weights, on the same batches. */
import type { Tensor } from '../../../web/src/engine/types';

/** One model's training, as the measuring program wrote it down. */
export interface Workload {
  /** An id of the catalogue: `mlp` or `mnist_cnn`. */
  readonly model: string;
  readonly hidden: number;
  readonly learningRate: number;
  readonly batchSize: number;
  /** Under PyTorch's names and in its layouts. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** [examples, 1, side, side], in 0..1. */
  readonly x: Tensor;
  /** [examples], classes from 0. */
  readonly y: Uint32Array;
  readonly classes: number;
}

/** A library with the model's weights, ready to train. Step `i` takes the batch `i` modulo the number of batches. */
export interface Contender {
  /** What it says it runs on. */
  readonly about: string;
  /** Takes `count` steps from step `first` on; resolves once they are done, with the loss of the last. */
  steps(first: number, count: number): Promise<number>;
}

/** Starts the library on one of its backends. */
export type Open = (workload: Workload, backend: string) => Promise<Contender>;

/** Whole batches in the workload. */
export function batches({ y, batchSize }: Workload): number {
  return Math.floor(y.length / batchSize);
}

/** Examples, [batchSize, ...], and their classes one-hot, [batchSize, classes]. */
export interface Batch {
  readonly x: Float32Array<ArrayBuffer>;
  readonly hot: Float32Array<ArrayBuffer>;
}

/** The batch `i`. */
export function batchOf({ x, y, batchSize, classes }: Workload, i: number): Batch {
  const values = x.data.length / y.length;
  const hot = new Float32Array(batchSize * classes);
  for (let row = 0; row < batchSize; row++) hot[row * classes + y[i * batchSize + row]] = 1;
  return { x: Float32Array.from(x.data.subarray(i * batchSize * values, (i + 1) * batchSize * values)), hot };
}
