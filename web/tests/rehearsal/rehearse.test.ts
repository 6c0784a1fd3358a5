import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openCpu } from '../../src/engine/cpu/engine';
import type { Engine, Examples, Weights } from '../../src/engine/types';
import type { Rehearsal, Report } from '../../src/messages';
import { Refused } from '../../src/refused';
import { rehearse } from '../../src/rehearsal/rehearse';

const BASE = 'https://potluck.example/edge/';
const digits = readFileSync(new URL('../../src/data/digits.bin', import.meta.url));
beforeEach(() => {
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(digits)));
});
afterEach(() => vi.unstubAllGlobals());

const cpu = await openCpu('a test');
const plain: Rehearsal = {
  nodes: 3,
  alpha: 0.5,
  rounds: 3,
  model: 'logistic',
  options: {},
  epochs: 2,
  batchSize: 32,
  learningRate: 0.3,
  seed: 5,
  source: { kind: 'digits' },
};

/** What was told, to its end. */
async function told(changes: Partial<Rehearsal> = {}, engine: Engine = cpu, signal = new AbortController().signal) {
  const reports: Report[] = [];
  await rehearse(engine, { ...plain, ...changes }, BASE, (report) => reports.push(report), signal);
  const of = <T extends Report['type']>(type: T) =>
    reports.filter((report): report is Extract<Report, { type: T }> => report.type === type);
  return { reports, shares: of('shares'), rounds: of('rehearsed'), over: of('rehearsal_over') };
}

/** The engine, telling what it is given. */
function watched(seen: { weights: Weights; examples: Examples }[], scored: Weights[] = []) {
  let open = 0;
  const engine: Engine = {
    ...cpu,
    async trainer(chain, weights, examples, descent) {
      seen.push({ weights, examples });
      open += 1;
      const trainer = await cpu.trainer(chain, weights, examples, descent);
      const destroy = trainer.destroy.bind(trainer);
      return Object.assign(trainer, { destroy: () => (destroy(), void (open -= 1)) });
    },
    score(chain, weights, examples) {
      scored.push(weights);
      return cpu.score(chain, weights, examples);
    },
  };
  return { engine, left: () => open };
}

describe('a rehearsal on the digits', () => {
  it('tells the shares, then every round, then that it is over, and learns', async () => {
    const { reports, shares, rounds, over } = await told();
    expect(reports.map(({ type }) => type)).toEqual([
      'shares',
      'rehearsed',
      'rehearsed',
      'rehearsed',
      'rehearsal_over',
    ]);
    expect(shares[0].perClass.map((counts) => counts.length)).toEqual([10, 10, 10]);
    const perNode = shares[0].perClass.map((counts) => counts.reduce((a, b) => a + b));
    expect(perNode.reduce((a, b) => a + b)).toBe(1437);
    expect(rounds.map(({ round }) => [round.round, round.updates])).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
    for (const { nodes } of rounds) expect(nodes.map(({ examples }) => examples)).toEqual(perNode);
    const losses = rounds.map(({ round }) => round.loss ?? NaN);
    expect(losses[2]).toBeLessThan(losses[0]);
    expect(losses[0]).toBeLessThan(Math.log(10));
    expect(rounds[2].round.accuracy).toBeGreaterThan(0.8);
    expect(over[0].reason).toBe('finished after 3 of 3 rounds');
  });

  it('is the same again with the same seed', async () => {
    const numbers = async (seed: number) =>
      (await told({ seed, rounds: 1 })).rounds.map(({ round }) => [round.loss, round.accuracy]);
    expect(await numbers(5)).toEqual(await numbers(5));
    expect(await numbers(5)).not.toEqual(await numbers(6));
  });

  it('starts every node of a round from the same weights, and the next round from their weighted mean', async () => {
    const [seen, scored]: [{ weights: Weights; examples: Examples }[], Weights[]] = [[], []];
    const { engine, left } = watched(seen, scored);
    await told({ rounds: 2 }, engine);
    expect(seen.map(({ weights }) => weights === seen[0].weights)).toEqual([true, true, true, false, false, false]);
    expect(seen[3].weights).toBe(scored[0]);
    expect(seen.slice(0, 3).reduce((sum, { examples }) => sum + examples.y.length, 0)).toBe(1437);
    expect(seen.slice(0, 3).map(({ examples }) => examples.x.length / 64)).toEqual(
      seen.slice(3).map(({ examples }) => examples.y.length),
    );
    expect(left()).toBe(0);
  });

  it('of one node is plain training: its weights are the next ones', async () => {
    const [trained, scored]: [Weights[], Weights[]] = [[], []];
    const engine: Engine = {
      ...watched([], scored).engine,
      async trainer(...given) {
        const trainer = await cpu.trainer(...given);
        const weights = trainer.weights.bind(trainer);
        return Object.assign(trainer, { weights: async () => (trained.push(await weights()), trained[0]) });
      },
    };
    await told({ nodes: 1, rounds: 1 }, engine);
    for (const [name, { data }] of trained[0]) {
      const next = scored[0].get(name)?.data ?? new Float32Array();
      expect(data.every((value, i) => Math.abs(value - next[i]) < 1e-6)).toBe(true);
    }
  });

  it.each([1, 16])('runs with %d nodes', async (nodes) => {
    const { shares, rounds } = await told({ nodes, rounds: 1, epochs: 1, alpha: 0.1 });
    expect(shares[0].perClass.length).toBe(nodes);
    expect(rounds[0].nodes.length).toBe(nodes);
  });
});

