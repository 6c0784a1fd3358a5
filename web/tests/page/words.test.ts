import { expect, it } from 'vitest';
import type { NodeStatus } from '../../src/messages';
import { bytes, count, counted, duration, figure, largest, percent, sentence } from '../../src/page/words';

const status: NodeStatus = {
  phase: 'waiting',
  text: '',
  nodeId: null,
  taskId: null,
  round: 1,
  numRounds: 3,
  deadlineAt: null,
  examples: 480,
  heldOut: 120,
  roundsGiven: 1,
  bytesUp: 1_686_568,
  bytesDown: 0,
  lastUpdate: '',
};

it('writes bytes in decimal units, never with four digits', () => {
  expect([0, 999, 1000, 9949, 9950, 999_499, 999_500, 1_686_568, 23_400_000, 3e15].map(bytes)).toEqual([
    '0 B', '999 B', '1.0 kB', '9.9 kB', '10 kB', '999 kB', '1.0 MB', '1.7 MB', '23 MB', '3000 TB',
  ]);
});

it('counts things in the singular and the plural', () => {
  expect([count(421_642), counted(1, 'file'), counted(0, 'file'), counted(2, 'class', 'classes')]).toEqual([
    '421,642', 'one file', '0 files', '2 classes',
  ]);
});

it('gives figures three digits and shows what is unknown as unknown', () => {
  expect([0.41234, 2.5, 1234.4, 0, 1.2e-7, null, Number.NaN].map(figure)).toEqual([
    '0.412', '2.50', '1,234', '0.00', '1.20·10^-7', '–', '–',
  ]);
  expect([percent(0.9317), percent(null)]).toEqual(['93.2 %', '–']);
});

it('counts a deadline down in hours, minutes and seconds, and stops at zero', () => {
  expect([3725, 65, 59.6, 0.2, -4].map(duration)).toEqual(['1 h 2 min', '1 min 5 s', '1 min 0 s', '0 s', '0 s']);
});

it('says in words what was sent and what was not', () => {
  expect(sentence(status, 421_642)).toBe(
    'Sent 1.7 MB of updates since this page was opened: how the 421,642 weights moved, with counts and scores. ' +
      'Your 600 examples stayed here; what moved can still tell something about them.',
  );
  expect(sentence({ ...status, roundsGiven: 3 }, null)).toContain('in 3 rounds since this page was opened: how the model’s weights moved');
});

it('finds the largest of very many values, in their order', () => {
  const values = Array.from({ length: 200_000 }, (_, at) => at % 1000);
  values[7] = 5000;
  values[150_000] = 4000;
  expect(largest(values, 2)).toEqual([[7, 5000], [150_000, 4000]]);
  expect(largest([3, 1], 40)).toEqual([[0, 3], [1, 1]]);
});
