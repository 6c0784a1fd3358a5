/** Asks the server for work, patiently. */
import { Refused } from '../refused';
import type { Membership } from './membership';
import { atLeast, sleep, type Sleep } from './patience';
import type { Assignment } from './protocol';
import type { Teller } from './teller';

/** How long one `get_assignment` may take, in seconds: the one standing request of the browser profile. */
const POLL_S = 10;
/** How often and how long a node asks again for a share that another one holds, in seconds. */
const SHARE_PAUSE_S = 5;
const SHARE_PATIENCE_S = 60;

export class Asking {
  constructor(
    private readonly member: Pick<Membership, 'call'>,
    private readonly taskId: string,
    private readonly ownData: boolean,
    private readonly maxWaitS: number,
    private readonly tell: Teller,
    private readonly rest: Sleep = sleep,
  ) {}

  /** Joins the task. Where every share has a node that was heard of lately, one may soon be free, and is waited for. */
  async first(signal: AbortSignal): Promise<Assignment> {
    for (let patience = SHARE_PATIENCE_S; ; patience -= SHARE_PAUSE_S) {
      try {
        return await this.ask(0, signal); // at once, so that people see why there is nothing to do
      } catch (error) {
        if (!(error instanceof Refused) || error.code !== 'partition_taken' || patience <= 0) {
          throw error;
        }
        this.tell.status({ phase: 'waiting', text: `${error.problem} Again in ${SHARE_PAUSE_S} s.` });
      }
      await this.rest(SHARE_PAUSE_S, signal);
    }
  }

  /** The next assignment, waited for as long as one call may last. */
  next(signal: AbortSignal): Promise<Assignment> {
    return this.ask(Math.min(POLL_S, atLeast(1, this.maxWaitS)), signal);
  }

  private async ask(waitS: number, signal: AbortSignal): Promise<Assignment> {
    const asked = performance.now();
    const args = { task_id: this.taskId, own_data: this.ownData, wait_s: waitS };
    const answer = await this.member.call('get_assignment', args, { timeoutS: waitS + 30, signal });
    const assignment = answer as unknown as Assignment;
    if (assignment.action === 'wait') {
      const text = assignment.reason ?? 'Nothing to do yet.';
      this.tell.status({ phase: 'waiting', text, deadlineAt: null });
      const waited = (performance.now() - asked) / 1000;
      await this.rest(Math.max(0, (waitS ? atLeast(1, assignment.retry_after_s) : 0) - waited), signal);
    }
    return assignment;
  }
}
