/** What a person says to a tab, at whatever moment, with a real server. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import type { Source } from '../../src/messages';
import { drawn, phase, Profile } from './profile';
import { describeWithServer, Server, START_MS } from './server';
import { StandIns } from './standins';

const gate = () => {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
};

describeWithServer('an order', () => {
  let server: Server;
  let profile: Profile;
  beforeAll(async () => void (server = await Server.start()), START_MS);
  afterAll(() => server.stop());
  beforeEach(() => void (profile = new Profile()));
  afterEach(() => profile.close());

  const files = (size?: number): Source => {
    const file = new File(['1,2'], 'mine.csv');
    return { kind: 'files', files: [{ path: 'mine.csv', file: size ? Object.defineProperty(file, 'size', { value: size }) : file }] };
  };
  const order = async (spec = {}, source: Source = drawn) =>
    ({ type: 'train', taskId: await server.task({ rounds: 1, ...spec }), name: 'a tab', source }) as const;
  const submitted = async (taskId: string) => (await server.call('get_task', { task_id: taskId })).version;
  /** What is left of a profile when its browser was killed: all but locks. */
  const killed = () => {
    const after = new Profile();
    profile.kept.forEach((value, name) => after.kept.set(name, value));
    return after;
  };

  it('can be left, and another given, while the engine is still being opened', async () => {
    const parts = new StandIns();
    const [measured, open] = [gate(), parts.openEngine.bind(parts)];
    parts.openEngine = async (force) => (await measured.opened, open(force));
    const tab = profile.tab(server.base, parts);
    const [one, other] = [await order(), await order()];
    void tab.take(one);
    void tab.take({ type: 'leave' });
    await tab.heard.until('status', phase('left'));
    void tab.take(other);
    await tab.heard.until('status', ({ status }) => status.taskId === other.taskId);
    measured.open();
    await tab.heard.until('status', phase('finished'));
    expect([await submitted(one.taskId), await submitted(other.taskId)]).toEqual([0, 1]);
    expect(tab.heard.troubles).toEqual([]);
  });

  it('can be left while it is paused before it began', async () => {
    const parts = new StandIns();
    const [asked, answered] = [gate(), gate()];
    const read = parts.readSource.bind(parts);
    parts.readSource = async (...given) => (asked.open(), await answered.opened, read(...given));
    const tab = profile.tab(server.base, parts);
    void tab.take(await order());
    await asked.opened;
    await tab.take({ type: 'pause' });
    void tab.take({ type: 'leave' });
    answered.open();
    await tab.heard.until('status', phase('left'));
    const again = await order();
    await vi.waitFor(async () => {
      await tab.take(again);
      await tab.heard.until('status', ({ status }) => status.taskId === again.taskId && status.phase === 'finished');
    });
  });

  it('says that the server waits only while it does', async () => {
    const train = await order({ cohort: { size: 2, min_nodes: 2 } });
    const tab = profile.tab(server.base);
    await tab.take(train);
    await tab.heard.until('status', phase('waiting'));
    await tab.take({ type: 'pause' });
    const { status } = await tab.heard.until('status', phase('paused'));
    expect(status.text).toBe('Paused.');
  });

  it('replaces the one that a tab waits with, and is refused aloud by a tab at work', async () => {
    const train = await order({ training: { batch_size: 1 } });
    const [first, started, go] = [profile.tab(server.base), gate(), gate()];
    first.parts.between = async () => (started.open(), await go.opened);
    await first.take(train);
    await started.opened;
    await first.take({ ...train, source: files() });
    expect(first.heard.troubles).toEqual(['busy']);
    const second = profile.tab(server.base);
    await second.heard.until('status', phase('elsewhere'));
    const read = vi.spyOn(second.parts, 'readSource');
    const mine = files();
    await second.take({ ...train, source: mine });
    const closing = first.take({ type: 'close' });
    go.open();
    await second.heard.until('status', phase('finished'));
    expect(read.mock.calls.map(([source]) => source)).toEqual([mine]);
    await closing;
  });

  it('for another task waits until the tab at work has finished its own', async () => {
    const [one, other] = [await order(), await order()];
    const [first, started, go] = [profile.tab(server.base), gate(), gate()];
    first.parts.between = async () => (started.open(), await go.opened);
    await first.take(one);
    await started.opened;
    const second = profile.tab(server.base);
    await second.heard.until('status', phase('elsewhere'));
    await second.take(other);
    go.open();
    await second.heard.until('status', ({ status }) => status.taskId === other.taskId && status.phase === 'finished');
    expect(await submitted(other.taskId)).toBe(1);
    expect(second.heard.troubles).toEqual([]);
  });

  it("keeps a person's own files for the tab after a killed one, and no longer than the task", async () => {
    const mine = files();
    const train = await order({}, mine);
    const [tab, started] = [profile.tab(server.base), gate()];
    tab.parts.between = async () => (started.open(), new Promise<never>(() => undefined));
    await tab.take(train);
    await started.opened;
    const after = killed();
    const [parts, next] = [new StandIns(), gate()];
    const read = vi.spyOn(parts, 'readSource');
    parts.between = () => next.opened;
    const heir = after.tab(server.base, parts);
    await heir.heard.until('status', phase('training'));
    expect(read.mock.calls.map(([source]) => source)).toEqual([mine]);
    next.open();
    await heir.heard.until('status', phase('finished'));
    expect(after.kept.get(`order ${server.base}`)).toBeNull();
    await after.close();
    profile = after; // the killed one has nothing to say
  });

  it('says that files are too many to be kept, or can no longer be read', async () => {
    const [tab, started] = [profile.tab(server.base), gate()];
    tab.parts.between = async () => (started.open(), new Promise<never>(() => undefined));
    await tab.take(await order({}, files(65 * 2 ** 20)));
    await started.opened;
    expect(profile.kept.get(`order ${server.base}`)).toMatchObject({ source: null });
    expect(String(tab.heard.logs)).toContain('are not kept');
    const other = new Profile();
    const parts = new StandIns();
    parts.readSource = () => Promise.reject(new DOMException('gone', 'NotReadableError'));
    const mover = other.tab(server.base, parts);
    await mover.take(await order({}, files()));
    const { trouble } = await mover.heard.until('trouble');
    expect(trouble).toMatchObject({ code: 'bad_data', mend: 'choose the files again, then press Train' });
    await other.close();
    profile = other;
  });
});

describeWithServer('a server that is killed while a tab trains', () => {
  it('is soon missed by the page, and greeted when it is back', async () => {
    const server = await Server.start();
    const profile = new Profile();
    const tab = profile.tab(server.base);
    const back = gate();
    tab.parts.between = () => back.opened;
    await tab.take({ type: 'train', taskId: await server.task({ rounds: 1 }), name: '', source: drawn });
    await tab.heard.until('status', phase('training'));
    await server.kill();
    await tab.heard.until('trouble', ({ trouble }) => trouble.code === 'no_server');
    await server.run();
    await vi.waitUntil(() => tab.heard.logs.includes('The server is reached again.'), 30_000);
    back.open();
    await tab.heard.until('status', phase('finished'));
    await profile.close();
    await server.stop();
  }, START_MS);
});
