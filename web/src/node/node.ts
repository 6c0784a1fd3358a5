/** A node's life: shake hands, ask for work, train, send what changed, ask again. The data stays where it is. */
import { part } from '../part';
import { Refused } from '../refused';
import { MISSED } from './answers';
import type { Asking } from './asking';
import { capabilitiesOf } from './capabilities';
import { Connection, type Address } from './connection';
import type { Device } from './device';
import { openIdentity } from './identity';
import type { Keyring } from './keyring';
import type { Labour } from './labour';
import { Membership } from './membership';
import { keepOrder, orderKey, readOrder, type KeptOrder, type Order } from './order';
import { obstaclesOf } from './picker';
import type { Parts } from './parts';
import { onWake, sleep, unless } from './patience';
import type { NoWork, TaskView, Work } from './protocol';
import { takesShare } from './share';
import { alone, nodeLock, type Locks } from './standing';
import type { Store } from './store';
import { IDLE, troubleOf, type Teller } from './teller';

/** How long a node that leaves tries to say so, in seconds. */
const GOODBYE_S = 1.5;

/** What a node lives on. */
export interface Place {
  readonly address: Address;
  readonly parts: Parts;
  readonly device: Promise<Device>;
  readonly keyring: Keyring;
  readonly store: Store;
  readonly locks: Locks;
  readonly tell: Teller;
}

/** One participant of one task, from `run` to the end of the task or `leave`. */
export class Node {
  private readonly leaving = new AbortController();
  private pausing = new AbortController();
  private resumed: () => void = () => undefined;
  /** Whether it is this tab's turn: the order stands. */
  private begun = false;
  private paused = false;
  private closing = false;
  private over: Promise<void> = Promise.resolve();
  private farewell: (() => Promise<unknown>) | null = null;

  constructor(
    private readonly place: Place,
    private order: Order,
  ) {}

  /** Works until the task is over or a person says to leave. What goes wrong is told, not thrown. */
  run(): Promise<void> {
    return (this.over = this.live());
  }

  /** Whether another order took the place of this one, with which the node was still waiting. */
  replace(order: Order): boolean {
    if (!this.begun) {
      this.order = order;
      this.place.tell.status({ taskId: order.taskId });
    }
    return !this.begun;
  }

  private async live(): Promise<void> {
    const { address, locks, tell, keyring } = this.place;
    const { signal } = this.leaving;
    tell.status({ ...IDLE, phase: 'joining', text: 'Joining the task.', taskId: this.order.taskId });
    const keptTask = async (): Promise<string | undefined> =>
      (await keyring.get<KeptOrder | null>(orderKey(address.base)))?.taskId;
    let working: Promise<string | undefined> | null = null;
    const onTaken = (): void => {
      working = keptTask();
      const text = 'Another tab of this browser is the node; this one takes over when it closes.';
      tell.status({ phase: 'elsewhere', text });
    };
    try {
      await alone(locks, nodeLock(address.base), signal, onTaken, async () => {
        const { taskId } = this.order;
        if ((await working) === taskId && (await keptTask()) !== taskId) {
          throw new Refused('left', 'The task was left, or is over, in the other tab.', 'join again if you like');
        }
        await this.participate();
      });
    } catch (error) {
      if (signal.aborted) {
        tell.status({ phase: 'left', text: 'This tab has left the task.', deadlineAt: null });
      } else {
        const { code, problem } = tell.trouble(error);
        const text = code === 'fenced' ? 'Another process has shaken hands with the key of this node.' : problem;
        tell.status({ phase: 'left', text, deadlineAt: null });
      }
    }
  }

  /** Stops the training at its next step; what it did is kept. The server waits as long as the lease lasts. */
  pause(): void {
    this.paused = true;
    this.pausing.abort(new Refused('paused', 'This node is paused.', 'resume'));
  }

  resume(): void {
    this.paused = false;
    this.resumed();
  }

  leave(): void {
    this.leaving.abort(new Refused('left', 'This node has left.', 'join again'));
  }

  /** The tab is being closed: a goodbye, so that the round need not wait for this node; its work stays kept. */
  async close(): Promise<void> {
    this.closing = true;
    this.leave();
    await this.over;
  }

