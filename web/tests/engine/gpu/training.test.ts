import { afterAll, beforeAll, expect, it } from 'vitest';
import { openEngine } from '../../../src/engine/open';
import type { Chain, Descent, Engine } from '../../../src/engine/types';
import { describeOnGpu } from '../../gpu';
import { conv, linear, pool } from './chains';
import { draw, examples, random, Reference } from './reference';

const MLP: Chain = {
  inputShape: [1, 3, 7],
  classes: 5,
  layers: [linear('hidden', 21, 65, true), linear('output', 65, 5)],
};
const CNN: Chain = {
  inputShape: [1, 11, 9],
  classes: 3,
  layers: [
    conv('conv1', 1, 5, [11, 9]),
    pool(5, 11, 9),
    conv('conv2', 5, 6, [5, 4]),
    pool(6, 5, 4),
    linear('hidden', 24, 17, true),
    linear('output', 17, 3),
  ],
};
const SGD: Descent = {
  optimizer: 'sgd',
  learningRate: 0.05,
  momentum: 0.9,
  weightDecay: 0.01,
  proximal: 0.1,
  batchSize: 8,
};

describeOnGpu('training on WebGPU', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine('webgpu');
  });
  afterAll(() => engine.destroy());

  const descents: [string, Descent][] = [
    ['SGD', { ...SGD, momentum: 0, weightDecay: 0, proximal: 0 }],
    ['SGD with momentum, weight decay and a proximal term', SGD],
    ['Adam with weight decay', { ...SGD, optimizer: 'adam', learningRate: 1e-3, proximal: 0 }],
  ];
  const chains: [string, Chain][] = [
    ['a perceptron', MLP],
    ['a convolutional network', CNN],
    [
      'convolutions in a row, then a linear layer',
      {
        inputShape: [3, 6, 7],
        classes: 4,
        layers: [
          conv('a', 3, 9, [6, 7], 5),
          conv('b', 9, 6, [6, 7]),
          conv('c', 6, 5, [6, 7], 1, false),
          linear('o', 5 * 42, 4),
        ],
      },
    ],
    [
      'a pool first',
      { inputShape: [2, 7, 8], classes: 4, layers: [pool(2, 7, 8), conv('a', 2, 6, [3, 4]), linear('o', 72, 4)] },
    ],
  ];
  for (const [what, chain] of chains) {
    for (const [how, descent] of descents) {
      it(`gives the reference's loss curve and weights: ${what} by ${how}`, async () => {
        const weights = draw(chain, 1);
        const data = examples(chain, 23, 2);
        const reference = new Reference(chain, weights);
        const trainer = await engine.trainer(chain, weights, data, descent);
        const next = random(3);
        const expected = Array.from({ length: 20 }, (_, i) => {
          // Ragged batches: 8, then 3, then a single example, and again.
          const batch = Uint32Array.from({ length: [8, 3, 1][i % 3] }, () => Math.floor(next() * 23));
          trainer.step(batch);
          return reference.step(data, batch, descent);
        });
        const scores = await trainer.drain();
        expect(scores.length).toBe(20);
        scores.forEach(({ loss, correct }, i) => {
          expect(Math.abs(loss / expected[i].loss - 1)).toBeLessThan(1e-4);
          expect(correct).toBe(expected[i].correct);
        });
        for (const [name, { data: got }] of await trainer.weights()) {
          const want = reference.weights.get(name) ?? new Float64Array();
          const norm = Math.hypot(...want);
          expect(Math.hypot(...want.map((v, i) => v - got[i])) / norm).toBeLessThan(1e-4);
        }
        trainer.destroy();
      });
    }
  }
});
