import { expect, it } from 'vitest';
import { readSource } from '../../src/data/read';
import { dropped, refusal } from './given';

const read = (...paths: string[]) =>
  readSource({ kind: 'files', files: paths.map((path) => dropped(path, 'x')) }, [2], 3, '');
const drawn = (x: number[], y: number[], shape = [2]) =>
  readSource({ kind: 'drawn', x: Float32Array.from(x), y: Uint32Array.from(y), shape }, [2], 3, '');

it('a drop of nothing, of several kinds or files, or of an unknown kind is refused with what to drop', async () => {
  await refusal(() => read(), 'no file', 'a folder of images');
  await refusal(() => read('.hidden/1.png'), 'no file', 'a folder of images');
  await refusal(() => read('a.csv', 'b/1.png'), 'a CSV file (a.csv) and images (b/1.png) at once', 'one kind');
  await refusal(() => read('a.csv', 'b.csv'), '2 files, each of them a CSV file', 'one');
  await refusal(() => read('notes.txt'), 'notes.txt is of no known kind', 'a .csv, an .npz');
});

it('drawings are examples as they are', async () => {
  expect(await drawn([0, 1, 0.5, 0.25], [2, 0])).toEqual({
    x: Float32Array.of(0, 1, 0.5, 0.25),
    y: Uint32Array.of(2, 0),
  });
});

it('drawings of another shape, none, or wrong ones are refused', async () => {
  await refusal(() => drawn([0, 1], [2], [1, 2]), 'the drawing pad gives examples of shape [1, 2]', 'another task');
  await refusal(() => drawn([], []), 'no examples', 'draw');
  await refusal(() => drawn([0, 1, 1], [2]), '3 values for 1 examples', 'draw');
  await refusal(() => drawn([0, 1, 0, 2], [0, 1]), 'the drawing pad, example 2 has values from 0 to 2', '0..1');
  await refusal(() => drawn([0, 1], [3]), 'example 1 has label 3', '0 to 2');
});
