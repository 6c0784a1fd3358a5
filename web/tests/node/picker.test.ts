/** What of a task is shown to whoever chooses one, and why a tab may not take part in it. */
import { describe, expect, it } from 'vitest';
import { canonical, proximalOf } from '../../src/node/plan';
import { cardOf, obstaclesOf } from '../../src/node/picker';
import type { TaskSpec, TaskSummary, TaskView } from '../../src/node/protocol';
import { Refused } from '../../src/refused';
import { StandIns } from './standins';

describe('what a task asks for', () => {
  const spec = (rule: string, options = {}) =>
    ({ model: { id: 'mlp' }, codec: 'none', aggregation: { rule, options } }) as unknown as TaskSpec;
  const running = { state: 'running', simulated: false, model: 'mlp' };

  it.each([
    [{}, 'fedavg', 0],
    [{ state: 'finished' }, 'fedavg', 1],
    [{ simulated: true }, 'fedavg', 1],
    [{}, 'scaffold', 1],
    [{ simulated: true, state: 'cancelled' }, 'scaffold', 3],
  ])('%o with %s has %i obstacles', (task, rule, obstacles) => {
    expect(obstaclesOf({ ...running, ...task }, spec(rule), ['mlp'])).toHaveLength(obstacles);
  });

  it('may be a language model, which is said once', () => {
    const adapters = { ...spec('lora_exact'), model: { id: 'hf:acme/tiny' } } as unknown as TaskSpec;
    const said = obstaclesOf({ ...running, model: 'hf:acme/tiny' }, adapters, ['mlp']);
    expect(said).toEqual([expect.stringContaining('cannot train the model hf:acme/tiny; a Python node can')]);
  });

  it('may be a model that cannot be built, which is an obstacle and not a failure', () => {
    const known = new StandIns();
    known.chainOf = () => {
      throw new Refused('invalid_spec', 'The hidden layer is too wide.', 'choose another task');
    };
    const training = { epochs: 1, batch_size: 4, max_steps: null, optimizer: 'sgd', momentum: 0 };
    const view = { spec: { ...spec('fedavg'), training, data: { id: 'own' } }, input_shape: [4], num_classes: 2, model: { size: 10 } };
    const card = cardOf(running as unknown as TaskSummary, view as unknown as TaskView, known, null);
    expect(card.obstacles).toEqual(['The hidden layer is too wide.']);
  });

  it('may be on data of the Hub, for which a tab has examples of its own, and whose classes have names', () => {
    const known = new StandIns();
    const data = { id: 'hf:acme/things', pin: { class_names: ['cat', 'dog'] } };
    const training = { epochs: 1, batch_size: 4, max_steps: null, optimizer: 'sgd', momentum: 0 };
    const model = { id: 'mlp', options: { hidden: 4 } };
    const asked = { ...spec('fedavg'), model, training, data };
    const view = { spec: asked, input_shape: [4], num_classes: 2, model: { size: 10 } };
    const card = cardOf(running as unknown as TaskSummary, view as unknown as TaskView, known, null);
    expect(card.obstacles).toEqual([]);
    expect(card.classNames).toEqual(['cat', 'dog']);
  });

  it('may be a proximal term', () => {
    expect(proximalOf(spec('fedprox'))).toBe(0.01);
    expect(proximalOf(spec('fedprox', { mu: 0.5 }))).toBe(0.5);
    expect(proximalOf(spec('fednova', { mu: 0.1 }))).toBe(0.1);
    expect(proximalOf(spec('fednova'))).toBe(0);
    expect(proximalOf(spec('fedavg', { mu: 3 }))).toBe(0);
  });

  it('is the same work in whatever order it is written', () => {
    expect(canonical({ b: [{ d: 1, c: null }], a: 'x' })).toBe(canonical({ a: 'x', b: [{ c: null, d: 1 }] }));
    expect(canonical({ a: 1 })).not.toBe(canonical({ a: 2 }));
  });
});

describe('a task that a graphics device cannot hold', () => {
  const spec = {
    model: { id: 'mlp', options: { hidden: 1000 } },
    codec: 'none',
    aggregation: { rule: 'fedavg', options: {} },
    training: { epochs: 1, batch_size: 4, max_steps: null, optimizer: 'sgd', momentum: 0 },
    data: { id: 'own' },
  };
  const task = { state: 'running', simulated: false, model: 'mlp', data: 'own' } as unknown as TaskSummary;
  const view = { spec, input_shape: [1, 4, 4], num_classes: 3, model: { size: 80_000 } } as unknown as TaskView;
  const limits = { maxBufferSize: 1e9, maxStorageBufferBindingSize: 50_000 };
  const engine = { kind: 'webgpu', reason: '', adapter: {}, limits, kernels: [], matmulGflops: 1 } as const;

  it('is not offered, with the numbers; nor is one of which nothing is known yet', () => {
    const known = new StandIns();
    const obstacles = (limit: number, read: TaskView | null = view) => {
      const held = { ...engine, limits: { ...limits, maxStorageBufferBindingSize: limit } };
      return cardOf(task, read, known, null, held).obstacles;
    };
    const bytes = 4 * (16 * 1000 + 1000 + 3 * 1000 + 3);
    expect(obstacles(bytes)).toEqual([]);
    expect(obstacles(bytes - 1)).toEqual([expect.stringContaining('80.0 kB')]);
    expect(obstacles(1e9, null)).toEqual(['What it asks for has not been read yet.']);
  });

  it('names the classes as the data set does, or else by number', () => {
    const names = (given?: readonly string[]) => cardOf(task, view, new StandIns(), null, null, given).classNames;
    expect(names()).toEqual(['0', '1', '2']);
    expect(names(['cat', 'dog', 'eel'])).toEqual(['cat', 'dog', 'eel']);
  });
});
