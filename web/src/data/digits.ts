/** The digits sample (Alpaydin and Kaynak 1998, CC BY 4.0): the catalogue's data set `digits`, 1,797 images of 8 × 8
 *  pixels, fetched when it is first asked for. `scripts/digits_sample.py` writes the file and says what is in it. */
import type { Examples } from '../engine/types';
import { Refused } from '../refused';
import file from './digits.bin?url';
import type { Schema } from './schema';
import { unpack } from './unpack';

export const DIGITS: Schema = { inputShape: [1, 8, 8], classes: 10 };

const [TRAIN, TEST, PIXELS, WHITE] = [1437, 360, 64, 16];
const COUNT = TRAIN + TEST;

/** Training and test set, each in the catalogue's order, so that the places of a task's shares hold. */
export interface Digits {
  readonly train: Examples;
  readonly test: Examples;
}

/** `base`: the page's address, against which the file's is resolved. */
export async function loadDigits(base: string): Promise<Digits> {
  const bytes = await unpack(await fetched(new URL(file, base)), 'gzip', COUNT * (PIXELS + 1));
  const part = (first: number, count: number): Examples => ({
    x: Float32Array.from({ length: count * PIXELS }, (_, i) => {
      const [example, pixel] = [first + Math.floor(i / PIXELS), i % PIXELS];
      return bytes[pixel * COUNT + example] / WHITE;
    }),
    y: Uint32Array.from(bytes.subarray(COUNT * PIXELS + first, COUNT * PIXELS + first + count)),
  });
  return { train: part(0, TRAIN), test: part(TRAIN, TEST) };
}

async function fetched(address: URL): Promise<Blob> {
  const mend = 'check the connection to the server, or drop files of your own';
  try {
    const answer = await fetch(address);
    if (answer.ok) return await answer.blob();
    throw new Error(`the server answered ${answer.status}`);
  } catch (error) {
    throw new Refused('no_server', `The digits sample cannot be loaded: ${String(error)}.`, mend);
  }
}
