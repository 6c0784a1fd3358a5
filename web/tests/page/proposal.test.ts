import { expect, it } from 'vitest';
import type { TaskCard } from '../../src/messages';
import { namesOf } from '../../src/page/choice';
import { proposal } from '../../src/page/proposal';

const form = { nodes: 4, alpha: 0.5, rounds: 3, epochs: 2, model: '' };
const recipe = { options: { hidden: 50 }, batchSize: 32, learningRate: 0.001, optimizer: 'adam', momentum: 0, weightDecay: 0.1 } as const;
const task: TaskCard = {
  taskId: 'mnist-1',
  name: 'MNIST',
  state: 'running',
  model: 'mcmahan_2nn',
  data: 'mnist',
  round: 1,
  numRounds: 3,
  accuracy: null,
  loss: null,
  obstacles: [],
  requirements: [],
  inputShape: [1, 28, 28],
  classes: 3,
  recipe,
};
const files = { kind: 'files', files: [] } as const;
const digits = { kind: 'digits' } as const;

it('rehearses a task with its model, options, optimiser and rate, on data of its shape and classes', () => {
  expect(proposal(form, task, files)).toEqual({
    ...form,
    ...recipe,
    model: 'mcmahan_2nn',
    seed: 0,
    source: files,
    inputShape: [1, 28, 28],
    classes: 3,
  });
});

it('rehearses another model on the same data with what suits that model', () => {
  expect(proposal({ ...form, model: 'logistic' }, task, files)).toEqual({
    ...form,
    model: 'logistic',
    options: {},
    batchSize: 16,
    learningRate: 0.2,
    seed: 0,
    source: files,
    inputShape: [1, 28, 28],
    classes: 3,
  });
});

it('leaves the digits sample its own shape, and needs no task for it', () => {
  expect(proposal(form, task, digits)).toMatchObject({ model: 'mcmahan_2nn', learningRate: 0.001 });
  expect(proposal(form, task, digits)).not.toHaveProperty('inputShape');
  expect(proposal(form, task, digits)).not.toHaveProperty('classes');
  expect(proposal(form, null, digits)).toMatchObject({ model: 'mlp', learningRate: 0.1, options: {} });
});

it("offers a task's classes by name, or by number where they have none", () => {
  expect(namesOf({ ...task, classNames: ['cat', 'dog', 'owl'] })).toEqual(['cat', 'dog', 'owl']);
  expect(namesOf(task)).toEqual(['0', '1', '2']);
  expect(namesOf(null)).toEqual([...'0123456789']);
});
