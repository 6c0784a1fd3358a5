/** Who may do what, on a server that asks for tokens. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Connection } from '../../src/node/connection';
import { drawn, phase, Profile } from './profile';
import { describeWithServer, Server, START_MS } from './server';
import { StandIns } from './standins';

const OPERATOR = 'pl_an-operator-of-the-tests';

describeWithServer('a server that takes invited nodes only', () => {
  let server: Server;
  let profile: Profile;
  let taskId: string;
  let invitation: string;
  beforeAll(async () => {
    process.env.POTLUCK_OPERATOR_TOKEN = OPERATOR;
    server = await Server.start('--anonymous-role', 'viewer').finally(() => delete process.env.POTLUCK_OPERATOR_TOKEN);
    taskId = await server.task({ rounds: 1 }, OPERATOR);
    const issued = await server.call('issue_token', { role: 'node', request_id: crypto.randomUUID() }, OPERATOR);
    invitation = String(issued.token);
  }, START_MS);
  afterAll(() => server.stop());
  beforeEach(() => void (profile = new Profile()));
  afterEach(() => profile.close());

  it('shows its tasks to a viewer, who is told how to take part', async () => {
    const tab = profile.tab(server.base);
    const { tasks } = await tab.heard.until('tasks', ({ tasks }) => tasks.some(({ requirements }) => requirements.length > 0));
    expect(tasks[0]?.obstacles).toEqual(['This server takes invited nodes only: open the link of an invitation.']);
    await tab.take({ type: 'train', taskId, name: '', source: drawn });
    await tab.heard.until('status', phase('left'));
    expect(tab.heard.troubles).toEqual(['forbidden']);
  });

  it.each(['http', 'sse'] as const)('refuses a wrong token for good, over %s', async (transport) => {
    const connection = new Connection({ base: server.base, transport, token: 'pl_wrong' });
    await expect(connection.call('get_task', { task_id: taskId })).rejects.toMatchObject({ code: 'unauthorized' });
    connection.close();
  });

  it('tells a tab that its invitation is no good, and takes the one that it is given next', async () => {
    const tab = profile.tab(server.base, new StandIns(), { token: 'pl_wrong' });
    await tab.heard.until('trouble', ({ trouble }) => trouble.code === 'unauthorized');
    await tab.take({ type: 'open', base: server.base, transport: 'http', token: invitation });
    const { tasks } = await tab.heard.until('tasks');
    expect(tasks[0]?.obstacles).toEqual([]);
  });

  it('lets a tab that only looked train, once it is given an invitation', async () => {
    const tab = profile.tab(server.base);
    await tab.heard.until('tasks', ({ tasks }) => tasks.some(({ obstacles }) => String(obstacles).includes('invited')));
    await tab.take({ type: 'open', base: server.base, transport: 'http', token: invitation });
    await tab.heard.until('tasks', ({ tasks }) => tasks.some(({ obstacles }) => obstacles.length === 0));
    expect(tab.parts.opened).toHaveLength(1);
    expect(profile.kept.get(`token ${server.base}`)).toBe(invitation);
    expect(tab.heard.troubles).toEqual([]);
  });

  it('goes on with the invitation of before when a new one is no good', async () => {
    profile.kept.set(`token ${server.base}`, invitation);
    const tab = profile.tab(server.base, new StandIns(), { token: 'pl_garbage' });
    await tab.heard.until('trouble', ({ trouble }) => trouble.code === 'unauthorized');
    await tab.heard.until('tasks', ({ tasks }) => tasks.some(({ obstacles }) => obstacles.length === 0));
    expect(profile.kept.get(`token ${server.base}`)).toBe(invitation);
    expect(profile.kept.get(`offer ${server.base}`)).toBeNull();
    expect(tab.heard.logs).toContain('The server does not take this invitation: the one from before is used.');
  });

  it('keeps an invitation that no server could look at yet, and forgets it with the key when told to', async () => {
    const away = 'http://127.0.0.1:9';
    const tab = profile.tab(away, new StandIns(), { token: invitation });
    await tab.heard.until('trouble', ({ trouble }) => trouble.code === 'no_server');
    expect(profile.kept.get(`offer ${away}`)).toBe(invitation);
    await tab.take({ type: 'close' });
    const next = profile.tab(server.base, new StandIns(), { token: invitation });
    await next.heard.until('tasks', ({ tasks }) => tasks.some(({ obstacles }) => obstacles.length === 0));
    const key = profile.kept.get('key');
    await next.take({ type: 'forget' });
    await next.heard.until('tasks', ({ tasks }) => tasks.some(({ obstacles }) => String(obstacles).includes('invited')));
    expect(profile.kept.has(`token ${server.base}`)).toBe(false);
    expect(profile.kept.has(`order ${server.base}`)).toBe(false);
    expect(profile.kept.get('key')).not.toBe(key);
  });

  it('takes a tab with an invitation, which is kept for the next tab', async () => {
    const tab = profile.tab(server.base, new StandIns(), { token: invitation });
    const { tasks } = await tab.heard.until('tasks');
    expect(tasks[0]?.obstacles).toEqual([]);
    await tab.take({ type: 'close' });
    const next = profile.tab(server.base);
    await next.take({ type: 'train', taskId, name: 'invited', source: drawn });
    await next.heard.until('status', phase('finished'));
    expect(next.heard.troubles).toEqual([]);
  });

  it('says what it does not have', async () => {
    const connection = new Connection({ base: server.base, transport: 'http', token: invitation });
    const reading = connection.readJson('potluck://tasks/task-aaaaaaaaaaaaaaaa');
    await expect(reading).rejects.toMatchObject({ code: 'not_found' });
    connection.close();
  });
});
