/** What the server says to a node, as `docs/protocol.md` has it. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
export type Fields = Readonly<Record<string, unknown>>;

/** What `handshake` answers an enrolled node. */
export interface Terms {
  readonly node_id: string;
  readonly node_token: string;
  readonly heartbeat_s: number;
  readonly lanes: { readonly raw: boolean; readonly inline_max_bytes: number; readonly chunk_max_bytes: number };
  readonly limits: { readonly max_wait_s: number };
}

/** A file with the global model. */
export interface ModelFile {
  readonly version: number;
  readonly sha256: string;
  readonly size: number;
  readonly url: string;
}

/** The parts of a task spec that a node goes by; the server has filled in every default. */
export interface TaskSpec {
  readonly name: string;
  readonly model: { readonly id: string; readonly options: Readonly<Record<string, number>> };
  readonly data: {
    readonly id: string;
    readonly holdout: number;
    readonly partition: { readonly seed: number | null };
    /** Of a data set on the Hub. */
    readonly pin?: { readonly class_names: readonly string[] } | null;
  };
  readonly training: TrainingSpec;
  readonly aggregation: { readonly rule: string; readonly options: Readonly<Record<string, number>> };
  readonly evaluation: { readonly nodes: boolean };
  readonly codec: string;
  readonly rounds: number;
  readonly deadline_s: number;
  readonly seed: number;
}

export interface TrainingSpec {
  readonly optimizer: 'sgd' | 'adam';
  readonly epochs: number;
  readonly max_steps: number | null;
  readonly batch_size: number;
  readonly learning_rate: number;
  readonly momentum: number;
  readonly weight_decay: number;
}

export interface Work {
  readonly action: 'train' | 'evaluate';
  readonly task_id: string;
  readonly task_state: string;
  readonly partition_index?: number;
  readonly round: number;
  readonly model: ModelFile;
  readonly spec: TaskSpec;
  readonly input_shape: readonly number[];
  readonly num_classes: number;
  readonly lease_s?: number;
  readonly deadline_in_s?: number;
}

export interface NoWork {
  readonly action: 'wait' | 'finished';
  readonly task_id: string;
  readonly task_state: string;
  readonly partition_index?: number;
  readonly reason?: string;
  readonly retry_after_s?: number;
}

export type Assignment = Work | NoWork;

/** A task in a list. */
export interface TaskSummary {
  readonly task_id: string;
  readonly name: string;
  readonly state: string;
  readonly simulated: boolean;
  readonly model: string;
  readonly data: string;
  readonly round: number;
  readonly num_rounds: number;
  readonly accuracy?: number | null;
  readonly loss?: number | null;
}

/** A task with its spec and latest rounds. */
export interface TaskView extends Omit<TaskSummary, 'model'> {
  readonly spec: TaskSpec;
  readonly input_shape: readonly number[];
  readonly num_classes: number;
  readonly reason: string | null;
  readonly model: ModelFile;
  readonly rounds: readonly {
    readonly round: number;
    readonly deadline_at: number | null;
    readonly seconds: number | null;
    readonly submitted: number;
    readonly accuracy: number | null;
    readonly loss: number | null;
    readonly node_accuracy: number | null;
    readonly node_loss: number | null;
  }[];
}
