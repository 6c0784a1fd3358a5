/** Values and labels are checked before anything trains on them. */
import type { Examples } from '../engine/types';
import { bad } from './bad';

/** Examples as a file holds them; bytes are 0..255, other values 0..1. `name`: how to name example i to a person. */
export interface Raw {
  readonly x: Uint8Array | Float32Array | Float64Array;
  readonly y: ArrayLike<number>;
  readonly name: (index: number) => string;
}

/** The examples scaled to 0..1, or a refusal that names the first one at fault. */
export function checked({ x, y, name }: Raw, classes: number): Examples {
  const bytes = x instanceof Uint8Array;
  if (!bytes) checkValues(x, x.length / y.length, name);
  for (let i = 0; i < y.length; i++) {
    if (!(y[i] >= 0 && y[i] < classes))
      bad(`${name(i)} has label ${y[i]}.`, `the task's classes are 0 to ${classes - 1}`);
  }
  const values = x instanceof Float32Array ? x : new Float32Array(x);
  if (bytes) for (let i = 0; i < values.length; i++) values[i] /= 255;
  return { x: values, y: Uint32Array.from(y) };
}

function checkValues(x: Float32Array | Float64Array, width: number, name: Raw['name']): void {
  const infinite = x.findIndex((value) => !Number.isFinite(value));
  if (infinite >= 0)
    bad(`${name(Math.floor(infinite / width))} holds NaN or infinity.`, 'correct or remove the example');
  const outside = x.findIndex((value) => value < 0 || value > 1);
  if (outside < 0) return;
  const row = Math.floor(outside / width);
  const values = x.subarray(row * width, (row + 1) * width);
  let [low, high] = [values[0], values[0]];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const range = `${short(low)} to ${short(high)}`;
  bad(`${name(row)} has values from ${range}.`, 'scale all values to 0..1, or give bytes 0..255');
}

/** Six digits tell enough. */
const short = (value: number): string => String(Number(value.toPrecision(6)));
