/** An error that a person can do something about: what is wrong, and how to mend it. */
import type { Trouble } from './messages';

export class Refused extends Error {
  /** `code`: the server's, or one of the tab's own (see `Trouble`); `retryAfterS`: when asking again may help. */
  constructor(
    readonly code: string,
    readonly problem: string,
    readonly mend: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(`${problem} Mend: ${mend}`);
  }

  get trouble(): Trouble {
    return { code: this.code, problem: this.problem, mend: this.mend };
  }
}
