/** What the node is built on, handed to it: engine, files, training, data. Tests hand it others. */
import type { Calibration, Chain, Descent, Engine, Examples, Weights } from '../engine/types';
import type { Source, StepReport } from '../messages';

export interface Parts {
  openEngine(force?: 'webgpu' | 'cpu', before?: Calibration): Promise<Engine>;
  /** The ids of the models that the engine can train. */
  readonly models: readonly string[];
  chainOf(
    modelId: string,
    options: Readonly<Record<string, number>>,
    inputShape: readonly number[],
    classes: number,
  ): Chain;
  layoutOf(chain: Chain): ReadonlyMap<string, readonly number[]>;
  readSource(source: Source, inputShape: readonly number[], classes: number, base: string): Promise<Examples>;
  /** Comes with the first task, and not with the page. */
  craft(): Promise<Craft>;
}

/** What training takes. */
export interface Craft {
  parseSafetensors(bytes: Uint8Array): Weights;
  writeSafetensors(weights: Weights): Uint8Array<ArrayBuffer>;
  deltaOf(trained: Weights, given: Weights): Weights;
  /** L2, of all tensors as one vector; refuses (`diverged`) what is not finite. */
  normOf(weights: Weights): number;
  /** `inputSize`: values in one example. */
  splitHoldout(examples: Examples, inputSize: number, share: number, seed: string): Split;
  openTraining(
    engine: Engine,
    chain: Chain,
    weights: Weights,
    examples: Examples,
    plan: Plan,
    seed: string,
  ): Promise<Training>;
}

export interface Split {
  readonly train: Examples;
  readonly heldOut: Examples;
}

/** A task's `training.*` and its proximal term. */
export interface Plan extends Descent {
  readonly epochs: number;
  readonly maxSteps: number | null;
}

/** Training between two steps: all that the steps to come depend on, beside examples, plan and seed. */
export interface Checkpoint {
  readonly tensors: Weights;
  /** Goes through JSON unharmed. */
  readonly position: unknown;
}

/** Where training stands: loss and accuracy are means over the examples of the current epoch so far. */
export type Progress = Omit<StepReport, 'round'>;

/** A round of local training; loss and accuracy are means over the last epoch. */
export interface Trained {
  readonly weights: Weights;
  /** FedAvg's n_k: the examples trained on at least once, however many epochs passed over them. */
  readonly numExamples: number;
  readonly numSteps: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly seconds: number;
}

export interface Listening {
  onProgress(progress: Progress): void;
  shouldStop(): boolean;
  /** Whether it is time to `keep` a checkpoint. */
  keepNow(progress: Progress): boolean;
  keep(checkpoint: Checkpoint): Promise<void>;
}

export interface Training {
  /** From where it stands to its end. Throws where `shouldStop` answered true, and `Refused` where it diverged. */
  run(listening: Listening): Promise<Trained>;
  progress(): Progress;
  checkpoint(): Promise<Checkpoint>;
  /** Throws, changing nothing, where it is no checkpoint of such a training. */
  restore(checkpoint: Checkpoint): Promise<void>;
  destroy(): void;
}
