/** A node's own examples, checked against the task's schema before anything trains on them. Nothing leaves the tab. */
import { sizeOf } from '../engine/catalogue';
import type { Examples } from '../engine/types';
import type { Source } from '../messages';
import { part } from '../part';
import { bad, checkRoom } from './bad';
import { checked } from './check';
import type { Decode } from './decode';

/** The examples of a source as a task wants them: `inputShape` of one example, channels first, labels below `classes`.
 *  Of the digits sample, its training set. `base`: the page's address. Refuses with `bad_data`. */
export async function readSource(
  source: Source,
  inputShape: readonly number[],
  classes: number,
  base: string,
  decode?: Decode,
): Promise<Examples> {
  if (source.kind === 'files') {
    const { readFiles } = await part(import('./files'));
    return checked(await readFiles(source.files, inputShape, classes, decode), classes);
  }
  const { what, shape, load } = source.kind === 'digits' ? await sample(base) : drawn(source);
  if (shape.join() !== inputShape.join()) {
    const wanted = `[${inputShape.join(', ')}]`;
    const problem = `${what} gives examples of shape [${shape.join(', ')}], and the task wants ${wanted}.`;
    bad(problem, 'drop files of that shape, or choose another task');
  }
  const { x, y } = await load();
  if (y.length === 0) bad(`${what} holds no examples.`, 'draw some');
  if (x.length !== y.length * sizeOf(shape))
    bad(`${what}: ${x.length} values for ${y.length} examples.`, 'draw them again');
  checkRoom(what, y.length, shape);
  return checked({ x, y, name: (index) => `${what}, example ${index + 1}` }, classes);
}

interface Given {
  readonly what: string;
  readonly shape: readonly number[];
  readonly load: () => Promise<Examples>;
}

const drawn = ({ x, y, shape }: Extract<Source, { readonly kind: 'drawn' }>): Given => ({
  what: 'the drawing pad',
  shape,
  load: async () => ({ x, y }),
});

async function sample(base: string): Promise<Given> {
  const { DIGITS, loadDigits } = await part(import('./digits'));
  return { what: 'the digits sample', shape: DIGITS.inputShape, load: async () => (await loadDigits(base)).train };
}
