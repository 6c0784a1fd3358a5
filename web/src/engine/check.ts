/** What an engine is given is checked before it is believed. */
import { layoutOf, sizeOf } from './catalogue';
import type { Chain, Examples, Weights } from './types';

/** A TypeError unless `found` has the very names and shapes of `wanted`. */
export function checkTensors(wanted: ReadonlyMap<string, readonly number[]>, found: Weights): void {
  const names = [...wanted.keys()];
  const extra = [...found.keys()].filter((name) => !wanted.has(name));
  const wrong = names.filter((name) => {
    const tensor = found.get(name);
    const shape = wanted.get(name) ?? [];
    return tensor === undefined || `${tensor.shape}` !== `${shape}` || tensor.data.length !== sizeOf(shape);
  });
  if (wrong.length > 0 || extra.length > 0) {
    throw new TypeError(`the tensors are others than this model's: ${[...wrong, ...extra].slice(0, 5).join(', ')}`);
  }
}

/** A TypeError unless the weights are the model's, and the examples have its shape and classes. */
export function checkFit(chain: Chain, weights: Weights, examples: Examples): void {
  checkTensors(layoutOf(chain), weights);
  const size = sizeOf(chain.inputShape);
  if (examples.x.length !== size * examples.y.length) {
    throw new TypeError(`${examples.y.length} labels with ${examples.x.length / size} examples`);
  }
  if (examples.y.some((label) => label >= chain.classes)) {
    throw new TypeError(`a label is ${chain.classes} or more, where classes are counted from 0`);
  }
}
