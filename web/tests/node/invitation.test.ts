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
