/** What a node does about an assignment: train and deliver, or score the final model. */
import type { Chain, Examples, Score, Weights } from '../engine/types';
import { Refused } from '../refused';
import { Lost } from './answers';
import { sha256, utf8 } from './bytes';
import { Checkpoints } from './checkpoints';
import { answers, ENDING, type Delivery, type Update } from './delivery';
import type { Device } from './device';
import { Heartbeat } from './heartbeat';
import type { Lanes } from './lanes';
import type { Membership } from './membership';
import type { Craft, Parts, Progress, Trained } from './parts';
import { atLeast, unless } from './patience';
import { canonical, planOf } from './plan';
import type { Assignment, Fields, Work } from './protocol';
import { seedOf, shareOf, type Share } from './share';
import type { Store } from './store';
import type { Teller } from './teller';
import { inPercent, inWords } from './words';

/** The page hears of steps at most this often, in milliseconds. */
const TELL_MS = 100;

/** What a node's work in one task is done with. */
export interface Workshop {
  readonly parts: Pick<Parts, 'chainOf' | 'layoutOf'>;
  readonly craft: Craft;
  readonly device: Device;
  readonly member: Membership;
  readonly lanes: Lanes;
  readonly delivery: Delivery;
  readonly store: Store;
  readonly tell: Teller;
  /** All examples of the node's source. */
  readonly examples: Examples;
  /** Whether the node takes a share of them that the server assigns. */
  readonly shared: boolean;
  readonly heartbeatS: number;
}

export class Labour {
  round = 1;
  private index: number | null = null;
  private share: { readonly of: number | null; readonly share: Share } | null = null;
  private finished: Update | null = null;

  constructor(private readonly shop: Workshop) {}

  /** Sees to the update that an earlier tab finished: its receipt may have got lost, or its round may wait. */
  async settle(assignment: Assignment, signal: AbortSignal): Promise<void> {
    const { delivery, tell } = this.shop;
    const update = await delivery.kept({ task_id: assignment.task_id });
    if (update === null) {
      return;
    }
    tell.log(`Round ${update.facts.round}: its update was finished before.`);
    if (answers(update, assignment)) {
      this.finished = update;
      return;
    }
    try {
      await delivery.deliver(update, signal);
      this.tellAccepted(update);
    } catch (error) {
      if (!(error instanceof Refused) || ENDING.has(error.code)) {
        throw error;
      }
      tell.log(`Round ${update.facts.round} went on without this node: ${error.problem}`);
    }
  }

  /** Trains the assigned model and brings the update to the server; the next assignment. */
  async train(work: Work, session: AbortSignal): Promise<Assignment> {
    const { delivery, tell } = this.shop;
    this.round = work.round;
    const finished = this.finished;
    this.finished = null;
    const deadlineAt = work.deadline_in_s === undefined ? null : Date.now() + work.deadline_in_s * 1000;
    tell.status({ round: work.round, numRounds: work.spec.rounds, deadlineAt });
    let progress: Progress | null = null;
    const heart = this.heartbeat(work, () => progress);
    const signal = AbortSignal.any([session, heart.signal]);
    try {
      const share = await this.shareFor(work, signal);
      const mine = await this.workOf(work, share);
      let update = finished && answers(finished, work) && (await delivery.kept(mine)) ? finished : null;
      if (update === null) {
        update = await this.trained(work, share, mine, session, signal, (at) => (progress = at));
        await delivery.keep(update, mine);
      }
      const size = inWords(update.payload.length);
      tell.status({ phase: 'sending', text: `Round ${work.round}: sending the update (${size}).` });
      const next = await delivery.deliver(update, session, signal);
      this.tellAccepted(update);
      return next;
    } finally {
      heart.stop();
    }
  }

  /** Scores the final model on the held-out examples and reports it; false where there are none. */
  async evaluate(work: Work, signal: AbortSignal): Promise<boolean> {
    const { member, tell } = this.shop;
    const share = await this.shareFor(work, signal);
    if (share.heldOut.y.length === 0) {
      return false;
    }
    const { chain, weights } = await this.received(work, signal);
    const { loss, accuracy, examples } = await this.scored(chain, weights, share, signal);
    const report = {
      task_id: work.task_id,
      round: work.round,
      version: work.model.version,
      phase: 'evaluation',
      step: 1,
      total_steps: 1,
      loss,
      accuracy,
      num_examples: examples,
    };
    await member.call('report_progress', report, { signal });
    tell.log(`The final model labels ${inPercent(accuracy)} of ${examples} held-out examples right.`);
    return true;
  }