describe('a rehearsal that is ended', () => {
  it('before it began tells nothing else', async () => {
    const { reports } = await told({}, cpu, AbortSignal.abort());
    expect(reports).toEqual([{ type: 'rehearsal_over', reason: 'stopped after 0 of 3 rounds' }]);
  });

  it('while data is loaded does not wait for it', async () => {
    const controller = new AbortController();
    vi.stubGlobal('fetch', () => (controller.abort(), new Promise(() => {})));
    const { over } = await told({}, cpu, controller.signal);
    expect(over[0].reason).toBe('stopped after 0 of 3 rounds');
  });

  it.each(['trainer', 'score'] as const)(
    'in its second round, at %s, keeps the first and leaves no trainer behind',
    async (where) => {
      const controller = new AbortController();
      const { engine, left } = watched([]);
      let calls = 0;
      const ending: Engine = {
        ...engine,
        trainer: (...given) => (where === 'trainer' && ++calls === 5 && controller.abort(), engine.trainer(...given)),
        score: (...given) => (where === 'score' && ++calls === 2 && controller.abort(), engine.score(...given)),
      };
      const { rounds, over } = await told({}, ending, controller.signal);
      expect(rounds.length).toBe(1);
      expect(over).toEqual([{ type: 'rehearsal_over', reason: 'stopped after 1 of 3 rounds' }]);
      expect(left()).toBe(0);
    },
  );
});

describe('a rehearsal that cannot be', () => {
  it.each([
    [{ nodes: 0 }, 'nodes: 0', '1 to 16'],
    [{ nodes: 17 }, 'nodes: 17', '1 to 16'],
    [{ nodes: 2.5 }, 'nodes: 2.5', 'whole number'],
    [{ rounds: 0 }, 'rounds: 0', '1 to 1000'],
    [{ epochs: Infinity }, 'epochs: Infinity', '1 to 1000'],
    [{ batchSize: 0 }, 'batchSize: 0', '1 to 65536'],
    [{ seed: -1 }, 'seed: -1', 'whole number'],
    [{ alpha: 0 }, 'alpha: 0', 'above 0'],
    [{ alpha: NaN }, 'alpha: NaN', 'above 0'],
    [{ learningRate: -1 }, 'learningRate: -1', 'above 0'],
    [{ model: 'resnet' }, 'resnet', 'mlp'],
    [{ model: 'mlp', options: { hidden: 0 } }, 'hidden', 'whole number'],
  ])('is refused with what to give instead: %j', async (changes, problem, mend) => {
    const reports: Report[] = [];
    const run = rehearse(
      cpu,
      { ...plain, ...changes },
      BASE,
      (report) => reports.push(report),
      new AbortController().signal,
    );
    const error: unknown = await run.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Refused);
    expect((error as Refused).problem).toContain(problem);
    expect((error as Refused).mend).toContain(mend);
    expect(reports).toEqual([{ type: 'rehearsal_over', reason: expect.stringContaining('broken off after 0') as string }]);
  });

  it('diverged, says so, and leaves no trainer behind', async () => {
    const { engine, left } = watched([]);
    const diverging: Engine = {
      ...engine,
      async trainer(...given) {
        const trainer = await engine.trainer(...given);
        const drain = trainer.drain.bind(trainer);
        return Object.assign(trainer, { drain: async () => (await drain()).map((score) => ({ ...score, loss: NaN })) });
      },
    };
    await expect(told({}, diverging)).rejects.toMatchObject({ code: 'diverged' });
    expect(left()).toBe(0);
  });
});

describe('a rehearsal of a task', () => {
  it('trains as the task does', async () => {
    const seen: unknown[] = [];
    const engine: Engine = {
      ...cpu,
      trainer: (chain, weights, examples, descent) => (
        seen.push(descent), cpu.trainer(chain, weights, examples, descent)
      ),
    };
    const recipe = { optimizer: 'adam', learningRate: 0.003, momentum: 0.5, weightDecay: 0.01, batchSize: 20 } as const;
    await told({ ...recipe, nodes: 1, rounds: 1, epochs: 1 }, engine);
    expect(seen).toMatchObject([recipe]);
  });
});

describe('a rehearsal on data of its own', () => {
  const csv = (rows: number) =>
    [
      'a,b,label',
      ...Array.from({ length: rows }, (_, i) => `${(i % 2) * 0.8 + 0.1},${((i * 7) % 10) / 10},${i % 2}`),
    ].join('\n');
  const files = (rows: number): Partial<Rehearsal> => ({
    source: { kind: 'files', files: [{ path: 'mine.csv', file: new File([csv(rows)], 'mine.csv') }] },
    inputShape: [2],
    classes: 2,
    nodes: 2,
  });

  it('holds a fifth out to score on', async () => {
    const sizes: number[] = [];
    const engine: Engine = {
      ...cpu,
      score: (chain, weights, examples) => (sizes.push(examples.y.length), cpu.score(chain, weights, examples)),
    };
    const { shares, rounds } = await told({ ...files(100), learningRate: 1, epochs: 20 }, engine);
    expect(shares[0].perClass.flat().reduce((a, b) => a + b)).toBe(80);
    expect(sizes).toEqual([20, 20, 20]);
    expect(rounds[2].round.accuracy).toBe(1);
  });

  it('takes drawings', async () => {
    const x = Float32Array.from({ length: 40 }, (_, i) => (i % 4 < 2 ? 0 : 1));
    const y = Uint32Array.from({ length: 20 }, (_, i) => i % 2);
    const { rounds } = await told({ source: { kind: 'drawn', x, y, shape: [2] }, nodes: 2 });
    expect(rounds.length).toBe(3);
  });

  it('is refused when there is too little for so many nodes', async () => {
    await expect(told(files(8))).rejects.toThrow(/7 examples are too few for 2 nodes.*at most 1 nodes/);
  });
});
