import { expect, it } from 'vitest';
import { readSource } from '../../src/data/read';
import { dropped, refusal } from './given';

const read = (text: BlobPart, shape: readonly number[] = [2], classes = 3) =>
  readSource({ kind: 'files', files: [dropped('mine.csv', text)] }, shape, classes, '');
const numbers = async (text: BlobPart) => {
  const { x, y } = await read(text);
  return [[...x], [...y]];
};

it.each([
  ['plain', 'a,b,label\n0.25,0.5,1\n0,1,2\n'],
  ['the label first', 'label,a,b\n1,0.25,0.5\n2,0,1\n'],
  ['no line end at the end', 'a,label,b\n0.25,1,0.5\n0,2,1'],
  ['Windows line ends and a byte order mark', '\ufeffa,b,label\r\n0.25,0.5,1\r\n0,1,2\r\n'],
  ['old line ends', 'a,b,label\r0.25,0.5,1\r0,1,2\r'],
  ['quotes, blanks and signs', '"a, or ""A""","b\nB",label\n"0.25", +5e-1 ,1\n-0,1.,"2"\n'],
])('reads rows: %s', async (_, text) => {
  expect(await numbers(text)).toEqual([
    [0.25, 0.5, text.includes('-0') ? -0 : 0, 1],
    [1, 2],
  ]);
});

it('takes whole numbers up to 255 for bytes where one exceeds 1, and for 0..1 where none does', async () => {
  expect(await numbers('a,b,label\n255,51,0\n')).toEqual([[1, Math.fround(0.2)], [0]]);
  expect(await numbers('a,b,label\n1,0,0\n')).toEqual([[1, 0], [0]]);
});

it.each([
  ['x,y,label\n1,2', 'mine.csv, row 2 has 2 cells, not 3', 'complete'],
  ['x,y,label\n1,0,0\n\n', 'mine.csv, row 3 has 0 cells', 'remove'],
  ['x,y,label\n1,0,0\n0,a b,1', "mine.csv, row 3 holds no number: 'a b'", 'correct'],
  ['x,y,label\n0x1,0,0', "row 2 holds no number: '0x1'", 'correct'],
  ['x,y,label\n,0,0', "row 2 holds no number: ''", 'correct'],
  ['x,y,label\n0,0,1.0', "row 2 holds no number: '1.0'", 'correct'],
  ['x,y,label\n0,0,1\nnan,0,1', 'mine.csv, row 3 holds NaN or infinity', 'correct'],
  ['x,y,label\n0,-inf,1', 'mine.csv, row 2 holds NaN or infinity', 'correct'],
  ['x,y,label\n0,0,1\n256,0,1', 'mine.csv, row 3 has values from 0 to 256', '0..1'],
  ['x,y,label\n0,0,1\n1.5,0,1', 'row 3 has values from 0 to 1.5', '0..1'],
  ['x,y,label\n0,0,3', 'mine.csv, row 2 has label 3', '0 to 2'],
  ['x,y,label\n0,0,-1', 'mine.csv, row 2 has label -1', '0 to 2'],
  ['x,y,z\n0,0,1', 'no column `label`', 'first row'],
  ['label,y,label\n0,0,1', 'no column `label`', 'one of them'],
  ['x,label\n0,1', '1 feature columns and the task wants 2', 'shape [2]'],
  ['x,y,label\n', 'holds no examples', 'rows'],
  ['', 'no column `label`', 'first row'],
  ['x,y,label\n"0,0,1\n', 'row 2 has 1 cells', 'complete'],
])('refuses %j', async (text, problem, mend) => {
  await refusal(() => read(text), problem, mend);
});

it('refuses bytes that are no text in UTF-8', async () => {
  await refusal(() => read(Uint8Array.from([0x61, 0xff, 0x0a])), 'no text in UTF-8', 'UTF-8');
});

it('counts a quoted line end as part of its row', async () => {
  await refusal(() => read('"x\n\n",y,label\n0,0,1\n0,0,7\n'), 'mine.csv, row 3 has label 7');
});

it('refuses more examples than a tab takes before making room for them', async () => {
  const header = Array.from({ length: 2 ** 12 }, (_, i) => `p${i}`).join();
  await refusal(() => read(`${header},label\n${'\n'.repeat(2 ** 14 + 1)}`, [2 ** 12]), '16385 examples, more than');
});