  private async participate(): Promise<void> {
    const { address, parts, keyring, store, tell } = this.place;
    const { signal } = this.leaving;
    signal.throwIfAborted();
    this.begun = true;
    const { taskId, name, source } = this.order;
    const onWait = (why: string, pauseS: number): void => tell.log(`${why} Again in ${pauseS.toFixed(1)} s.`);
    let before = tell.standing;
    const onLost = (why: string, pauseS: number): void => {
      before = tell.standing.phase === 'away' ? before : tell.standing;
      tell.status({ phase: 'away', text: `No answer from the server (${why}); again in ${pauseS.toFixed(1)} s.` });
    };
    const onBack = (): void => tell.status({ phase: before.phase, text: before.text });
    const connection = new Connection(address, onLost, onBack);
    const sleepless = onWake(() => connection.wake());
    let close = (): void => undefined;
    try {
      const device = await unless(signal, this.place.device);
      const identity = await openIdentity(keyring);
      const audience = new URL(address.base).host;
      const capabilities = capabilitiesOf(device.engine.report, parts.models);
      const leaving = { task_id: taskId, round: 1, phase: 'leaving' }; // any round will do
      const onRenewed = (): void => tell.report({ type: 'goodbye', letter: member.letter('report_progress', leaving) });
      const asWho = [connection, identity, name, audience, capabilities] as const;
      const member: Membership = new Membership(...asWho, onWait, onRenewed);
      close = () => member.close();
      const terms = await member.renew(signal);
      tell.status({ nodeId: member.nodeId });
      const unkept = await keepOrder(keyring, address.base, this.order);
      if (unkept !== null) {
        tell.log(unkept);
      }
      const task = (await connection.readJson(`potluck://tasks/${taskId}`, { signal })) as TaskView;
      const [obstacle] = obstaclesOf(task, task.spec, parts.models);
      if (obstacle !== undefined && task.state !== 'finished') {
        throw new Refused('incompatible_node', obstacle, 'choose another task');
      }
      const examples = await unless(signal, readOrder(parts, source, task, address.base));
      await store.sweep();
      signal.throwIfAborted();
      const loading = Promise.all([part(import('./craft')), parts.craft()]);
      const [{ Asking, Delivery, Labour, Lanes }, craft] = await unless(signal, loading);
      const lanes = new Lanes(address.base, connection, member, store, terms.lanes, onWait);
      const delivery = new Delivery(member, lanes, store, taskId, terms.lanes.inline_max_bytes);
      const shared = takesShare(task.spec, source);
      const heartbeatS = terms.heartbeat_s;
      const shop = { parts, craft, device, member, lanes, delivery, store, tell, examples, shared, heartbeatS };
      const labour = new Labour(shop);
      const asking = new Asking(member, taskId, !shared, terms.limits.max_wait_s, tell);
      this.farewell = () => member.call('report_progress', leaving, { once: true });
      const last = await this.sessions(device, asking, labour);
      await store.forget(taskId);
      const reason = ('reason' in last && last.reason) || `The task is ${last.task_state}.`;
      tell.status({ phase: 'finished', text: `${reason} Updates given: ${delivery.rounds}.`, deadlineAt: null });
    } catch (error) {
      // If a goodbye cannot be said quickly, the lease ends by itself.
      const bye = this.farewell?.();
      await (bye && unless(AbortSignal.timeout(GOODBYE_S * 1000), bye).catch(() => undefined));
      throw error;
    } finally {
      if (!this.closing) {
        await keyring.put(orderKey(address.base), null).catch((error: unknown) => void tell.trouble(error));
      }
      tell.report({ type: 'goodbye', letter: null });
      sleepless();
      close();
      connection.close();
    }
  }

  /** Works, through pauses and lost devices, until there is no more to do; the last assignment. */
  private async sessions(device: Device, asking: Asking, labour: Labour): Promise<Work | NoWork> {
    const { tell } = this.place;
    for (;;) {
      await this.whilePaused();
      const { signal: pause } = this.pausing;
      const signal = AbortSignal.any([this.leaving.signal, pause, device.lost]);
      try {
        return await this.work(asking, labour, signal);
      } catch (error) {
        if (this.leaving.signal.aborted) {
          throw error;
        } else if (device.lost.aborted) {
          await device.reopen();
        } else if (!pause.aborted) {
          throw error;
        }
        tell.log(troubleOf(error).problem);
      }
    }
  }

  private async whilePaused(): Promise<void> {
    this.pausing = new AbortController();
    if (this.paused) {
      const { tell } = this.place;
      const inRound = tell.standing.deadlineAt !== null;
      const text = inRound ? 'Paused. The server waits for this node as long as its lease lasts.' : 'Paused.';
      tell.status({ phase: 'paused', text });
      await unless(this.leaving.signal, new Promise<void>((resolve) => (this.resumed = resolve)));
    }
  }

  private async work(asking: Asking, labour: Labour, signal: AbortSignal): Promise<Work | NoWork> {
    let assignment = await asking.first(signal);
    labour.holds(assignment);
    await labour.settle(assignment, signal);
    while (assignment.action !== 'finished') {
      try {
        if (assignment.action === 'train') {
          assignment = await labour.train(assignment, signal);
          continue;
        }
        if (assignment.action === 'evaluate' && !(await labour.evaluate(assignment, signal))) {
          return assignment;
        }
      } catch (error) {
        if (signal.aborted || !(error instanceof Refused) || !MISSED.has(error.code)) {
          throw error;
        }
        await labour.forget(assignment.task_id);
        this.place.tell.log(`Round ${labour.round} went on without this node: ${error.problem}`);
        await sleep(1, signal);
      }
      assignment = await asking.next(signal);
      labour.holds(assignment);
    }
    return assignment;
  }
}
