/** A share of a node's examples that it never trains on, to score the federation's model with. */
import type { Examples } from '../engine/types';
import { Random } from './random';

/** `share` of the examples, rounded down, is held out by a seeded draw; both parts keep the examples' order. */
export function splitHoldout(
  examples: Examples,
  inputSize: number,
  share: number,
  seed: string | number,
): { readonly train: Examples; readonly heldOut: Examples } {
  const n = examples.y.length;
  const held = Math.floor(n * share);
  const order = Random.seeded(seed).permutation(n);
  return {
    train: taken(examples, inputSize, order.subarray(held).sort()),
    heldOut: taken(examples, inputSize, order.subarray(0, held).sort()),
  };
}

/** The examples at `places`, in that order; `size`: values of one. */
export function taken({ x, y }: Examples, size: number, places: Uint32Array): Examples {
  const part = new Float32Array(places.length * size);
  places.forEach((place, i) => part.set(x.subarray(place * size, (place + 1) * size), i * size));
  return { x: part, y: places.map((place) => y[place]) };
}
