import { expect, it } from 'vitest';
import type { Engine } from '../../src/engine/types';
import type { Rehearsal } from '../../src/messages';
import { Desk } from '../../src/node/desk';
import { Profile } from '../node/profile';
import { Heard, StandIns } from '../node/standins';

it('rehearses on a new device after the one before was lost', async () => {
  const [heard, parts, engines] = [new Heard(), new StandIns(), [] as Engine[]];
  const desk = new Desk(heard.post, parts, async (engine) => void engines.push(engine), new Profile().browser);
  const rehearse = () => desk.take({ type: 'rehearse', rehearsal: {} as Rehearsal });
  void desk.take({ type: 'open', base: 'http://127.0.0.1:9/', transport: 'http' }); // nobody is there
  await rehearse();
  await rehearse();
  expect(engines[1]).toBe(engines[0]);
  parts.lose('unplugged');
  await engines[0]?.lost;
  await rehearse();
  expect(parts.opened).toHaveLength(2);
  expect(engines).toHaveLength(3);
  expect(engines[2]).not.toBe(engines[0]);
  expect(heard.troubles).toContain('device_lost');
  await desk.take({ type: 'close' });
});
