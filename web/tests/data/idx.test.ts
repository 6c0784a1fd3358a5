import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { readSource } from '../../src/data/read';
import { BYTES, bytes, CLASSES, dropped, refusal, SHAPE, Y } from './given';

const [IMAGES, LABELS] = ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte'];
const read = (files: readonly ReturnType<typeof dropped>[], shape: readonly number[] = SHAPE) =>
  readSource({ kind: 'files', files }, shape, CLASSES, '');

it.each([
  ['plain', IMAGES, LABELS],
  ['gzipped', `${IMAGES}.gz`, `${LABELS}.gz`],
  ['mixed, labels first', `${LABELS}.gz`, IMAGES],
])('reads a pair: %s', async (_, ...names) => {
  const { x, y } = await read(names.map((name) => dropped(name)));
  expect([...x]).toEqual(BYTES);
  expect([...y]).toEqual(Y);
});

it('reads the other spelling of the names', async () => {
  const pair = [
    dropped('mnist/t10k-images.idx3-ubyte', bytes(IMAGES)),
    dropped('mnist/t10k-labels.idx1-ubyte', bytes(LABELS)),
  ];
  expect((await read(pair)).y.length).toBe(4);
});

it('refuses images without labels, and two pairs at once', async () => {
  await refusal(() => read([dropped(IMAGES)]), 'not one file of images and one of labels', 'one pair');
  await refusal(
    () => read([IMAGES, LABELS, `${IMAGES}.gz`, `${LABELS}.gz`].map((name) => dropped(name))),
    IMAGES,
    'one pair',
  );
});

it('refuses labels of other images, other sizes and other tasks', async () => {
  const five = Uint8Array.from([0, 0, 8, 1, 0, 0, 0, 5, 0, 1, 2, 0, 1]);
  await refusal(() => read([dropped(IMAGES), dropped(LABELS, five)]), '5 labels for the 4 images', 'belong');
  await refusal(() => read([dropped(IMAGES), dropped(LABELS)], [1, 3, 2]), 'shape [1, 2, 3]', '[1, 3, 2]');
  await refusal(() => read([dropped(IMAGES), dropped(LABELS)], [6]), 'shape [1, 2, 3]', '[6]');
});

it('names the first label that the task does not have', async () => {
  const labels = Uint8Array.from([0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 9, 0]);
  await refusal(() => read([dropped(IMAGES), dropped(LABELS, labels)]), `${IMAGES}, example 2 has label 9`, '0 to 2');
});

it('refuses what is cut off, too long, of another type, or gzipped badly', async () => {
  const whole = bytes(IMAGES);
  const wrong =
    (content: Uint8Array<ArrayBuffer>, name = IMAGES) =>
    () =>
      read([dropped(name, content), dropped(LABELS)]);
  await refusal(wrong(whole.slice(0, -1)), 'its head states 24 values and it holds 23', 'published');
  await refusal(wrong(whole.slice(0, 9)), 'no IDX file');
  await refusal(wrong(Uint8Array.from([...whole, 0])), 'it holds 25');
  await refusal(wrong(Uint8Array.from([0, 0, 0x0d, ...whole.slice(3)])), 'no IDX file of unsigned bytes');
  await refusal(wrong(bytes(`${IMAGES}.gz`).slice(0, -9), `${IMAGES}.gz`), 'damaged');
});

it('stops unpacking where a tab can hold no more', async () => {
  const zeros = new Uint8Array(2 ** 26 + 17);
  await refusal(
    () => read([dropped(`${IMAGES}.gz`, Uint8Array.from(gzipSync(zeros))), dropped(LABELS)]),
    'or a tab takes',
  );
});
