/** What a person dropped: a folder of images, a CSV file, an NPZ file or a pair of IDX files, and nothing else. */
import type { LocalFile } from '../messages';
import { part } from '../part';
import { bad } from './bad';
import type { Raw } from './check';
import type { Decode } from './decode';

const KINDS: readonly (readonly [string, RegExp])[] = [
  ['a CSV file', /\.csv$/i],
  ['an NPZ file', /\.npz$/i],
  ['IDX files', /(idx\d?-ubyte|\.idx\d?)(\.gz)?$/i],
  ['images', /\.(png|jpe?g|jfif|gif|webp|bmp)$/i],
];
const MEND = 'drop a folder of images by class, a .csv, an .npz or a pair of IDX files';

export async function readFiles(
  dropped: readonly LocalFile[],
  shape: readonly number[],
  classes: number,
  decode?: Decode,
): Promise<Raw> {
  const files = dropped.filter(({ path }) => !HIDDEN.test(path));
  if (files.length === 0) bad('there is no file in what was dropped.', MEND);
  const kinds = new Map<string, LocalFile>();
  for (const local of files) kinds.set(kindOf(local), local);
  if (kinds.size > 1) {
    const found = [...kinds].map(([kind, { path }]) => `${kind} (${path})`).join(' and ');
    bad(`these are ${found} at once.`, 'drop one kind alone');
  }
  const [[kind, first]] = kinds;
  if (kind === 'images') return (await part(import('./images'))).readImages(files, shape, classes, decode);
  if (kind === 'IDX files') return (await part(import('./idx'))).readIdx(files, shape);
  if (files.length > 1)
    bad(`these are ${files.length} files, each of them ${kind}.`, 'join them into one, or drop one');
  if (kind === 'a CSV file') return (await part(import('./csv'))).readCsv(first, shape);
  return (await part(import('./npz'))).readNpz(first, shape);
}

/** What systems leave in folders, and people do not see. */
const HIDDEN = /(^|\/)(\.[^/]*|__MACOSX|Thumbs\.db|desktop\.ini)(\/|$)/i;

function kindOf({ path }: LocalFile): string {
  const kind = KINDS.find(([, form]) => form.test(path));
  return kind === undefined ? bad(`${path} is of no known kind.`, MEND) : kind[0];
}
