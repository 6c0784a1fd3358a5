import { expect, it } from 'vitest';
import { belowRoot } from '../../src/page/dropped';

const below = (...paths: string[]): string[] => belowRoot(paths.map((path) => ({ path }))).map(({ path }) => path);

it('keeps what lies below the folder that was given', () => {
  expect(below('digits/3/a.png', 'digits/4/b.png')).toEqual(['3/a.png', '4/b.png']);
  expect(below('mine/train.csv')).toEqual(['train.csv']);
});

it('keeps class folders that were given one by one', () => {
  expect(below('3/a.png', '4/b.png')).toEqual(['3/a.png', '4/b.png']);
  expect(below('3/a.png', '3/b.PNG')).toEqual(['3/a.png', '3/b.PNG']);
  expect(below('a.csv')).toEqual(['a.csv']);
});

it('leaves out hidden files, which no one meant to give', () => {
  expect(below('digits/.DS_Store', 'digits/3/a.png', 'digits/.git/x.png')).toEqual(['3/a.png']);
});
