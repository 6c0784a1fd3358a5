/** What training takes, on any engine: it comes with the first task, and not with the page. */
import type { Craft, Training } from './node/parts';
import { deltaOf, normOf } from './tensors/delta';
import { parseSafetensors, writeSafetensors } from './tensors/safetensors';
import { splitHoldout } from './training/holdout';
import { LocalTraining } from './training/local';

export const craft: Craft = {
  parseSafetensors,
  writeSafetensors,
  deltaOf,
  normOf,
  splitHoldout,
  // A checkpoint's position has been through JSON; `restore` checks it.
  openTraining: async (...asked) => (await LocalTraining.open(...asked)) as Training,
};
