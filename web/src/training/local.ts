/** Local training: what a node does with its own examples in one round, on any engine. */
import type { Chain, Descent, Engine, Examples, StepScore, Trainer, Weights } from '../engine/types';
import type { StepReport } from '../messages';
import { Refused } from '../refused';
import { allFinite, diverged } from '../tensors/delta';
import { Random, type RandomState } from './random';

/** A task's `training.*` and its proximal term. */
export interface Plan extends Descent {
  readonly epochs: number;
  /** Stop after so many steps; null: no limit. */
  readonly maxSteps: number | null;
}

/** Where training stands: loss and accuracy are means over the examples of the current epoch so far. */
export type Progress = Omit<StepReport, 'round'>;

/** What a round of training was. `numExamples` is FedAvg's n_k: the examples trained on at least once. Loss and
 *  accuracy are means over the last epoch, each batch scored just before its own step. */
export interface Trained {
  readonly weights: Weights;
  readonly numExamples: number;
  readonly numSteps: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly seconds: number;
}

/** How far training has come: steps in all; examples seen, their summed loss and right answers in this epoch; `random`:
 *  the generator as it was when the epoch began. */
export interface Position {
  readonly step: number;
  readonly epoch: number;
  readonly seen: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly seconds: number;
  readonly random: RandomState;
}

/** Training between two steps: all that the steps to come depend on, beside examples, plan and seed. `tensors`: the
 *  weights as `model/<name>`, and the optimiser's. `position` goes through JSON unharmed. */
export interface Checkpoint {
  readonly tensors: Weights;
  readonly position: Position;
}

export interface Listening {
  /** After every burst of steps, some five to ten times a second. */
  readonly onProgress?: (progress: Progress) => void;
  /** Asked as often; true ends `run` with `Stopped`, from which a later `run` goes on. */
  readonly shouldStop?: () => boolean;
  /** Keeps a checkpoint, waited for. */
  readonly keep?: (checkpoint: Checkpoint) => Promise<void> | void;
  /** Asked after every burst, whether it is time to `keep`. Always, if it is not given. */
  readonly keepNow?: (progress: Progress) => boolean;
}

/** Training ended early because `shouldStop` said so. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
}

/** The device is given work for so long at a time: it must not starve, nor must whoever waits for an answer. */
const BURST_MS = 150;
const LONGEST_BURST = 512;

const MODEL = 'model/';

export class LocalTraining {
  readonly totalSteps: number;
  private at: Position;
  private order: Uint32Array = new Uint32Array(0);
  private burst = 1;

  private constructor(
    private readonly trainer: Trainer,
    private readonly n: number,
    private readonly plan: Plan,
    seed: string | number,
  ) {
    const steps = plan.epochs * Math.ceil(n / plan.batchSize);
    this.totalSteps = Math.min(steps, plan.maxSteps ?? steps);
    this.at = { step: 0, epoch: 0, seen: 0, lossSum: 0, correct: 0, seconds: 0, random: Random.seeded(seed).state };
  }

  /** `seed`: of the shuffles; the task, the round and the node in words, say. */
  static async open(
    engine: Engine,
    chain: Chain,
    weights: Weights,
    examples: Examples,
    plan: Plan,
    seed: string | number,
  ): Promise<LocalTraining> {
    const n = examples.y.length;
    if (n === 0) throw new Refused('bad_data', 'There are no examples to train on.', 'give data with examples in it.');
    const descent = { ...plan, batchSize: Math.min(plan.batchSize, n) }; // memory for no more than there is
    return new LocalTraining(await engine.trainer(chain, weights, examples, descent), n, plan, seed);
  }

  get done(): boolean {
    return this.at.step === this.totalSteps;
  }

  /** From where training stands to its end. Refuses (`diverged`) when loss or weights are no longer finite. */
  async run({ onProgress, shouldStop, keep, keepNow = () => true }: Listening = {}): Promise<Trained> {
    while (!this.done) {
      if (shouldStop?.()) throw new Stopped('training was stopped');
      await this.advance();
      const progress = this.progress();
      onProgress?.(progress);
      if (keep !== undefined && keepNow(progress)) await keep(await this.checkpoint());
    }
    return this.result();
  }

