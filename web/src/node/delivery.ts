/** From a finished update to its receipt; until that has come, the update is kept. */
import { Refused } from '../refused';
import { LATER, MISSED } from './answers';
import { toBase64 } from './bytes';
import { updateMessage } from './identity';
import type { Lanes } from './lanes';
import type { Membership } from './membership';
import type { Assignment, Fields } from './protocol';
import type { Store } from './store';

/** How long a server may check an update before it takes it, in seconds. */
const COMMIT_S = 600;
/** Refusals of the update itself: nobody wants it. After any other it is kept, and brought again later. */
const CONDEMNED: ReadonlySet<string> = new Set([...MISSED, 'bad_update', 'bad_count']);
/** Refusals of this node, whatever it brings. */
export const ENDING: ReadonlySet<string> = new Set([
  ...LATER,
  'fenced',
  'unauthorized',
  'forbidden',
  'bad_node_token',
  'internal',
]);

/** A trained update, ready to be sent: `payload` is the safetensors file of the delta, the rest is what it is of. */
export interface Update {
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly facts: UpdateFacts;
}

export interface UpdateFacts {
  readonly sha256: string;
  readonly taskId: string;
  readonly round: number;
  readonly baseVersion: number;
  readonly baseSha256: string;
  readonly numExamples: number;
  readonly numSteps: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** L2, of all tensors as one vector; for people. */
  readonly norm: number;
}

/** Whether the update is the work that `assignment` asks for. */
export function answers({ facts }: Update, assignment: Assignment): boolean {
  return (
    assignment.action === 'train' &&
    assignment.task_id === facts.taskId &&
    assignment.round === facts.round &&
    assignment.model.version === facts.baseVersion &&
    assignment.model.sha256 === facts.baseSha256
  );
}

export class Delivery {
  /** Updates for which there is a receipt. */
  rounds = 0;

  constructor(
    private readonly member: Membership,
    private readonly lanes: Lanes,
    private readonly store: Store,
    private readonly task: string,
    private readonly inlineMax: number,
  ) {}

  /** Keeps a finished update, as that of `work`. Where that fails it is sent from memory. */
  async keep({ facts, payload }: Update, work: Fields): Promise<void> {
    if (await this.store.write(this.task, 'update', { ...work, update: facts }, payload)) {
      await this.store.remove(this.task, 'training');
    }
  }

  /** The update of an earlier tab for which no receipt has come; one of other work than `work` is removed. */
  async kept(work: Fields): Promise<Update | null> {
    const found = await this.store.read(this.task, 'update', { node_id: this.member.nodeId, ...work });
    return found && { payload: found.payload, facts: found.facts.update as UpdateFacts };
  }

  /** Brings the update, and forgets it once the receipt is there; the node's next assignment. Repeating it, in this tab
   *  or a later one, brings the same receipt and changes nothing. Throws `Refused`, with the reason, where the server
   *  does not want it; it is forgotten where that is the update's fault. `wanted` ends the upload alone: what is being
   *  committed may already have been taken. */
  async deliver(update: Update, signal: AbortSignal, wanted: AbortSignal = signal): Promise<Assignment> {
    try {
      const answer = await this.bring(update, signal, wanted);
      this.rounds += 1;
      await this.store.remove(this.task, 'update');
      return answer.next as Assignment;
    } catch (error) {
      if (error instanceof Refused && CONDEMNED.has(error.code)) {
        await this.store.remove(this.task, 'update');
      }
      throw error;
    }
  }

  private async bring({ facts, payload }: Update, signal: AbortSignal, wanted: AbortSignal): Promise<Fields> {
    const work = { task_id: facts.taskId, round: facts.round, base_version: facts.baseVersion };
    const signature = await this.member.identity.sign(updateMessage({ ...facts, nodeId: this.member.nodeId }));
    const counts = { num_examples: facts.numExamples, num_steps: facts.numSteps };
    const commit = { ...work, ...counts, metrics: facts.metrics, signature };
    const submit = (bytes: Fields): Promise<Fields> =>
      this.member.call('submit_update', { ...commit, ...bytes }, { timeoutS: COMMIT_S, signal });
    if (payload.length <= this.inlineMax) {
      this.lanes.bytesUp += payload.length;
      return submit({ inline_b64: toBase64(payload) });
    }
    const begin = { ...work, sha256: facts.sha256, size: payload.length };
    const uploaded = async (): Promise<Fields> =>
      submit({ upload_id: await this.lanes.upload(begin, payload, wanted) });
    try {
      return await uploaded();
    } catch (error) {
      if (!(error instanceof Refused) || (error.code !== 'upload_gone' && error.code !== 'upload_incomplete')) {
        throw error;
      }
      return uploaded(); // the server lost the upload, in a crash say: it is brought once more
    }
  }
}
