/** Pairs of IDX files, MNIST's own format: `…images-idx3-ubyte` and `…labels-idx1-ubyte`, or `.gz`. */
import type { LocalFile } from '../messages';
import { bad, bytesOf, checkRoom, Malformed, MOST_VALUES, reading } from './bad';
import type { Raw } from './check';
import { unpack } from './unpack';

const MEND = 'drop the images and their labels as published, unpacked or as .gz';

/** An array of unsigned bytes. */
interface Bytes {
  readonly shape: readonly number[];
  readonly values: Uint8Array;
}

export async function readIdx(files: readonly LocalFile[], shape: readonly number[]): Promise<Raw> {
  const arrays = await Promise.all(files.map((local) => reading(local, MEND, () => parse(local))));
  const [at, labelsAt] = [3, 1].map((rank) => arrays.findIndex((array) => array.shape.length === rank));
  if (files.length !== 2 || at < 0 || labelsAt < 0) {
    const names = files.map((local) => local.path).join(', ');
    bad(`${names}: not one file of images and one of labels.`, 'drop one pair, e.g. train-images… and train-labels…');
  }
  const [images, labels, path] = [arrays[at], arrays[labelsAt], files[at].path];
  const [n, height, width] = images.shape;
  if (labels.shape[0] !== n) {
    const mend = 'drop the labels that belong to the images';
    bad(`${files[labelsAt].path} has ${labels.shape[0]} labels for the ${n} images of ${path}.`, mend);
  }
  if (shape.join() !== `1,${height},${width}`) {
    bad(`${path} has examples of shape [1, ${height}, ${width}].`, `the task wants [${shape.join(', ')}]`);
  }
  if (n === 0) bad(`${path} holds no examples.`, 'drop a file that holds some');
  checkRoom(path, n, shape);
  return { x: images.values, y: labels.values, name: (index) => `${path}, example ${index}` };
}

/** [0, 0, 8 for unsigned bytes, number of axes], each axis's length as a big-endian u32, the values. */
async function parse({ path, file }: LocalFile): Promise<Bytes> {
  const most = MOST_VALUES + 16;
  if (file.size > most) throw new Malformed('it holds more than a tab takes');
  const bytes = /\.gz$/i.test(path) ? await unpack(file, 'gzip', most) : await bytesOf(path, file);
  const rank = bytes[3];
  const start = 4 + 4 * rank;
  if (bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== 8 || (rank !== 1 && rank !== 3) || bytes.length < start) {
    throw new Malformed('it is no IDX file of unsigned bytes with 1 or 3 axes');
  }
  const view = new DataView(bytes.buffer);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, side) => product * side, 1);
  if (bytes.length !== start + size)
    throw new Malformed(`its head states ${size} values and it holds ${bytes.length - start}`);
  return { shape, values: bytes.subarray(start) };
}
