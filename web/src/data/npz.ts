/** NPZ files with arrays `x` [n, ...] and `y` [n]. */
import type { LocalFile } from '../messages';
import { bad, checkRoom, MOST_VALUES, reading } from './bad';
import type { Raw } from './check';
import { parseNpy, type NpyArray } from './npy';
import { directory, extract } from './zip';

const MEND = 'save it with numpy.savez(path, x=..., y=...), without objects';
/** Bytes of an array: the values that a tab takes as float32, and the array's head. */
const MOST_BYTES = 4 * MOST_VALUES + 2 ** 14;

export async function readNpz(local: LocalFile, shape: readonly number[]): Promise<Raw> {
  const { path } = local;
  const [x, y] = await reading(local, MEND, () => arrays(local));
  if (!equal(x.shape.slice(1), shape) || x.shape.length !== shape.length + 1) {
    bad(`${path}: x has shape [${x.shape.join(', ')}].`, `give shape [n, ${shape.join(', ')}]`);
  }
  const n = x.shape[0];
  if (!equal(y.shape, [n])) {
    bad(`${path}: y has shape [${y.shape.join(', ')}] for ${n} examples.`, `give one label each, shape [${n}]`);
  }
  if (!/^u?int/.test(y.dtype)) bad(`${path}: y holds ${y.dtype}, not whole numbers.`, 'convert the labels to int64');
  if (!/^(uint8|float(16|32|64))$/.test(x.dtype)) {
    bad(`${path}: x holds ${x.dtype}.`, 'give float32 with values 0..1, or uint8 with 0..255');
  }
  if (n === 0) bad(`${path} holds no examples.`, 'add some');
  checkRoom(path, n, shape);
  return { x: x.values, y: y.values, name: (index) => `${path}, example ${index}` };
}

async function arrays({ path, file }: LocalFile): Promise<[NpyArray, NpyArray]> {
  const entries = await directory(path, file);
  const [x, y] = [entries.get('x.npy'), entries.get('y.npy')];
  if (x === undefined || y === undefined) {
    return bad(`${path} lacks an array \`x\` or \`y\`.`, 'save it with numpy.savez(path, x=..., y=...)');
  }
  if (Math.max(x.size, y.size) > MOST_BYTES) {
    bad(`${path} unpacks to more than a tab takes.`, 'give x as uint8 or float32, or fewer examples');
  }
  return [parseNpy(await extract(path, file, x)), parseNpy(await extract(path, file, y))];
}

const equal = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((side, axis) => side === b[axis]);
