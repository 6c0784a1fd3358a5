import { expect, it } from 'vitest';
import type { Report, RoundReport, Trouble } from '../../src/messages';
import { Channel } from '../../src/page/channel';
import { drawn } from '../../src/page/drawn';

const round: RoundReport = { round: 1, accuracy: 0.5, loss: 1, seconds: 1, updates: 1 };
const rounds: Report = { type: 'rounds', taskId: 'task-a', rounds: [round] };
const status = { type: 'status', status: { taskId: 'task-a' } } as Report;

/** Charts that keep what they hear. */
function hearing(): { heard: string[]; code: { charts(channel: Channel): void } } {
  const heard: string[] = [];
  const charts = (channel: Channel): void =>
    (['status', 'step', 'rounds'] as const).forEach((type) => channel.on(type, () => heard.push(type)));
  return { heard, code: { charts } };
}

const unexpected = (trouble: Trouble): void => expect.unreachable(trouble.problem);

it('brings the curves with the first round, and tells them what came before and after', async () => {
  const channel = new Channel(() => undefined);
  const { heard, code } = hearing();
  let arrive = (_: typeof code): void => undefined;
  const loading = new Promise<typeof code>((resolve) => (arrive = resolve));
  let loads = 0;
  drawn(channel, () => ((loads += 1), loading), unexpected);
  channel.tell(status);
  expect(loads).toBe(0);
  channel.tell(rounds);
  channel.tell(rounds);
  arrive(code);
  await expect.poll(() => heard).toEqual(['status', 'rounds', 'rounds']);
  channel.tell(status);
  expect(heard).toEqual(['status', 'rounds', 'rounds', 'status']);
  expect(loads).toBe(1);
});

it('says when the curves cannot be had, and tries again with the next report', async () => {
  const channel = new Channel(() => undefined);
  const { heard, code } = hearing();
  const troubles: string[] = [];
  const answers = [Promise.reject(new TypeError('cut off')), Promise.resolve(code)];
  drawn(channel, () => answers.shift() ?? Promise.reject(new Error('asked too often')), ({ code: kind }) => troubles.push(kind));
  channel.tell(rounds);
  await expect.poll(() => troubles).toEqual(['no_server']);
  channel.tell(rounds);
  await expect.poll(() => heard).toEqual(['rounds', 'rounds']);
});
