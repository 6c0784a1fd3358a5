/** What the node is built on, handed to it: engine, files, training, data. Tests hand it others. */
import type { Calibration, Chain, Engine, Examples, Weights } from '../engine/types';
import type { Source } from '../messages';
import type { Plan, Progress, Trained } from '../training/local';

export type { Plan, Progress, Trained };

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

/** Training between two steps: all that the steps to come depend on, beside examples, plan and seed. */
export interface Checkpoint {
  readonly tensors: Weights;
  /** Goes through JSON unharmed. */
  readonly position: unknown;
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
