/** Checkpoints of a round's training: seldom enough to cost little, and used for nothing but what they are of. */
import type { Checkpoint, Craft, Progress, Training } from './parts';
import type { Fields } from './protocol';
import type { Store } from './store';

/** Seconds between two checkpoints. */
const EVERY_S = 10;
/** Once an epoch is over one is written sooner, but not for less work than this, in seconds. */
const EPOCH_S = 1;
/** The share of the training's time that writing may take; what takes longer to write is written more seldom. */
const COST = 0.04;
/** How fast the first one is expected to be written, in bytes a second; after that it is known. */
const DISK_BYTES_PER_S = 100e6;

/** Those of one training. */
export class Checkpoints {
  private since: number;
  private costS: number | null = null;
  private epoch = 1;

  /** `work`: what they are of. `modelBytes`: the model file's. */
  constructor(
    private readonly craft: Pick<Craft, 'parseSafetensors' | 'writeSafetensors'>,
    private readonly store: Store,
    private readonly task: string,
    private readonly work: Fields,
    private readonly modelBytes: number,
    private readonly now: () => number = () => performance.now() / 1000,
  ) {
    this.since = now();
  }

  /** Brings `training` to where the checkpoint kept stands, if there is one of just this work; whether there was. */
  async resume(training: Training): Promise<boolean> {
    const found = await this.store.read(this.task, 'training', this.work);
    this.since = this.now();
    if (found === null) {
      return false;
    }
    try {
      await training.restore({ tensors: this.craft.parseSafetensors(found.payload), position: found.facts.position });
      return true;
    } catch {
      await this.store.remove(this.task, 'training'); // of another release, say
      return false;
    }
  }

  /** Between two steps: whether it is time to write one. */
  due({ epoch, step, totalSteps }: Progress): boolean {
    const epochEnded = epoch > this.epoch;
    this.epoch = epoch;
    const waited = this.now() - this.since;
    // The optimiser's state may be twice the model's.
    const cost = this.costS ?? (3 * this.modelBytes) / DISK_BYTES_PER_S;
    // After the last step comes the update.
    return step < totalSteps && waited >= (epochEnded ? EPOCH_S : EVERY_S) && cost <= COST * waited;
  }

  /** Writes one; storage that does not take it is the store's to tell, and training goes on. */
  async keep({ tensors, position }: Checkpoint): Promise<void> {
    const started = this.now();
    await this.store.write(this.task, 'training', { ...this.work, position }, this.craft.writeSafetensors(tensors));
    this.since = this.now();
    this.costS = this.since - started;
  }
}
