/** What the page and its worker say to each other. The page asks with a `Command`; the worker tells with a `Report`. */
import type { EngineReport } from './engine/types';

/** Where a node's examples come from. Whatever it is, it does not leave the tab. */
export type Source =
  | { readonly kind: 'digits' }
  | { readonly kind: 'files'; readonly files: readonly LocalFile[] }
  | { readonly kind: 'drawn'; readonly x: Float32Array; readonly y: Uint32Array; readonly shape: readonly number[] };

/** A file that a person gave, with its path below the folder that was dropped (`3/first.png`, or just a name). */
export interface LocalFile {
  readonly path: string;
  readonly file: File;
}

/** A federation inside this tab: no server takes part. */
export interface Rehearsal {
  /** 1 to 16. */
  readonly nodes: number;
  readonly alpha: number;
  readonly rounds: number;
  readonly model: string;
  readonly options: Readonly<Record<string, number>>;
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly seed: number;
  readonly source: Source;
  /** What the examples of `files` are like, and the classes of `drawn`; left out: as the digits sample. */
  readonly inputShape?: readonly number[];
  readonly classes?: number;
  /** Left out: plain SGD. */
  readonly optimizer?: 'sgd' | 'adam';
  readonly momentum?: number;
  readonly weightDecay?: number;
}

/** How a task trains its model, as far as a rehearsal can do the same. */
export type Recipe = Required<
  Pick<Rehearsal, 'options' | 'batchSize' | 'learningRate' | 'optimizer' | 'momentum' | 'weightDecay'>
>;

export type Command =
  /** The first one: which server, how to reach it, which engine (`force` is for tests and for the curious). */
  | {
      readonly type: 'open';
      readonly base: string;
      readonly transport: 'http' | 'sse';
      readonly token?: string;
      readonly force?: 'webgpu' | 'cpu';
    }
  | { readonly type: 'refresh' }
  | { readonly type: 'examine'; readonly taskId: string; readonly source: Source }
  | { readonly type: 'train'; readonly taskId: string; readonly name: string; readonly source: Source }
  | { readonly type: 'pause' }
  | { readonly type: 'resume' }
  | { readonly type: 'leave' }
  /** The tab goes (`pagehide`): what was done is kept for the next tab. The page sends the last `goodbye` itself. */
  | { readonly type: 'close' }
  /** Whether anybody looks: news is asked for less often if not. */
  | { readonly type: 'visible'; readonly visible: boolean }
  | { readonly type: 'rehearse'; readonly rehearsal: Rehearsal }
  | { readonly type: 'end_rehearsal' }
  | { readonly type: 'clear_storage' }
  /** Clears the storage and forgets the key, the invitation and the order too: this browser is a new node then. */
  | { readonly type: 'forget' };

/** What went wrong, and what a person can do about it. `code` is the server's, or one of the tab's own: `no_server`,
 *  `insecure`, `bad_data`, `quota`, `device_lost`, `no_webgpu`, `too_large`, `diverged`, `internal`. */
export interface Trouble {
  readonly code: string;
  readonly problem: string;
  readonly mend: string;
}

/** A task as the picker shows it. */
export interface TaskCard {
  readonly taskId: string;
  readonly name: string;
  readonly state: string;
  readonly model: string;
  readonly data: string;
  readonly round: number;
  readonly numRounds: number;
  readonly accuracy: number | null;
  readonly loss: number | null;
  /** Why this tab cannot take part; empty where it can. */
  readonly obstacles: readonly string[];
  /** What taking part asks for: model, bytes a round, memory. */
  readonly requirements: readonly string[];
  /** Of one example; the drawing pad needs it. */
  readonly inputShape?: readonly number[];
  readonly classNames?: readonly string[];
  readonly classes?: number;
  readonly recipe?: Recipe;
  /** How many weights the model has. */
  readonly parameters?: number;
}

/** Where the node stands. */
export type Phase =
  | 'idle'
  | 'joining'
  | 'waiting'
  | 'downloading'
  | 'scoring'
  | 'training'
  | 'sending'
  | 'paused'
  | 'away'
  | 'elsewhere'
  | 'finished'
  | 'left';

export interface NodeStatus {
  readonly phase: Phase;
  /** In words, e.g. why it waits. */
  readonly text: string;
  readonly nodeId: string | null;
  readonly taskId: string | null;
  readonly round: number | null;
  readonly numRounds: number | null;
  /** The round's, in milliseconds since 1970 by this device's clock. */
  readonly deadlineAt: number | null;
  readonly examples: number;
  readonly heldOut: number;
  readonly roundsGiven: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** What the last update was, e.g. that it was accepted, with its size, norm and hash. */
  readonly lastUpdate: string;
}

/** After every few steps of this node's training. */
export interface StepReport {
  readonly round: number;
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly examplesPerS: number;
  readonly memoryBytes: number;
}

/** A round of the federation; of a rehearsal, too. */
export interface RoundReport {
  readonly round: number;
  readonly accuracy: number | null;
  readonly loss: number | null;
  readonly seconds: number | null;
  readonly updates: number;
}

export interface StorageReport {
  readonly usedBytes: number;
  readonly quotaBytes: number;
  readonly persistent: boolean;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

/** A request that the page sends when it goes (`pagehide`, `fetch` with `keepalive`): a worker has no time left then. */
export interface Letter {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type Report =
  | { readonly type: 'ready'; readonly engine: EngineReport; readonly server: string }
  | { readonly type: 'tasks'; readonly tasks: readonly TaskCard[] }
  | { readonly type: 'examined'; readonly examples: number; readonly perClass: readonly number[] }
  | { readonly type: 'status'; readonly status: NodeStatus }
  | { readonly type: 'step'; readonly step: StepReport }
  | { readonly type: 'rounds'; readonly taskId: string; readonly rounds: readonly RoundReport[] }
  | { readonly type: 'shares'; readonly perClass: readonly (readonly number[])[] }
  | { readonly type: 'rehearsed'; readonly round: RoundReport; readonly nodes: readonly { readonly loss: number; readonly examples: number }[] }
  | { readonly type: 'rehearsal_over'; readonly reason: string }
  | { readonly type: 'storage'; readonly storage: StorageReport }
  /** The goodbye to send when the page goes; null: none is due. */
  | { readonly type: 'goodbye'; readonly letter: Letter | null }
  | { readonly type: 'log'; readonly text: string }
  | { readonly type: 'trouble'; readonly trouble: Trouble };
