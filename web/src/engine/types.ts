/** The words of the engine: what a model is, what training needs, what an engine does. No DOM, no network. */

/** One tensor: values in row-major order. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A model's tensors under the names that PyTorch gives them, e.g. `conv1.weight`. */
export type Weights = ReadonlyMap<string, Tensor>;

/** `y = x Wᵀ + b`, then ReLU if asked; W is [outputs, inputs], as in `torch.nn.Linear`. */
export interface Linear {
  readonly kind: 'linear';
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly relu: boolean;
}

/** A convolution of stride 1 that keeps height and width (odd kernel, padded by half), a bias, then ReLU if asked;
 *  its weight is [outputs, inputs, kernel, kernel], its examples [channels, height, width]. */
export interface Conv {
  readonly kind: 'conv';
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly height: number;
  readonly width: number;
  readonly kernel: number;
  readonly relu: boolean;
}

/** The maximum over 2 × 2 with stride 2; an odd last row or column is dropped, ties go to the first, as in PyTorch. */
export interface Pool {
  readonly kind: 'pool';
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

export type Layer = Linear | Conv | Pool;

/** A model: layers in a row, the last one the logits. Between a `conv`/`pool` and a `linear`, [c, h, w] is flattened. */
export interface Chain {
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly layers: readonly Layer[];
}

/** Labelled examples: `x` [n, ...inputShape] in 0..1, channels first; `y` [n], classes from 0. */
export interface Examples {
  readonly x: Float32Array;
  readonly y: Uint32Array;
}

/** How to descend: the task's `training.*`, and FedProx's μ (0: none), which pulls towards the weights given. */
export interface Descent {
  readonly optimizer: 'sgd' | 'adam';
  readonly learningRate: number;
  /** Of SGD, as in PyTorch: v ← m v + g, w ← w - η v. */
  readonly momentum: number;
  /** Added to the gradient (L2), as in `torch.optim.SGD` and `torch.optim.Adam`. */
  readonly weightDecay: number;
  readonly proximal: number;
  /** The most examples that one step will have. */
  readonly batchSize: number;
}

/** One batch, scored just before its own step: the mean loss, and how many were right. */
export interface StepScore {
  readonly loss: number;
  readonly correct: number;
}

/** A model's score on examples that it was not trained on. */
export interface Score {
  readonly loss: number;
  readonly accuracy: number;
  readonly examples: number;
}

/** Everything that the steps to come depend on, beside the examples and their order. `tensors` is the optimiser's:
 *  `momentum/<name>`; `exp_avg/<name>` and `exp_avg_sq/<name>` of Adam; `start/<name>` where there is a proximal term. */
export interface TrainerState {
  readonly steps: number;
  readonly weights: Weights;
  readonly tensors: Weights;
}

/** One model in training. */
export interface Trainer {
  /** Bytes that it holds on its device. */
  readonly memoryBytes: number;
  /** Enqueues one step of the optimiser on the examples at `batch`; nothing is waited for. */
  step(batch: Uint32Array): void;
  /** Waits for the steps enqueued, and gives their scores since the last `drain`, in order. */
  drain(): Promise<StepScore[]>;
  weights(): Promise<Weights>;
  state(): Promise<TrainerState>;
  /** Go on from a state of an equal trainer. Throws a TypeError, changing nothing, where its tensors are others. */
  restore(state: TrainerState): Promise<void>;
  destroy(): void;
}

/** What an engine is and runs on, for people and for the handshake. */
export interface EngineReport {
  readonly kind: 'webgpu' | 'cpu';
  /** Why this engine was chosen, in words, e.g. that there is no adapter. */
  readonly reason: string;
  /** Vendor, architecture and so on of the adapter; empty on the CPU. */
  readonly adapter: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, number>>;
  /** The kernel variant chosen for each class of shapes, with its measured speed. */
  readonly kernels: readonly { readonly shape: string; readonly variant: string; readonly gflops: number }[];
  /** Of a product of 512 columns with a square matrix of 512, for 512 rows (64 where the adapter is software). */
  readonly matmulGflops: number;
}

/** By class of shapes, the kernel's variant and its measured speed. */
export type Calibration = Readonly<Record<string, { readonly variant: string; readonly gflops: number }>>;

export interface Engine {
  readonly report: EngineReport;
  /** Resolves, with the reason, when the device is lost for good; never rejects. A CPU is never lost. */
  readonly lost: Promise<string>;
  trainer(chain: Chain, weights: Weights, examples: Examples, descent: Descent): Promise<Trainer>;
  score(chain: Chain, weights: Weights, examples: Examples): Promise<Score>;
  /** Which variant of each kernel was found the fastest: plain data, to be kept under vendor and architecture and given
   *  to `openEngine` next time. */
  calibration?(): Calibration;
  destroy(): void;
}
