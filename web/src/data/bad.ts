/** What the parsers share: how they refuse, and how much they take. */
import { sizeOf } from '../engine/catalogue';
import type { LocalFile } from '../messages';
import { Refused } from '../refused';

/** Values in all examples together: 256 MiB as float32, and a little more than all of MNIST's. */
export const MOST_VALUES = 2 ** 26;

/** Bytes of a CSV file: browsers hold no longer text than twice that. */
export const MOST_TEXT = 2 ** 28;

/** Refuses the data, in the Python node's words (`resources/datasets/own.py`). */
export function bad(problem: string, mend: string): never {
  throw new Refused('bad_data', problem, mend);
}

/** A file is not what its name says; who knows the file's path makes a refusal of it. */
export class Malformed extends Error {}

/** Refuses more examples than a tab should hold; asked before they are unpacked. */
export function checkRoom(path: string, examples: number, shape: readonly number[]): void {
  if (!(examples * sizeOf(shape) <= MOST_VALUES)) {
    const most = Math.floor(MOST_VALUES / sizeOf(shape));
    bad(`${path} holds ${examples} examples, more than a tab takes.`, `give at most ${most} of this size`);
  }
}

/** The bytes of a file, or of a piece of it. */
export async function bytesOf(path: string, piece: Blob): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await piece.arrayBuffer());
  } catch (error) {
    return bad(`${path} cannot be read: ${String(error)}.`, 'drop it again; it may have been moved or changed');
  }
}

/** What `read` gives; a `Malformed` becomes a refusal with this mend. */
export async function reading<T>({ path }: LocalFile, mend: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Malformed) bad(`${path} cannot be read: ${error.message}.`, mend);
    throw error;
  }
}
