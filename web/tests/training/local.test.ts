import { describe, expect, it, vi } from 'vitest';
import { chainOf } from '../../src/engine/catalogue';
import { openCpu } from '../../src/engine/cpu/engine';
import type { Engine, Trainer } from '../../src/engine/types';
import { parseSafetensors, writeSafetensors } from '../../src/tensors/safetensors';
import { type Checkpoint, LocalTraining, type Plan, type Progress, Stopped } from '../../src/training/local';
import { examplesOf, weightsOf } from '../parity/vectors';

const engine = await openCpu('a test');
const chain = chainOf('mnist_cnn', { hidden: 16 }, [1, 6, 5], 3);
const [given, examples] = [weightsOf(chain), examplesOf(chain)];
const plan: Plan = {
  optimizer: 'sgd',
  learningRate: 0.05,
  momentum: 0.9,
  weightDecay: 1e-4,
  proximal: 0.1,
  batchSize: 8,
  epochs: 4,
  maxSteps: null,
};

function open(changes: Partial<Plan> = {}, seed: string | number = 'task/1', on: Engine = engine, share = examples) {
  return LocalTraining.open(on, chain, given, share, { ...plan, ...changes }, seed);
}

/** An engine that tells of each batch, and answers with the scores that it is told to. */
function listening(batches: number[][], scores?: (step: number) => number): Engine {
  return {
    ...engine,
    async trainer(...given): Promise<Trainer> {
      const trainer = await engine.trainer(...given);
      let drained = 0;
      return {
        memoryBytes: trainer.memoryBytes,
        step(batch) {
          batches.push([...batch]);
          trainer.step(batch);
        },
        async drain() {
          const real = await trainer.drain();
          return real.map((score) => ({ ...score, loss: scores?.((drained += 1)) ?? score.loss }));
        },
        weights: () => trainer.weights(),
        state: () => trainer.state(),
        restore: (state) => trainer.restore(state),
        destroy: () => trainer.destroy(),
      };
    },
  };
}

