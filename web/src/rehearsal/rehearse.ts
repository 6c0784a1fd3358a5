/** Written elsewhere; this stands for it until then. */
import type { Engine } from '../engine/types';
import type { Rehearsal, Report } from '../messages';

export function rehearse(
  _engine: Engine,
  _rehearsal: Rehearsal,
  _base: string,
  _tell: (report: Report) => void,
  _signal: AbortSignal,
): Promise<void> {
  return Promise.reject(new Error('not here yet'));
}
