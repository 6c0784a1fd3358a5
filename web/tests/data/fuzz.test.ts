import { describe, expect, it } from 'vitest';
import { imageSize } from '../../src/data/imagesize';
import { Malformed } from '../../src/data/bad';
import { readSource } from '../../src/data/read';
import { Refused } from '../../src/refused';
import { bytes, CLASSES, dropped, SHAPE } from './given';

const CASES = 300;

/** Numbers in [0, 1) from a seed (Marsaglia 2003, xorshift). */
function draws(seed: number): () => number {
  let state = (seed + 1) * 2654435761;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** The file with a few bytes changed, cut out, doubled or cut off. */
function mutated(original: Uint8Array, draw: () => number): Uint8Array<ArrayBuffer> {
  let edited = [...original];
  for (let edits = 1 + Math.floor(draw() * 3); edits > 0; edits--) {
    const at = Math.floor(draw() * edited.length);
    const some = 1 + Math.floor(draw() * 8);
    const kind = draw();
    if (kind < 0.5) edited[at] = Math.floor(draw() * 256);
    else if (kind < 0.6) edited.splice(at, some, ...Array<number>(some).fill(draw() < 0.5 ? 255 : 0));
    else if (kind < 0.75) edited.splice(at, some);
    else if (kind < 0.9) edited.splice(at, 0, ...edited.slice(at, at + some));
    else edited = edited.slice(0, at);
  }
  return Uint8Array.from(edited);
}

const TEXT = new TextEncoder().encode('a,"b",label,c,d,e,f\n0.5,1e-1,2,0,0,0,0\n0,"0.25",1,nan,1,1,1\r\n');
const PAIR = 'train-labels-idx1-ubyte';

describe.each([
  ['stored.npz', bytes('stored.npz'), []],
  ['compressed.npz', bytes('compressed.npz'), []],
  ['fortran.npz', bytes('fortran.npz'), []],
  ['train-images-idx3-ubyte', bytes('train-images-idx3-ubyte'), [PAIR]],
  ['train-images-idx3-ubyte.gz', bytes('train-images-idx3-ubyte.gz'), [PAIR]],
  ['mine.csv', TEXT, []],
] as const)('%s with bytes changed', (name, original, beside) => {
  it('is read or refused, and nothing else happens', async () => {
    const draw = draws(original.length);
    let refused = 0;
    for (let number = 0; number < CASES; number++) {
      const files = [dropped(name, mutated(original, draw)), ...beside.map((other) => dropped(other))];
      try {
        const { x, y } = await readSource({ kind: 'files', files }, SHAPE, CLASSES, '');
        expect(x.length).toBe(6 * y.length);
        expect(x.every((value) => value >= 0 && value <= 1)).toBe(true);
        expect(y.every((label) => label < CLASSES)).toBe(true);
      } catch (error) {
        if (!(error instanceof Refused)) throw new Error(`case ${number}`, { cause: error });
        expect(error.problem).toContain(name);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(CASES / 10);
  });
});

it.each(['colour.png', 'colour.jpg', 'progressive.jpg', 'palette.gif', 'colour.bmp', 'lossy.webp', 'extended.webp'])(
  'the head of %s with bytes changed gives a size or is refused',
  (name) => {
    const original = bytes(name);
    const draw = draws(original.length);
    let read = 0;
    for (let number = 0; number < CASES; number++) {
      try {
        const size = imageSize(mutated(original, draw));
        expect(size.every((side) => Number.isInteger(side) && side >= 0)).toBe(true);
        read += 1;
      } catch (error) {
        if (!(error instanceof Malformed)) throw new Error(`case ${number}`, { cause: error });
      }
    }
    expect(read).toBeGreaterThan(0);
  },
);