  progress(): Progress {
    const { step, epoch, seen, lossSum, correct, seconds } = this.at;
    const examples = Math.max(0, epoch - 1) * this.n + seen;
    return {
      step,
      totalSteps: this.totalSteps,
      epoch,
      loss: lossSum / seen,
      accuracy: correct / seen,
      examplesPerS: examples / Math.max(seconds, 1e-9),
      memoryBytes: this.trainer.memoryBytes,
    };
  }

  async checkpoint(): Promise<Checkpoint> {
    const { weights, tensors } = await this.trainer.state();
    const model = [...weights].map(([name, tensor]) => [MODEL + name, tensor] as const);
    return { tensors: new Map([...model, ...tensors]), position: this.at };
  }

  /** Goes on from `checkpoint` as if there had been no interruption; examples, plan and seed have to be the same.
   *  Throws a TypeError, changing nothing, where it is none of such a training. */
  async restore({ tensors, position }: Checkpoint): Promise<void> {
    const { step, epoch, seen } = position;
    const steps = (epoch - 1) * Math.ceil(this.n / this.plan.batchSize) + Math.ceil(seen / this.plan.batchSize);
    if (!(step >= 0 && step <= this.totalSteps && seen <= this.n && step === Math.max(0, steps))) {
      throw new TypeError('the checkpoint is of a training of another length');
    }
    const entries = [...tensors];
    const weights = entries.filter(([name]) => name.startsWith(MODEL));
    await this.trainer.restore({
      steps: step,
      weights: new Map(weights.map(([name, tensor]) => [name.slice(MODEL.length), tensor])),
      tensors: new Map(entries.filter(([name]) => !name.startsWith(MODEL))),
    });
    this.at = position;
    this.order = epoch === 0 ? new Uint32Array(0) : Random.at(position.random).permutation(this.n);
  }

  destroy(): void {
    this.trainer.destroy();
  }

  /** A burst of steps, within one epoch. */
  private async advance(): Promise<void> {
    const started = performance.now();
    if (this.at.seen === this.order.length) this.beginEpoch();
    const batches: Uint32Array[] = [];
    let from = this.at.seen;
    const most = Math.min(this.burst, this.totalSteps - this.at.step);
    // At least one step, however long the shuffle took.
    const timely = (): boolean => batches.length === 0 || performance.now() - started < BURST_MS;
    while (batches.length < most && from < this.n && timely()) {
      const batch = this.order.slice(from, from + this.plan.batchSize);
      this.trainer.step(batch);
      batches.push(batch);
      from += batch.length;
    }
    const scores = await this.trainer.drain();
    const seconds = (performance.now() - started) / 1000;
    this.at = { ...this.at, seconds: this.at.seconds + seconds };
    scores.forEach((score, i) => this.count(score, batches[i].length));
    const fitting = Math.floor((batches.length * BURST_MS) / (1000 * seconds));
    this.burst = Math.max(1, Math.min(fitting, 2 * this.burst, LONGEST_BURST));
  }

  /** The state kept is that before the shuffle: it is what makes the epoch's order again. */
  private beginEpoch(): void {
    const random = Random.at(this.at.random);
    if (this.at.epoch > 0) random.permutation(this.n);
    this.at = { ...this.at, epoch: this.at.epoch + 1, seen: 0, lossSum: 0, correct: 0, random: random.state };
    this.order = random.permutation(this.n);
  }

  private count({ loss, correct }: StepScore, examples: number): void {
    const { at } = this;
    const step = at.step + 1;
    if (!Number.isFinite(loss)) throw diverged(`The loss became ${loss} at step ${step} of ${this.totalSteps}.`);
    const seen = at.seen + examples;
    this.at = { ...at, step, seen, lossSum: at.lossSum + loss * examples, correct: at.correct + correct };
  }

  private async result(): Promise<Trained> {
    const weights = await this.trainer.weights();
    if (!allFinite(weights)) throw diverged('The last step made weights that are not finite.');
    const { step, epoch, seen, lossSum, correct, seconds } = this.at;
    const numExamples = epoch > 1 ? this.n : seen; // `maxSteps` may end before all were seen
    return { weights, numExamples, numSteps: step, loss: lossSum / seen, accuracy: correct / seen, seconds };
  }
}
