/** Written elsewhere; this stands for it until then. */
import type { Examples } from '../engine/types';

export function splitHoldout(
  _examples: Examples,
  _inputSize: number,
  _share: number,
  _seed: string | number,
): { readonly train: Examples; readonly heldOut: Examples } {
  throw new Error('not here yet');
}
