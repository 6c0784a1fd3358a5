/** A browser profile with its tabs, in memory. */
import type { Command } from '../../src/messages';
import { Desk, type Browser } from '../../src/node/desk';
import type { Locks } from '../../src/node/standing';
import { Disk } from './opfs';
import { Heard, keyringInMemory, StandIns } from './standins';

export const drawn = { kind: 'drawn', x: new Float32Array(0), y: new Uint32Array(0), shape: [1, 4, 4] } as const;

/** What the tabs of a profile share. */
export class Profile {
  private readonly id = crypto.randomUUID();
  readonly disk = new Disk();
  readonly kept = new Map<string, unknown>();
  readonly browser: Browser = {
    locks: { request: (name, ...rest) => (navigator.locks as Locks).request(`${this.id} ${name}`, ...rest) },
    openKeyring: async () => keyringInMemory(this.kept),
    files: async () => this.disk.root,
    openChannel: () => ({ postMessage: () => undefined, onmessage: null, close: () => undefined }),
  };

  private readonly tabs: Desk[] = [];

  async close(): Promise<void> {
    await Promise.all(this.tabs.map((desk) => desk.take({ type: 'close' })));
  }

  /** A tab of this profile, and what it says. */
  tab(base: string, parts = new StandIns(), open: Partial<Extract<Command, { type: 'open' }>> = {}) {
    const heard = new Heard();
    const desk = new Desk(heard.post, parts, async () => undefined, this.browser);
    this.tabs.push(desk);
    void desk.take({ type: 'open', base, transport: 'http', ...open });
    return { heard, parts, take: (command: Command) => desk.take(command) };
  }
}

/** Fits a status of this phase. */
export const phase = (wanted: string) => (report: { status: { phase: string } }) => report.status.phase === wanted;
