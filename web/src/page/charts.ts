/** "How it learns": this node by step, and the federation by round. */
import type { RoundReport } from '../messages';
import { Chart, type Line } from './chart';
import { Odometer, type Row } from './curve';
import type { Channel } from './channel';
import { box } from './element';
import { bytes, count, figure, percent } from './words';

const LOSS: Line = { name: 'Loss', scale: 'loss', words: figure, tick: String };
const ACCURACY: Line = { name: 'Accuracy', scale: 'share', words: percent, tick: (share) => `${Math.round(100 * share)} %` };
const SPEED: Line = { name: 'Examples a second', scale: 'speed', words: or(count), tick: (value) => value.toLocaleString('en', { notation: 'compact' }) };
const MEMORY: Line = { name: 'Memory', scale: 'bytes', words: or(bytes), tick: bytes };

export function charts(channel: Channel): void {
  const own = new Chart(box('chart-own'), 'This node, by step', 'Step', [LOSS, ACCURACY]);
  const load = new Chart(box('chart-load'), 'Speed and memory, by step', 'Step', [SPEED, MEMORY]);
  const federation = byRound('chart-rounds', 'The federation, by round');
  const way = new Odometer();

  channel.on('status', ({ status: { taskId } }) => {
    if (taskId !== null && way.begins(taskId)) {
      for (const chart of [own, load]) {
        chart.curve.replace([]);
        chart.draw();
      }
    }
  });
  channel.on('step', ({ step }) => {
    const x = way.at(step.round, step.step);
    own.curve.push([x, step.loss, step.accuracy]);
    load.curve.push([x, step.examplesPerS, step.memoryBytes]);
    own.draw();
    load.draw();
  });
  channel.on('rounds', ({ rounds }) => {
    // A round that goes on has no score yet.
    federation.curve.replace(rounds.filter(({ loss, accuracy }) => (loss ?? accuracy) !== null).map(rowOf));
    federation.draw(rounds.length > 0);
  });
}

export function byRound(id: string, title: string): Chart {
  return new Chart(box(id), title, 'Round', [LOSS, ACCURACY]);
}

export function rowOf({ round, loss, accuracy }: RoundReport): Row {
  return [round, loss, accuracy];
}

function or(words: (value: number) => string): Line['words'] {
  return (value) => (value === null ? '–' : words(value));
}
