import { readFileSync } from 'node:fs';
import { afterEach, expect, it, vi } from 'vitest';
import { loadDigits } from '../../src/data/digits';
import { readSource } from '../../src/data/read';
import { Refused } from '../../src/refused';
import { refusal } from './given';

const BASE = 'https://potluck.example/edge/';
const file = readFileSync(new URL('../../src/data/digits.bin', import.meta.url));
const served = (body: BodyInit, status = 200) => {
  const fetch = vi.fn((_: URL) => Promise.resolve(new Response(body, { status })));
  vi.stubGlobal('fetch', fetch);
  return fetch;
};
afterEach(() => vi.unstubAllGlobals());

it('unpacks both sets with the values that scikit-learn has', async () => {
  const fetch = served(file);
  const { train, test } = await loadDigits(BASE);
  expect(fetch.mock.calls[0][0].href).toBe('https://potluck.example/src/data/digits.bin');
  expect([train.x.length, train.y.length, test.x.length, test.y.length]).toEqual([1437 * 64, 1437, 360 * 64, 360]);
  // The first image of load_digits() is a zero and stands first in the training set.
  const first = [
    0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0, 0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0, 0, 8, 8, 0,
  ];
  expect([...train.x.subarray(0, 32)].map((value) => value * 16)).toEqual(first);
  expect(train.y[0]).toBe(0);
  expect(Array.from({ length: 10 }, (_, digit) => test.y.filter((label) => label === digit).length)).toEqual([
    31, 35, 39, 33, 44, 29, 40, 40, 28, 41,
  ]);
  expect(Math.max(...test.x)).toBe(1);
});

it('gives its training set to a task for digits, and no other task', async () => {
  served(file);
  expect((await readSource({ kind: 'digits' }, [1, 8, 8], 10, BASE)).y.length).toBe(1437);
  await refusal(() => readSource({ kind: 'digits' }, [1, 28, 28], 10, BASE), 'shape [1, 8, 8]', 'another task');
  await refusal(() => readSource({ kind: 'digits' }, [1, 8, 8], 5, BASE), 'has label 5', '0 to 4');
});

it('says what to do when the server is away', async () => {
  served('gone', 404);
  await expect(loadDigits(BASE)).rejects.toThrow(/the server answered 404.*drop files of your own/);
  await expect(loadDigits(BASE)).rejects.toBeInstanceOf(Refused);
});
