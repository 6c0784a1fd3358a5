/** What a rehearsal may be asked for. */
import type { Rehearsal } from '../messages';
import { Refused } from '../refused';

const WHOLE = [
  ['nodes', 1, 16],
  ['rounds', 1, 1000],
  ['epochs', 1, 1000],
  ['batchSize', 1, 65_536],
  ['seed', 0, Number.MAX_SAFE_INTEGER],
] as const;

const POSITIVE = [
  ['alpha', 1e6],
  ['learningRate', 100],
] as const;

/** Refuses (`invalid_argument`) the first option out of its bounds; the model's are refused where it is built. */
export function checkOptions(rehearsal: Rehearsal): void {
  for (const [name, least, most] of WHOLE) {
    const value = rehearsal[name];
    if (!(Number.isSafeInteger(value) && value >= least && value <= most)) {
      wrong(name, value, `give a whole number from ${least} to ${most}`);
    }
  }
  for (const [name, most] of POSITIVE) {
    const value = rehearsal[name];
    if (!(value > 0 && value <= most)) wrong(name, value, `give a number above 0, at most ${most}`);
  }
}

function wrong(name: string, value: number, mend: string): never {
  throw new Refused('invalid_argument', `${name}: ${value} is out of range.`, mend);
}
