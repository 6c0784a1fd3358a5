/** How the node tells the page what happens. */
import type { NodeStatus, Report, Trouble } from '../messages';
import { Refused } from '../refused';

export const IDLE: NodeStatus = {
  phase: 'idle',
  text: 'Choose a task.',
  nodeId: null,
  taskId: null,
  round: null,
  numRounds: null,
  deadlineAt: null,
  examples: 0,
  heldOut: 0,
  roundsGiven: 0,
  bytesUp: 0,
  bytesDown: 0,
  lastUpdate: '',
};

export class Teller {
  private now: NodeStatus = IDLE;

  constructor(private readonly post: (report: Report) => void) {}

  get standing(): NodeStatus {
    return this.now;
  }

  report(report: Report): void {
    this.post(report);
  }

  status(change: Partial<NodeStatus>): void {
    this.now = { ...this.now, ...change };
    this.post({ type: 'status', status: this.now });
  }

  log(text: string): void {
    this.post({ type: 'log', text });
  }

  /** Says what went wrong, whatever it was. */
  trouble(error: unknown): Trouble {
    const trouble = troubleOf(error);
    this.post({ type: 'trouble', trouble });
    return trouble;
  }
}

export function troubleOf(error: unknown): Trouble {
  if (error instanceof Refused) {
    return error.trouble;
  }
  const problem = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { code: 'internal', problem, mend: 'reload the page; if it comes again, report it with these words' };
}