describe('local training', () => {
  it('takes a step in every burst, however long the shuffle took, so that it never tells of a loss of nothing', async () => {
    let now = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 200));
    const told: Progress[] = [];
    try {
      await (await open({ epochs: 1 })).run({ onProgress: (progress) => told.push(progress) });
    } finally {
      clock.mockRestore();
    }
    expect(told.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
    expect(told.every(({ loss, accuracy }) => Number.isFinite(loss) && Number.isFinite(accuracy))).toBe(true);
  });

  it('passes over all examples in every epoch, in another order each time, the ragged batch last', async () => {
    const batches: number[][] = [];
    const trained = await (await open({}, 1, listening(batches))).run();
    expect(batches.map(({ length }) => length)).toEqual(Array(4).fill([8, 8, 8, 8, 4]).flat());
    const epochs = [0, 5, 10, 15].map((from) => batches.slice(from, from + 5).flat());
    for (const epoch of epochs) expect([...epoch].sort((a, b) => a - b)).toEqual([...examples.y.keys()]);
    expect(new Set(epochs.map(String)).size).toBe(4);
    expect(trained).toMatchObject({ numSteps: 20, numExamples: 36 });
  });

  it('learns: the loss falls, and the weights are those of its last step', async () => {
    const told: Progress[] = [];
    const { x } = examples;
    const brightest = (i: number): number => [0, 1, 2].reduce((a, b) => (x[30 * i + b] > x[30 * i + a] ? b : a));
    const share = { x, y: examples.y.map((_, i) => brightest(i)) };
    const training = await open({ epochs: 40, learningRate: 0.02, proximal: 0 }, 1, engine, share);
    const trained = await training.run({ onProgress: (progress) => told.push(progress) });
    expect(trained.loss).toBeLessThan(0.5 * told[0].loss);
    expect((await engine.score(chain, trained.weights, share)).loss).toBeLessThan(0.5 * told[0].loss);
    expect(told.at(-1)).toMatchObject({ step: 200, totalSteps: 200, epoch: 40, loss: trained.loss });
    expect(told.at(-1)!.examplesPerS).toBeGreaterThan(0);
    expect(told.at(-1)!.memoryBytes).toBeGreaterThan(0);
  });

  it('means loss and accuracy over the examples of the last epoch, not over its batches', async () => {
    const told = listening([], (step) => (step === 10 ? 10 : step === 9 ? 1 : 0));
    const trained = await (await open({ epochs: 2 }, 1, told)).run();
    expect(trained.loss).toBeCloseTo((8 * 1 + 4 * 10) / 36, 12);
    expect(trained.accuracy * 36).toBeCloseTo(Math.round(trained.accuracy * 36), 9);
  });

  it('draws other shuffles from another seed, and the same from the same', async () => {
    const weights = async (seed: string | number) => (await (await open({}, seed)).run()).weights;
    expect(await weights('a')).toEqual(await weights('a'));
    expect(await weights('a')).not.toEqual(await weights('b'));
  });

  it('ends at max_steps, and counts the examples that it saw', async () => {
    expect(await (await open({ maxSteps: 3 })).run()).toMatchObject({ numSteps: 3, numExamples: 24 });
    expect(await (await open({ maxSteps: 7 })).run()).toMatchObject({ numSteps: 7, numExamples: 36 });
    expect(await (await open({ maxSteps: 99 })).run()).toMatchObject({ numSteps: 20, numExamples: 36 });
  });

  const descents: [string, Partial<Plan>][] = [
    ['SGD with momentum and a proximal term', {}],
    ['Adam', { optimizer: 'adam', learningRate: 1e-3, proximal: 0 }],
    ['plain SGD', { momentum: 0, proximal: 0 }],
  ];
  it.each(descents)('by %s ends in the same bits from any checkpoint, through a file', async (_, changes) => {
    const kept: Uint8Array[] = [];
    const whole = await (await open(changes)).run({
      keep: ({ tensors, position }) => {
        kept.push(writeSafetensors(tensors, { position: JSON.stringify(position) }));
      },
    });
    expect(kept.length).toBeGreaterThan(4);
    for (const bytes of kept) {
      const header = new TextDecoder().decode(bytes.subarray(8, 8 + new DataView(bytes.buffer).getUint32(0, true)));
      const position = JSON.parse(JSON.parse(header).__metadata__.position);
      const resumed = await open(changes);
      await resumed.restore({ tensors: parseSafetensors(bytes), position });
      const { seconds, ...trained } = await resumed.run();
      expect({ ...trained, seconds: whole.seconds }).toEqual(whole);
      expect(seconds).toBeGreaterThanOrEqual(position.seconds);
    }
  });

  it('can be stopped between two bursts, and run on from there', async () => {
    const whole = await (await open()).run();
    const training = await open();
    let asked = 0;
    await expect(training.run({ shouldStop: () => (asked += 1) > 2 })).rejects.toThrow(Stopped);
    expect(training.progress().step).toBeGreaterThan(0);
    expect(training.done).toBe(false);
    expect((await training.run()).weights).toEqual(whole.weights);
  });

  it('keeps a checkpoint only when it is time to', async () => {
    const kept: Checkpoint[] = [];
    await (await open()).run({ keep: (checkpoint) => void kept.push(checkpoint), keepNow: ({ epoch }) => epoch === 2 });
    expect(kept.length).toBeGreaterThan(0);
    expect(new Set(kept.map(({ position }) => position.epoch))).toEqual(new Set([2]));
  });

  it('refuses the checkpoint of another training, unchanged by it', async () => {
    const kept: Checkpoint[] = [];
    await (await open()).run({ keep: (checkpoint) => void kept.push(checkpoint) });
    const last = kept[kept.length - 1];
    const shorter = await open({ maxSteps: 4 });
    const adam = await open({ optimizer: 'adam' });
    await expect(shorter.restore(last)).rejects.toThrow(TypeError);
    await expect(adam.restore(last)).rejects.toThrow(TypeError);
    const torn = { ...last, position: { ...last.position, seen: last.position.seen - 8 } };
    await expect((await open()).restore(torn)).rejects.toThrow(/another length/);
    expect((await shorter.run()).weights).toEqual((await (await open({ maxSteps: 4 })).run()).weights);
  });

  it('refuses a loss that is no number, with the mend', async () => {
    const training = await open({}, 1, listening([], (step) => (step === 6 ? NaN : 1)));
    await expect(training.run()).rejects.toMatchObject({
      code: 'diverged',
      problem: 'The loss became NaN at step 6 of 20.',
      mend: expect.stringContaining('training.learning_rate'),
    });
    const wild = await open({ learningRate: 1e20, maxSteps: 20 });
    await expect(wild.run()).rejects.toMatchObject({ code: 'diverged' });
  });

  it('refuses weights that the last step broke', async () => {
    const wild = await open({ learningRate: 1e42, maxSteps: 1 });
    await expect(wild.run()).rejects.toMatchObject({ code: 'diverged', problem: expect.stringContaining('last step') });
  });

  it('asks its engine for no more memory than its examples fill', async () => {
    const whole = await open({ batchSize: 36 });
    expect((await open({ batchSize: 65_536 })).progress().memoryBytes).toBe(whole.progress().memoryBytes);
  });

  it('refuses to train on nothing', async () => {
    const none = open({}, 1, engine, { x: new Float32Array(0), y: new Uint32Array(0) });
    await expect(none).rejects.toMatchObject({ code: 'bad_data' });
  });

  it('lets messages be heard between its bursts', async () => {
    const heard: number[] = [];
    const training = await open({ epochs: 8 });
    await training.run({
      onProgress: ({ step }) => void setImmediate(() => heard.push(step)),
    });
    expect(heard.length).toBeGreaterThan(4);
  });
});
