import { describe, expect, it } from 'vitest';
import type { Decode } from '../../src/data/decode';
import { imageSize } from '../../src/data/imagesize';
import { readSource } from '../../src/data/read';
import { bytes, dropped, refusal } from './given';

/** A browser's decoder is tried in a browser. This one paints every pixel as the last byte of the file's name says. */
const decode: Decode = (file) => {
  const shade = Number(/(\d+)\.png$/.exec((file as File).name)?.[1]);
  if (Number.isNaN(shade)) return Promise.reject(new Error('The source image could not be decoded.'));
  const rgba = Array.from({ length: 6 }, (_, pixel) => [shade, pixel, 0, 255]).flat();
  return Promise.resolve({ width: 3, height: 2, rgba });
};
const read = (paths: readonly string[], { shape = [1, 2, 3], classes = 3, content = bytes('grey.png') } = {}) =>
  readSource({ kind: 'files', files: paths.map((path) => dropped(path, content)) }, shape, classes, '', decode);

describe('class folders', () => {
  it('are labels when they are numbers, and some may be missing', async () => {
    const { x, y } = await read(['2/0.png', '0/9.png']);
    expect([...y]).toEqual([0, 2]);
    expect(Math.round(x[0] * 255)).toBe(Math.round((9 * 19595) / 65536));
    expect(Math.round(x[11] * 255)).toBe(Math.round((5 * 38470) / 65536));
  });

  it('are labels in the order of their names when they are words', async () => {
    const { y } = await read(['dog/1.png', 'cat/1.png', 'eel/1.png', 'cat/2.png']);
    expect([...y]).toEqual([0, 0, 1, 2]);
  });

  it('may stand in other folders', async () => {
    expect([...(await read(['data/mine/1/1.png', 'data/mine/0/1.png'])).y]).toEqual([0, 1]);
  });

  it('may hold what systems leave there', async () => {
    const paths = ['1/1.png', '1/.DS_Store', '__MACOSX/1/1.png', 'Thumbs.db'];
    expect((await read(paths)).y.length).toBe(1);
  });

  it('are refused when the task has no such class, or others', async () => {
    await refusal(() => read(['3/1.png', '1/1.png']), '3 names class 3', '0 to 2');
    await refusal(() => read(['cat/1.png', 'dog/1.png']), '2 class folders', '0 to 2');
    await refusal(() => read(['first.png']), 'first.png is in no class folder', '3/first.png');
    await refusal(() => read(['1/a/1.png', '1/1.png']), '1/a/1.png is in no class folder', '<class>/<image>');
  });
});

interface Pillow {
  readonly L: number[];
  readonly RGB: number[];
}
const pillow = JSON.parse(new TextDecoder().decode(bytes('pixels.json'))) as Record<string, Pillow>;

describe('images', () => {
  it.each(Object.entries(pillow))(
    'give the values that Pillow gives, grey and in colour: %s',
    async (name, { L, RGB }) => {
      const shown: Decode = () =>
        Promise.resolve({ width: 3, height: 2, rgba: L.flatMap((_, i) => [RGB[i], RGB[6 + i], RGB[12 + i], 255]) });
      for (const [shape, wanted] of [
        [[1, 2, 3], L],
        [[3, 2, 3], RGB],
      ]) {
        const files = [dropped(`0/${name}`, bytes(name))];
        const { x } = await readSource({ kind: 'files', files }, shape, 3, '', shown);
        expect([...x]).toEqual(wanted.map((value) => Math.fround(value / 255)));
      }
    },
  );

  it('give channels first for colour', async () => {
    const { x } = await read(['0/7.png'], { shape: [3, 2, 3] });
    expect([...x].map((value) => Math.round(value * 255))).toEqual([
      7, 7, 7, 7, 7, 7, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0,
    ]);
  });

  it('of another size are refused by their head, before they are unpacked', async () => {
    await refusal(
      () => read(['0/1.png'], { shape: [1, 28, 28] }),
      '0/1.png measures 3x2 pixels, not 28x28',
      'scale it to 28x28',
    );
  });

  it('that cannot be read are refused by name', async () => {
    await refusal(
      () => read(['0/1.png', '0/broken.png']),
      '0/broken.png cannot be read as an image',
      'replace or remove',
    );
    await refusal(() => read(['0/1.png'], { content: bytes('deep.png') }), '16 bits a channel', 'replace');
    await refusal(() => read(['0/1.png'], { content: bytes('stored.npz') }), 'no PNG, JPEG', 'replace');
  });

  it('with transparent pixels are refused, for a canvas forgets their colour', async () => {
    const clear: Decode = () => Promise.resolve({ width: 3, height: 2, rgba: new Uint8Array(24) });
    const files = [dropped('0/1.png', bytes('grey.png'))];
    await refusal(() => readSource({ kind: 'files', files }, [1, 2, 3], 3, '', clear), 'transparent', 'replace');
  });

  it('do not fit a task for other examples', async () => {
    await refusal(() => read(['0/1.png'], { shape: [6] }), 'the task wants [6]', '.npz');
  });

  it.each([
    'colour.png',
    'colour.jpg',
    'progressive.jpg',
    'palette.gif',
    'colour.bmp',
    'colour.webp',
    'lossy.webp',
    'extended.webp',
  ])('say their size in their head: %s', (name) => expect(imageSize(bytes(name))).toEqual([3, 2]));
});
