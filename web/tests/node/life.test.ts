/** A node's whole life with a real server. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Desk, type Browser } from '../../src/node/desk';
import type { Locks } from '../../src/node/standing';
import type { Command } from '../../src/messages';
import { Disk } from './opfs';
import { describeWithServer, Server } from './server';
import { Heard, keyringInMemory, StandIns } from './standins';

const drawn = { kind: 'drawn', x: new Float32Array(0), y: new Uint32Array(0), shape: [1, 4, 4] } as const;

/** A browser profile: what its tabs share. */
class Profile {
  readonly disk = new Disk();
  private readonly keyring = keyringInMemory();
  readonly browser: Browser = {
    locks: navigator.locks as Locks,
    openKeyring: async () => this.keyring,
    files: async () => this.disk.root,
    openChannel: () => ({ postMessage: () => undefined, onmessage: null, close: () => undefined }),
  };

  /** A tab of this profile, and what it says. */
  tab(base: string, parts = new StandIns(), open: Partial<Extract<Command, { type: 'open' }>> = {}) {
    const heard = new Heard();
    const desk = new Desk(heard.post, parts, async () => undefined, this.browser);
    void desk.take({ type: 'open', base, transport: 'http', ...open });
    return { heard, parts, take: (command: Command) => desk.take(command) };
  }
}

const phase = (wanted: string) => (report: { status: { phase: string } }) => report.status.phase === wanted;

describeWithServer('a tab that trains', () => {
  let server: Server;
  beforeAll(async () => void (server = await Server.start()));
  afterAll(() => server.stop());

  it('trains every round, scores what it received and the last model, and leaves nothing behind', async () => {
    const taskId = await server.task();
    const profile = new Profile();
    const { heard, take } = profile.tab(server.base);
    await take({ type: 'train', taskId, name: 'a tab', source: drawn });
    const { status } = await heard.until('status', phase('finished'));
    expect(heard.troubles).toEqual([]);
    expect(status).toMatchObject({ roundsGiven: 2, numRounds: 2, examples: 16, heldOut: 4 });
    const task = await server.call('get_task', { task_id: taskId });
    expect(task).toMatchObject({ state: 'finished', version: 2 });
    expect(task.rounds).toMatchObject([
      { submitted: 1, node_accuracy: 0.5 },
      { submitted: 1, node_accuracy: 0.5 },
    ]);
    expect([...profile.disk.files().keys()].filter((path) => path.includes(taskId))).toEqual([]);
  });
});
