/** A node's whole life with a real server. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { drawn, phase, Profile } from './profile';
import { describeWithServer, Server, START_MS } from './server';
import { StandIns } from './standins';

describeWithServer('a tab that trains', () => {
  let server: Server;
  let profile: Profile;
  beforeAll(async () => void (server = await Server.start()), START_MS);
  afterAll(() => server.stop());
  beforeEach(() => void (profile = new Profile()));
  afterEach(() => profile.close());

  const order = async (spec = {}) => ({ type: 'train', taskId: await server.task(spec), name: 'a tab', source: drawn }) as const;
  const versionOf = async (taskId: string) => (await server.call('get_task', { task_id: taskId })).version;

  it('trains every round, scores what it received and the last model, and leaves nothing behind', async () => {
    const train = await order();
    const tab = profile.tab(server.base);
    await tab.take(train);
    const { status } = await tab.heard.until('status', phase('finished'));
    expect(tab.heard.troubles).toEqual([]);
    expect(status).toMatchObject({ roundsGiven: 2, numRounds: 2, examples: 16, heldOut: 4 });
    const task = await server.call('get_task', { task_id: train.taskId });
    expect(task).toMatchObject({ state: 'finished', version: 2 });
    expect(task.rounds).toMatchObject([
      { submitted: 1, node_accuracy: 0.5 },
      { submitted: 1, node_accuracy: 0.5 },
    ]);
    expect([...profile.disk.files().keys()].filter((path) => path.includes(train.taskId))).toEqual([]);
    expect([...profile.kept.keys()].filter((name) => name !== 'key')).toEqual([`order ${server.base}`]);
    expect(profile.kept.get(`order ${server.base}`)).toBeNull();
  });

  it('brings an update that is too large for a call over the raw lane', async () => {
    const train = await order({ model: { id: 'mlp', options: { hidden: 1200 } } });
    const tab = profile.tab(server.base);
    await tab.take(train);
    const { status } = await tab.heard.until('status', phase('finished'));
    expect(status.bytesUp).toBeGreaterThan(2 * 65_536);
    expect(await versionOf(train.taskId)).toBe(2);
  });

  it('speaks the older transport over server-sent events', async () => {
    const train = await order({ rounds: 1 });
    const tab = profile.tab(server.base, new StandIns(), { transport: 'sse' });
    await tab.take(train);
    await tab.heard.until('status', phase('finished'));
    expect(await versionOf(train.taskId)).toBe(1);
    expect(tab.heard.troubles).toEqual([]);
  });

  it('stops at a pause, and goes on from there', async () => {
    const train = await order({ rounds: 1, training: { batch_size: 1 } });
    const tab = profile.tab(server.base);
    let steps = 0;
    tab.parts.between = async () => {
      steps += 1;
      await (steps === 6 ? tab.take({ type: 'pause' }) : undefined);
    };
    await tab.take(train);
    await tab.heard.until('status', phase('paused'));
    expect([...profile.disk.files().keys()]).toContain(`potluck/${train.taskId}/training`);
    await tab.take({ type: 'resume' });
    await tab.heard.until('status', phase('finished'));
    expect(tab.heard.logs).toContain('Round 1: going on after step 5 of 16.');
    expect(steps).toBe(17); // one of them was only begun
    expect(await versionOf(train.taskId)).toBe(1);
  });

  it('goes on from its checkpoint on another device when this one is lost', async () => {
    const train = await order({ rounds: 1, training: { batch_size: 1 } });
    const tab = profile.tab(server.base);
    let pausedOnce = false;
    tab.parts.between = async (step) => {
      if (step === 3 && !pausedOnce) {
        pausedOnce = true;
        await tab.take({ type: 'pause' }); // which writes a checkpoint
      } else if (step === 6 && tab.parts.opened.length === 1) {
        tab.parts.lose('unplugged');
        await new Promise(() => undefined); // what a lost device was asked never comes
      }
    };
    await tab.take(train);
    await tab.heard.until('status', phase('paused'));
    await tab.take({ type: 'resume' });
    await tab.heard.until('status', phase('finished'));
    expect(tab.heard.troubles).toEqual(['device_lost']);
    expect(tab.heard.logs.filter((text) => text.includes('going on after step 3'))).toHaveLength(2);
    expect(tab.heard.reports.filter(({ type }) => type === 'ready')).toHaveLength(2);
    expect(await versionOf(train.taskId)).toBe(1);
  });

  it('says goodbye when it leaves, and the round need not wait', async () => {
    const train = await order({ rounds: 1, cohort: { size: 2, min_nodes: 2, quorum: 1 } });
    const other = new Profile();
    const [leaver, stayer] = [profile.tab(server.base), other.tab(server.base)];
    leaver.parts.between = () => leaver.take({ type: 'leave' });
    await Promise.all([leaver.take(train), stayer.take(train)]);
    await leaver.heard.until('status', phase('left'));
    await stayer.heard.until('status', phase('finished'));
    expect(await versionOf(train.taskId)).toBe(1);
    await other.close();
  });

  it('has a goodbye ready that a closing page can send in one request', async () => {
    const train = await order({ rounds: 1, cohort: { size: 2, min_nodes: 2 } });
    const tab = profile.tab(server.base);
    await tab.take(train);
    await tab.heard.until('status', phase('waiting'));
    expect((await server.call('get_task', { task_id: train.taskId })).nodes).toMatchObject([{ at_hand: true }]);
    const { letter } = await tab.heard.until('goodbye');
    await fetch(letter?.url ?? '', { method: 'POST', headers: { ...letter?.headers }, body: letter?.body ?? '' });
    // Its long poll is at hand again as soon as it asks; the goodbye was heard before that.
    await server.until(train.taskId, ({ nodes }) => (nodes as { at_hand: boolean }[])[0]?.at_hand === false);
  });

  it('is one node in all tabs of a profile: another tab waits, and takes over when the first is closed', async () => {
    const train = await order({ rounds: 1, training: { batch_size: 1 } });
    const first = profile.tab(server.base);
    let closing: Promise<void> | null = null;
    let go: () => void = () => undefined;
    first.parts.between = async (step) => {
      if (step === 0) {
        await new Promise<void>((resolve) => (go = resolve));
      } else if (step === 4) {
        closing = first.take({ type: 'close' });
      }
    };
    await first.take(train);
    await first.heard.until('status', phase('training'));
    const second = profile.tab(server.base); // it is told of the work by what the profile keeps
    await second.heard.until('status', phase('elsewhere'));
    go();
    await second.heard.until('status', phase('finished'));
    await closing;
    expect(second.heard.logs).toContain('Round 1: going on after step 4 of 16.');
    const task = await server.call('get_task', { task_id: train.taskId });
    expect(task.rounds).toMatchObject([{ submitted: 1, selected: 1 }]);
    expect(task.nodes).toHaveLength(1);
  });

  it('drops the work when the round goes on without it, and asks for the next', async () => {
    const train = await order({ rounds: 2, deadline_s: 1, lease_s: 3 });
    const tab = profile.tab(server.base);
    let held = false;
    tab.parts.between = async () => {
      if (!held) {
        held = true; // until the round is over
        await server.until(train.taskId, ({ round }) => round === 2);
      }
    };
    await tab.take(train);
    await tab.heard.until('status', phase('finished'));
    expect(tab.heard.logs.some((text) => text.startsWith('Round 1 went on without this node'))).toBe(true);
    expect(await versionOf(train.taskId)).toBe(1);
  });

  it('says in words that another process has its key', async () => {
    const train = await order({ rounds: 1, cohort: { size: 2, min_nodes: 2 } });
    const tab = profile.tab(server.base);
    await tab.take(train);
    await tab.heard.until('status', phase('waiting'));
    const thief = new Profile();
    thief.kept.set('key', profile.kept.get('key'));
    const other = thief.tab(`${server.base}/.`); // another address of the same server: another lock
    await other.take(train);
    const { status } = await tab.heard.until('status', phase('left'));
    expect(status.text).toContain('Another process');
    expect(tab.heard.troubles).toContain('fenced');
    await thief.close();
  });

  it('refuses a task whose model it does not know, and says so', async () => {
    const train = await order({ model: { id: 'logistic' } });
    const tab = profile.tab(server.base);
    await tab.take(train);
    const { trouble } = await tab.heard.until('trouble');
    expect(trouble).toMatchObject({ code: 'incompatible_node' });
    expect(trouble.problem).toContain('logistic');
  });

  it('tells of a training that fails in any way', async () => {
    const train = await order();
    const tab = profile.tab(server.base);
    tab.parts.between = () => Promise.reject(new RangeError('no such thing'));
    await tab.take(train);
    const { trouble } = await tab.heard.until('trouble');
    expect(trouble.problem).toBe('RangeError: no such thing');
    await tab.heard.until('status', phase('left'));
  });
});

describeWithServer('a server that goes away', () => {
  let server: Server;
  let profile: Profile;
  beforeEach(async () => {
    server = await Server.start();
    profile = new Profile();
  }, START_MS);
  afterEach(async () => {
    await profile.close();
    await server.stop();
  });

  it('costs a training node nothing: it is told when the server is back, once', async () => {
    const taskId = await server.task({ rounds: 1 });
    const tab = profile.tab(server.base);
    let died = false;
    tab.parts.between = async (step) => {
      if (step === 2 && !died) {
        died = true;
        await server.kill();
        void tab.heard.until('status', phase('away')).then(() => server.run());
      }
    };
    await tab.take({ type: 'train', taskId, name: '', source: drawn });
    await tab.heard.until('status', phase('finished'));
    const task = await server.call('get_task', { task_id: taskId });
    expect(task.rounds).toMatchObject([{ submitted: 1, state: 'closed' }]);
  });

  it('is waited for by an update on the raw lane, which arrives once', async () => {
    const taskId = await server.task({ rounds: 1, model: { id: 'mlp', options: { hidden: 1200 } } });
    const tab = profile.tab(server.base);
    const real = globalThis.fetch;
    let puts = 0;
    globalThis.fetch = async (url, init) => {
      if (init?.method === 'PUT' && (puts += 1) === 1) {
        await server.kill();
        void tab.heard.until('status', phase('away')).then(() => server.run());
      }
      return real(url, init);
    };
    try {
      await tab.take({ type: 'train', taskId, name: '', source: drawn });
      await tab.heard.until('status', phase('finished'));
    } finally {
      globalThis.fetch = real;
    }
    expect(puts).toBe(2);
    const task = await server.call('get_task', { task_id: taskId });
    expect(task.rounds).toMatchObject([{ submitted: 1, state: 'closed' }]);
  });
});
