/** Written elsewhere; this stands for it until then. */
import type { Chain } from './types';

export const MODELS: readonly string[] = [];

export function chainOf(
  _modelId: string,
  _options: Readonly<Record<string, number>>,
  _inputShape: readonly number[],
  _classes: number,
): Chain {
  throw new Error('not here yet');
}

export function layoutOf(_chain: Chain): ReadonlyMap<string, readonly number[]> {
  throw new Error('not here yet');
}
