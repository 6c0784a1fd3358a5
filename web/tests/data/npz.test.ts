import { expect, it } from 'vitest';
import { readSource } from '../../src/data/read';
import { BYTES, CLASSES, dropped, refusal, SHAPE, X, Y } from './given';

const read = (name: string, shape: readonly number[] = SHAPE, classes = CLASSES) =>
  readSource({ kind: 'files', files: [dropped(name)] }, shape, classes, '');

it.each(['stored', 'compressed', 'fortran', 'big_endian', 'half', 'version2', 'version3'])(
  'reads what NumPy wrote: %s',
  async (name) => {
    const { x, y } = await read(`${name}.npz`);
    expect([...x]).toEqual(X);
    expect([...y]).toEqual(Y);
  },
);

it('divides bytes by 255', async () => {
  const { x, y } = await read('bytes.npz');
  expect([...x]).toEqual(BYTES);
  expect([...y]).toEqual(Y);
});

it.each([
  ['objects', 'holds Python objects', 'without objects'],
  ['integers', 'x holds int64', 'uint8 with 0..255'],
  ['real_labels', 'y holds float32', 'int64'],
  ['no_labels', 'lacks an array `x` or `y`', 'numpy.savez'],
  ['other_shape', 'x has shape [4, 6]', '[n, 1, 2, 3]'],
  ['other_count', 'y has shape [3] for 4 examples', 'shape [4]'],
  ['empty', 'holds no examples', 'add some'],
  ['nan', 'nan.npz, example 1 holds NaN', 'correct'],
  ['above_one', 'above_one.npz, example 2 has values from 0.75 to 1.0625', '0..1'],
  ['label_three', 'label_three.npz, example 1 has label 3', '0 to 2'],
  ['damaged', 'checksum', 'numpy.savez'],
  ['cut_off', 'no ZIP archive, or cut off', 'numpy.savez'],
  ['bomb', 'more bytes than it states', 'numpy.savez'],
  ['huge', 'unpacks to more than a tab takes', 'fewer examples'],
])('refuses %s.npz', async (name, problem, mend) => {
  await refusal(() => read(`${name}.npz`), problem, mend);
});

it('wants the shape of the task, not only as many values', async () => {
  await refusal(() => read('stored.npz', [6]), 'x has shape [4, 1, 2, 3]', '[n, 6]');
});

it('names the first label at fault whatever its type', async () => {
  await refusal(() => read('version2.npz', SHAPE, 2), 'version2.npz, example 1 has label 2', '0 to 1');
});
