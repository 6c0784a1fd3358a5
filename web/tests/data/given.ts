/** Files as a person would drop them, and what is expected of them. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { LocalFile } from '../../src/messages';
import { Refused } from '../../src/refused';

export const SHAPE = [1, 2, 3];
export const CLASSES = 3;
/** The values and labels of `fixtures.py`. */
export const X = Array.from({ length: 24 }, (_, i) => i / 32);
export const BYTES = Array.from({ length: 24 }, (_, i) => Math.fround(i / 255));
export const Y = [0, 2, 1, 2];

export const bytes = (name: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(readFileSync(new URL(`fixtures/${name}`, import.meta.url)));

export const dropped = (path: string, content: BlobPart = bytes(path)): LocalFile => ({
  path,
  file: new File([content], path.split('/').at(-1) ?? path),
});

/** What `read` is refused with: `bad_data`, a problem that says `problem`, and a mend that says `mend`. */
export async function refusal(read: () => Promise<unknown>, problem: string | RegExp, mend = ''): Promise<void> {
  const error: unknown = await read().then(
    () => 'it was taken',
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Refused);
  const { code, problem: said, mend: advice } = error as Refused;
  expect(code).toBe('bad_data');
  typeof problem === 'string' ? expect(said).toContain(problem) : expect(said).toMatch(problem);
  expect(advice).toContain(mend);
  expect(advice.length).toBeGreaterThan(3);
}