  /** The round wants no more of this node: what it kept for it is of no use. */
  async forget(taskId: string): Promise<void> {
    await this.shop.store.remove(taskId, 'training');
  }

  private async trained(
    work: Work,
    share: Share,
    mine: Fields,
    session: AbortSignal,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<Update> {
    const { craft, device, store, tell } = this.shop;
    const { spec, round } = work;
    const { chain, weights, bytes } = await this.received(work, signal);
    const scores = spec.evaluation.nodes && share.heldOut.y.length > 0;
    const scored = scores ? await this.scored(chain, weights, share, signal) : null;
    const { engine, lost } = device;
    const plan = planOf(spec, share.train.y.length);
    const seed = String(mine.seed);
    const training = await unless(lost, craft.openTraining(engine, chain, weights, share.train, plan, seed));
    try {
      const checkpoints = new Checkpoints(craft, store, work.task_id, mine, bytes);
      if (await checkpoints.resume(training)) {
        const { step, totalSteps } = training.progress();
        tell.log(`Round ${round}: going on after step ${step} of ${totalSteps}.`);
      }
      tell.status({ phase: 'training', text: `Round ${round}: training on ${share.train.y.length} examples.` });
      const running = training.run({
        onProgress: (progress) => {
          onProgress(progress);
          this.tellStep(progress);
        },
        shouldStop: () => signal.aborted,
        keepNow: (progress) => checkpoints.due(progress),
        keep: (checkpoint) => checkpoints.keep(checkpoint),
      });
      try {
        return await this.updateOf(work, weights, await unless(lost, running), scored);
      } catch (error) {
        if (session.aborted && !lost.aborted && training.progress().step > 0) {
          await checkpoints.keep(await training.checkpoint()); // paused, or leaving
        }
        signal.throwIfAborted();
        throw error;
      }
    } finally {
      training.destroy();
    }
  }

  private async updateOf(
    work: Work,
    given: Weights,
    trained: Trained,
    scored: Score | null,
  ): Promise<Update> {
    const { craft } = this.shop;
    const delta = craft.deltaOf(trained.weights, given);
    const norm = craft.normOf(delta);
    const payload = craft.writeSafetensors(delta);
    const metrics = {
      train_loss: trained.loss,
      train_accuracy: trained.accuracy,
      train_seconds: trained.seconds,
      memory_bytes: this.memoryBytes,
      ...(scored && { eval_loss: scored.loss, eval_accuracy: scored.accuracy, eval_examples: scored.examples }),
    };
    const facts = {
      sha256: await sha256(payload),
      taskId: work.task_id,
      round: work.round,
      baseVersion: work.model.version,
      baseSha256: work.model.sha256,
      numExamples: trained.numExamples,
      numSteps: trained.numSteps,
      metrics: Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value))),
      norm,
    };
    return { payload, facts };
  }

  /** The assigned model, checked to be one that this node builds. */
  private async received(
    work: Work,
    signal: AbortSignal,
  ): Promise<{ chain: Chain; weights: Weights; bytes: number }> {
    const { parts, craft, lanes, tell } = this.shop;
    tell.status({ phase: 'downloading', text: `Round ${work.round}: fetching model version ${work.model.version}.` });
    const bytes = await lanes.download(work.model, signal);
    tell.status({ bytesDown: lanes.bytesDown });
    const weights = craft.parseSafetensors(bytes);
    const chain = parts.chainOf(work.spec.model.id, work.spec.model.options, work.input_shape, work.num_classes);
    const layout = parts.layoutOf(chain);
    const fits = [...layout].every(([name, shape]) => String(weights.get(name)?.shape) === String(shape));
    if (!fits || weights.size !== layout.size) {
      const problem = `The model ${work.spec.model.id} that the server sends is not the one that this page knows.`;
      throw new Refused('incompatible_node', problem, 'reload the page: server and page are of different releases');
    }
    return { chain, weights, bytes: bytes.length };
  }

  private async scored(
    chain: Chain,
    weights: Weights,
    share: Share,
    signal: AbortSignal,
  ): Promise<Score> {
    const { device, tell } = this.shop;
    const text = `Round ${this.round}: scoring the received model on ${share.heldOut.y.length} held-out examples.`;
    tell.status({ phase: 'scoring', text });
    return unless(AbortSignal.any([signal, device.lost]), device.engine.score(chain, weights, share.heldOut));
  }

  private async shareFor(work: Work, signal: AbortSignal): Promise<Share> {
    const { craft, member, tell, examples, shared } = this.shop;
    const index = shared ? (work.partition_index ?? this.index) : null;
    if (shared && index === null) {
      throw new Refused('data_unavailable', 'The server has given this node no part of the data set.', 'join again');
    }
    if (this.share === null || this.share.of !== index) {
      const share = await shareOf(craft, member.connection, work.task_id, work.spec, examples, index, signal);
      this.share = { of: index, share };
    }
    const { share } = this.share;
    tell.status({ examples: share.train.y.length, heldOut: share.heldOut.y.length });
    return share;
  }

  /** Remembers which share the server gave: it says so once. */
  holds(assignment: Assignment): void {
    this.index = assignment.partition_index ?? this.index;
  }

  /** All that the bits of an update depend on but the engine; what is kept is good where every part is the same. */
  private async workOf(work: Work, share: Share): Promise<Fields> {
    const nodeId = this.shop.member.nodeId;
    return {
      node_id: nodeId,
      task_id: work.task_id,
      round: work.round,
      base_version: work.model.version,
      base_sha256: work.model.sha256,
      spec_sha256: await sha256(utf8(canonical(work.spec))),
      examples_sha256: share.fingerprint,
      seed: seedOf(work.spec.seed, 'train', work.round, this.index ?? nodeId),
    };
  }

  private heartbeat(work: Work, progress: () => Progress | null): Heartbeat {
    const { member, tell, heartbeatS } = this.shop;
    let away = false;
    const beat = async (signal: AbortSignal): Promise<Fields> => {
      const at = progress();
      const report = {
        task_id: work.task_id,
        round: work.round,
        phase: 'training',
        step: at?.step ?? 0,
        total_steps: at?.totalSteps ?? 1,
        ...(this.memoryBytes && { memory_bytes: this.memoryBytes }),
        ...(at && { loss: at.loss, accuracy: at.accuracy, examples_per_s: at.examplesPerS }),
      };
      try {
        // Not with the growing pauses of other calls: a server that is back has to hear of us within the lease.
        const answer = await member.call('report_progress', report, { once: true, timeoutS: 30, signal });
        away = false;
        return answer;
      } catch (error) {
        if (error instanceof Lost && !away) {
          away = true;
          tell.log(`The server cannot be told of the work (${error.message}), which goes on.`);
        }
        throw error;
      }
    };
    return new Heartbeat(beat, Math.min(atLeast(1, heartbeatS), atLeast(3, work.lease_s ?? 60) / 3));
  }

  /** The most that training has held. */
  private memoryBytes = 0;

  private toldAt = 0;

  private tellStep(progress: Progress): void {
    this.memoryBytes = Math.max(this.memoryBytes, progress.memoryBytes);
    const now = performance.now();
    if (now - this.toldAt >= TELL_MS || progress.step === progress.totalSteps) {
      this.toldAt = now;
      this.shop.tell.report({ type: 'step', step: { ...progress, round: this.round } });
    }
  }

  private tellAccepted({ facts, payload }: Update): void {
    const { tell, delivery, lanes } = this.shop;
    const lastUpdate =
      `Round ${facts.round}: accepted. ${facts.numExamples} examples, ${facts.numSteps} steps, ` +
      `${inWords(payload.length)} of weight changes, norm ${facts.norm.toPrecision(3)}, ` +
      `SHA-256 ${facts.sha256.slice(0, 12)}…`;
    tell.status({ roundsGiven: delivery.rounds, bytesUp: lanes.bytesUp, bytesDown: lanes.bytesDown, lastUpdate });
    tell.log(lastUpdate);
  }
}
