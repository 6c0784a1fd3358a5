import { describe, expect, it } from 'vitest';
import { crossEntropy } from '../../../src/engine/cpu/network';
import { descend, freshSlots, slotsOf } from '../../../src/engine/cpu/optimiser';
import type { Descent } from '../../../src/engine/types';
import { error, values } from './reference';

const SIZES = [1, 3, 17, 65, 257];

describe('cross-entropy', () => {
  it.each(SIZES)('scores %i examples, and gives the gradient by the logits', (n) => {
    for (const classes of [2, 3, 17, 257]) {
      const logits = values(n * classes, 1).map((value) => 40 * value);
      const y = Uint32Array.from({ length: n + 1 }, (_, i) => (7 * i) % classes);
      const places = Uint32Array.from({ length: n }, (_, i) => i + 1);
      const wanted = new Float64Array(n * classes);
      let [loss, correct] = [0, 0];
      for (let i = 0; i < n; i++) {
        const row = [...logits.subarray(i * classes, (i + 1) * classes)];
        const [label, sum] = [y[places[i]], row.reduce((total, value) => total + Math.exp(value), 0)];
        loss -= Math.log(Math.exp(row[label]) / sum) / n;
        if (row.indexOf(Math.max(...row)) === label) correct += 1;
        row.forEach((value, j) => {
          wanted[i * classes + j] = (Math.exp(value) / sum - (j === label ? 1 : 0)) / n;
        });
      }
      const gradient = new Float32Array(n * classes);
      const score = crossEntropy(logits, classes, y, places, gradient);
      expect(score.correct).toBe(correct);
      expect(Math.abs(score.loss / loss - 1)).toBeLessThan(1e-6);
      expect(error(gradient, wanted)).toBeLessThan(1e-6);
    }
  });

  it('takes large logits', () => {
    const score = crossEntropy(Float32Array.of(1e4, -1e4), 2, Uint32Array.of(1), [0], new Float32Array(0));
    expect(score).toEqual({ loss: 2e4, correct: 0 });
  });
});

describe('descent', () => {
  const none = { momentum: 0, weightDecay: 0, proximal: 0 };
  const plain: Descent = { ...none, optimizer: 'sgd', learningRate: 0.1, batchSize: 1 };
  const cases: [string, Descent][] = [
    ['SGD', plain],
    ['SGD with momentum and weight decay', { ...plain, momentum: 0.9, weightDecay: 0.01 }],
    ['SGD with a proximal term', { ...plain, proximal: 0.5 }],
    ['Adam with weight decay and a proximal term', { ...plain, optimizer: 'adam', weightDecay: 0.1, proximal: 0.5 }],
  ];
  it.each(cases)('%s follows its formula for five steps, at every size', (_, descent) => {
    for (const size of SIZES) {
      const given = values(size, 1);
      const parameter = { value: given.slice(), gradient: new Float32Array(size) };
      const slots = slotsOf(descent, new Map([['w', [size]]]));
      const tensors = freshSlots(slots, new Map([['w', { shape: [size], data: given }]]));
      const [w, first, second] = [Float64Array.from(given), new Float64Array(size), new Float64Array(size)];
      for (let step = 1; step <= 5; step++) {
        parameter.gradient.set(values(size, 10 + step));
        parameter.gradient.forEach((raw, i) => {
          const g = raw + descent.proximal * (w[i] - given[i]) + descent.weightDecay * w[i];
          if (descent.optimizer === 'sgd') {
            first[i] = descent.momentum * first[i] + g;
            w[i] -= descent.learningRate * first[i];
          } else {
            first[i] = 0.9 * first[i] + 0.1 * g;
            second[i] = 0.999 * second[i] + 0.001 * g * g;
            const root = Math.sqrt(second[i] / (1 - 0.999 ** step));
            w[i] -= (descent.learningRate * first[i]) / (1 - 0.9 ** step) / (root + 1e-8);
          }
        });
        descend('w', parameter, tensors, descent, step);
      }
      expect(error(parameter.value, w), `${size} values`).toBeLessThan(2e-6);
    }
  });
});
