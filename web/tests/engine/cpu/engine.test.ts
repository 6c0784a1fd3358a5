import { describe, expect, it } from 'vitest';
import { chainOf } from '../../../src/engine/catalogue';
import { cpuOn, openCpu } from '../../../src/engine/cpu/engine';
import type { Descent } from '../../../src/engine/types';
import { batchesOf, examplesOf, weightsOf } from '../../parity/vectors';
import { MEMORIES } from './memories';

const chain = chainOf('mnist_cnn', { hidden: 5 }, [1, 6, 5], 3);
const [given, examples] = [weightsOf(chain), examplesOf(chain)];
const descent: Descent = {
  optimizer: 'sgd',
  learningRate: 0.05,
  momentum: 0.9,
  weightDecay: 0,
  proximal: 0.1,
  batchSize: 8,
};
const batches = batchesOf(12, descent.batchSize);

describe.each(MEMORIES)('the CPU engine %s', (_, memories) => {
  const engine = cpuOn(memories, 'there is no adapter');

  it('says what it is and what it measured', () => {
    const kernels = [{ variant: memories.variant }];
    expect(engine.report).toMatchObject({ kind: 'cpu', reason: 'there is no adapter', kernels });
    expect(engine.report.matmulGflops).toBeGreaterThan(0);
  });

  it('goes on from a state to the very bits of a training without a break', async () => {
    const adam: Descent = { ...descent, optimizer: 'adam', learningRate: 1e-3 };
    for (const how of [descent, { ...descent, momentum: 0 }, adam]) {
      const whole = await engine.trainer(chain, given, examples, how);
      batches.forEach((batch) => whole.step(batch));
      const first = await engine.trainer(chain, given, examples, how);
      batches.slice(0, 5).forEach((batch) => first.step(batch));
      const state = await first.state();
      first.step(batches[0]); // the state is a copy
      const second = await engine.trainer(chain, given, examples, how);
      await second.restore(state);
      batches.slice(5).forEach((batch) => second.step(batch));
      expect(await second.state()).toEqual(await whole.state());
      expect((await second.drain()).slice(-3)).toEqual((await whole.drain()).slice(-3));
    }
  });

  it('refuses a state with other tensors, and is unchanged by it', async () => {
    const trainer = await engine.trainer(chain, given, examples, descent);
    trainer.step(batches[0]);
    const before = await trainer.state();
    const adam = await engine.trainer(chain, given, examples, { ...descent, optimizer: 'adam' });
    await expect(trainer.restore(await adam.state())).rejects.toThrow(TypeError);
    await expect(trainer.restore({ ...before, weights: new Map() })).rejects.toThrow(TypeError);
    expect(await trainer.state()).toEqual(before);
  });

  it('gives each score once, and takes no batch that is empty or too large', async () => {
    const trainer = await engine.trainer(chain, given, examples, descent);
    batches.slice(0, 3).forEach((batch) => trainer.step(batch));
    expect((await trainer.drain()).length).toBe(3);
    expect(await trainer.drain()).toEqual([]);
    expect(() => trainer.step(new Uint32Array(0))).toThrow(RangeError);
    expect(() => trainer.step(new Uint32Array(9))).toThrow(RangeError);
  });

  it('scores examples as a step would, however many', async () => {
    const trainer = await engine.trainer(chain, given, examples, { ...descent, batchSize: 36 });
    trainer.step(Uint32Array.from(examples.y, (_label, i) => i));
    const [{ loss, correct }] = await trainer.drain();
    const score = await engine.score(chain, given, examples);
    expect(score).toMatchObject({ accuracy: correct / 36, examples: 36 });
    expect(Math.abs(score.loss / loss - 1)).toBeLessThan(1e-6);
    const four = { x: Float32Array.from([0, 1, 2, 3].flatMap(() => [...examples.x])), y: new Uint32Array(144) };
    four.y.forEach((_label, i) => (four.y[i] = examples.y[i % 36]));
    const fourfold = await engine.score(chain, given, four);
    expect(Math.abs(fourfold.loss / loss - 1)).toBeLessThan(1e-6);
    expect(fourfold).toMatchObject({ accuracy: score.accuracy, examples: 144 });
  });

  it('lets others have their turn while steps are drained and while it scores', async () => {
    const heard: string[] = [];
    const say = (what: string): unknown => setImmediate(() => heard.push(what));
    const trainer = await engine.trainer(chain, given, examples, descent);
    trainer.step(batches[0]);
    say('drain');
    await trainer.drain();
    expect(heard).toContain('drain');
    say('score');
    await engine.score(chain, given, examples);
    expect(heard).toContain('score');
  });

  it('believes neither weights of another model nor examples of another shape or class', async () => {
    const other = weightsOf(chainOf('mnist_cnn', { hidden: 6 }, [1, 6, 5], 3));
    await expect(engine.trainer(chain, other, examples, descent)).rejects.toThrow(/hidden\.weight/);
    await expect(engine.score(chain, given, { x: examples.x, y: new Uint32Array(35) })).rejects.toThrow(TypeError);
    const none = { x: new Float32Array(0), y: new Uint32Array(0) };
    await expect(engine.score(chain, given, none)).rejects.toThrow(/no examples/);
    await expect(engine.score(chain, given, { x: examples.x, y: examples.y.map(() => 3) })).rejects.toThrow(/label/);
  });

  it('says so where a batch is too large for any memory', async () => {
    const huge = engine.trainer(chain, given, examples, { ...descent, batchSize: 10 ** 9 });
    await expect(huge).rejects.toMatchObject({ code: 'quota', problem: expect.stringContaining('of 1000000000') });
  });

  it('says what a trainer holds: at least its weights, their gradients, its examples', async () => {
    const trainer = await engine.trainer(chain, given, examples, descent);
    const weights = [...given.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    expect(trainer.memoryBytes).toBeGreaterThan(4 * weights + examples.x.byteLength); // momentum and start, too
    expect(trainer.memoryBytes).toBeLessThan(2 ** 20);
  });
});

it('is opened with SIMD where there is SIMD, and without it where a page may not compile', async () => {
  expect((await openCpu('')).report.kernels[0].variant).toBe('wasm simd 4x8');
  const { compile } = WebAssembly;
  WebAssembly.compile = () => Promise.reject(new WebAssembly.CompileError('refused by the policy'));
  try {
    expect((await openCpu('')).report.kernels[0].variant).toBe('typed arrays 4x4');
  } finally {
    WebAssembly.compile = compile;
  }
});
