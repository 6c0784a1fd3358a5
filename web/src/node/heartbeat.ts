/** Tells the server that a node is at work, and the node when its work is no longer wanted. */
import { Refused } from '../refused';
import { Lost } from './answers';
import { sleep, type Sleep } from './patience';
import type { Fields } from './protocol';

/** Reports every `intervalS` seconds until `stop`. */
export class Heartbeat {
  private readonly over = new AbortController();
  private readonly unwanted = new AbortController();
  /** Aborted, with the refusal as its reason, when the server wants no more of the work. */
  readonly signal = this.unwanted.signal;

  /** `beat` answers what `report_progress` does; it throws `Lost` where the server is out of reach. */
  constructor(
    private readonly beat: (signal: AbortSignal) => Promise<Fields>,
    private readonly intervalS: number,
    private readonly rest: Sleep = sleep,
  ) {
    void this.report();
  }

  stop(): void {
    this.over.abort();
  }

  private async report(): Promise<void> {
    const { signal } = this.over;
    while (!signal.aborted) {
      try {
        await this.rest(this.intervalS, signal);
        const { state, reason } = await this.beat(signal);
        if (state === 'stop') {
          const problem = `${String(reason || 'The server wants no more of this round')}.`;
          throw new Refused('round_closed', problem, 'wait for work');
        }
      } catch (error) {
        if (error instanceof Lost) {
          continue; // the server may come back; what was trained until then is not lost
        }
        if (!signal.aborted) {
          this.unwanted.abort(error);
        }
        return;
      }
    }
  }
}
