/** A federation inside this tab: nodes with shares of one data set train one after the other, and FedAvg joins what
 *  they learnt. Everything is as in a real round, but for the server. */
import { readSource } from '../data/read';
import { DIGITS, loadDigits } from '../data/digits';
import type { Schema } from '../data/schema';
import { chainOf, sizeOf } from '../engine/catalogue';
import type { Engine, Examples } from '../engine/types';
import type { Rehearsal, Report } from '../messages';
import { deltaOf } from '../tensors/delta';
import { splitHoldout, taken } from '../training/holdout';
import { LocalTraining, Stopped, type Plan } from '../training/local';
import { Random } from '../training/random';
import { fedavg, type Update } from './fedavg';
import { initialWeights } from './initial';
import { checkOptions } from './options';
import { dirichletShares, labelCounts } from './partition';

/** Of data without a test set. */
const HELD_OUT = 0.2;

type Tell = (report: Report) => void;

/** Runs all rounds, or until `signal` says so, and tells of each; `rehearsal_over` is the last word in any case.
 *  `base`: the page's address. Refuses options and data that it cannot use, and `diverged`. */
export async function rehearse(
  engine: Engine,
  rehearsal: Rehearsal,
  base: string,
  tell: Tell,
  signal: AbortSignal,
): Promise<void> {
  let rounds = 0;
  let how = 'broken off';
  const count: Tell = (report) => {
    if (report.type === 'rehearsed') rounds = report.round.round;
    tell(report);
  };
  try {
    await federation(engine, rehearsal, base, count, signal);
    how = 'finished';
  } catch (error) {
    if (error !== signal.reason && !(error instanceof Stopped)) throw error;
    how = 'stopped';
  } finally {
    tell({ type: 'rehearsal_over', reason: `${how} after ${rounds} of ${rehearsal.rounds} rounds` });
  }
}

async function federation(
  engine: Engine,
  rehearsal: Rehearsal,
  base: string,
  tell: Tell,
  signal: AbortSignal,
): Promise<void> {
  const { nodes, alpha, model, options, seed, batchSize, learningRate, epochs } = rehearsal;
  checkOptions(rehearsal);
  signal.throwIfAborted();
  const { inputShape, classes } = schemaOf(rehearsal);
  const chain = chainOf(model, options, inputShape, classes);
  const { train, test } = await unlessAborted(dataOf(rehearsal, { inputShape, classes }, base), signal);
  const shares = dirichletShares(train.y, nodes, alpha, Random.seeded(`shares/${seed}`));
  tell({ type: 'shares', perClass: labelCounts(train.y, shares, classes) });

  const { optimizer = 'sgd', momentum = 0, weightDecay = 0 } = rehearsal;
  const plan: Plan = { optimizer, momentum, weightDecay, proximal: 0, learningRate, batchSize, epochs, maxSteps: null };
  let weights = initialWeights(model, chain, seed);
  for (let round = 1; round <= rehearsal.rounds; round++) {
    const started = performance.now();
    const updates: Update[] = [];
    const told: { loss: number; examples: number }[] = [];
    for (const [node, share] of shares.entries()) {
      signal.throwIfAborted();
      const own = taken(train, sizeOf(inputShape), share);
      const training = await LocalTraining.open(engine, chain, weights, own, plan, `${seed}/${round}/${node}`);
      try {
        const trained = await training.run({ shouldStop: () => signal.aborted });
        updates.push({ delta: deltaOf(trained.weights, weights), numExamples: trained.numExamples });
        told.push({ loss: trained.loss, examples: trained.numExamples });
      } finally {
        training.destroy();
      }
    }
    weights = fedavg(weights, updates);
    const { loss, accuracy } = await engine.score(chain, weights, test);
    signal.throwIfAborted();
    const seconds = (performance.now() - started) / 1000;
    tell({ type: 'rehearsed', round: { round, accuracy, loss, seconds, updates: updates.length }, nodes: told });
  }
}

function schemaOf({ source, inputShape, classes }: Rehearsal): Schema {
  if (source.kind === 'digits') return DIGITS;
  const shape = source.kind === 'drawn' ? source.shape : inputShape;
  return { inputShape: shape ?? DIGITS.inputShape, classes: classes ?? DIGITS.classes };
}

/** Examples to share out, and others to score on. */
async function dataOf(
  { source, seed }: Rehearsal,
  { inputShape, classes }: Schema,
  base: string,
): Promise<{ readonly train: Examples; readonly test: Examples }> {
  if (source.kind === 'digits') return loadDigits(base);
  const examples = await readSource(source, inputShape, classes, base);
  const { train, heldOut } = splitHoldout(examples, sizeOf(inputShape), HELD_OUT, `held out/${seed}`);
  return { train, test: heldOut };
}

/** What is promised, or the signal's reason, whichever comes first. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(signal.reason as Error);
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
}
