/** The worker's desk: takes the page's commands and tells what comes of them. No failure stays silent. */
import type { Engine } from '../engine/types';
import type { Command, Rehearsal, Report, Trouble } from '../messages';
import { Refused } from '../refused';
import { Connection, type Address } from './connection';
import { Device } from './device';
import type { Folder } from './folder';
import { KEY } from './identity';
import type { Keyring } from './keyring';
import { Node } from './node';
import { orderKey, readOrder, type KeptOrder, type Order } from './order';
import type { Parts } from './parts';
import { onWake } from './patience';
import { cardOf, roundsOf } from './picker';
import type { TaskView } from './protocol';
import { mayTrain, offerKey, tokenKey, type Opening, type Site } from './site';
import { nodeLock, type Locks } from './standing';
import { Store } from './store';
import { Teller, troubleOf } from './teller';
import { Watch, type Channel, type News } from './watch';

/** What the browser gives to pages of a secure origin. */
export interface Browser {
  readonly locks: Locks;
  openKeyring(): Promise<Keyring>;
  /** Null where there is no private file system. */
  readonly files: (() => Promise<Folder>) | null;
  openChannel(name: string): Channel;
}

export type Rehearse = (
  engine: Engine,
  rehearsal: Rehearsal,
  base: string,
  tell: (report: Report) => void,
  signal: AbortSignal,
) => Promise<void>;

export class Desk {
  private readonly tell: Teller;
  private opening: Promise<Site> | null = null;
  /** The one whose news counts. */
  private site: Site | null = null;
  private node: Node | null = null;
  private rehearsal: AbortController | null = null;
  private shown: string | null = null;
  /** The code of why there is no news; null while there is. */
  private lost: string | null = null;
  private stored = '';

  /** `browser`: null where the origin is not secure, for then there is next to nothing. */
  constructor(
    post: (report: Report) => void,
    private readonly parts: Parts,
    private readonly rehearse: Rehearse,
    private readonly browser: Browser | null,
  ) {
    this.tell = new Teller(post);
  }

  async take(command: Command): Promise<void> {
    try {
      await this.obey(command);
    } catch (error) {
      this.tell.trouble(error);
    }
  }

  private async obey(command: Command): Promise<void> {
    if (command.type === 'open') {
      this.opening = this.opening === null ? this.open(command) : this.reopen(command, this.opening);
      const site = await this.opening;
      await this.goOn(site);
      return void (await site.device);
    }
    if (this.opening === null) {
      throw new Refused('internal', 'The page asked before it opened the worker.', 'reload the page');
    }
    const opened = await this.opening;
    switch (command.type) {
      case 'refresh':
        opened.watch.refresh();
        return this.tellStorage(opened.store, true);
      case 'visible':
        opened.watch.visible = command.visible;
        return;
      case 'examine':
        return this.examine(opened, command.taskId, command.source);
      case 'train':
        return this.train(opened, { taskId: command.taskId, name: command.name, source: command.source });
      case 'pause':
        return this.node?.pause();
      case 'resume':
        return this.node?.resume();
      case 'leave':
        return this.node?.leave();
      case 'close':
        await this.node?.close();
        return this.site?.close();
      case 'rehearse':
        return this.startRehearsal(opened, command.rehearsal);
      case 'end_rehearsal':
        return this.rehearsal?.abort(new Refused('stopped', 'The rehearsal was stopped.', 'start it again'));
      case 'clear_storage':
        return this.clear(opened);
      case 'forget':
        return this.forget(opened);
    }
  }

  private async open(opening: Opening, held?: Promise<Device>): Promise<Site> {
    const { base: given, transport, token: invitation } = opening;
    const { browser, tell, parts } = this;
    if (browser === null) {
      const problem = 'Browsers give neither storage, keys nor WebGPU to a page that came over plain HTTP.';
      throw new Refused('insecure', problem, 'open it by https://, or on the server itself as http://127.0.0.1');
    }
    const base = given.replace(/\/+$/, '');
    const keyring = await browser.openKeyring();
    if (invitation !== undefined) {
      await keyring.put(offerKey(base), invitation);
    }
    const offer = (await keyring.get<string | null>(offerKey(base))) ?? null;
    const token = offer ?? (await keyring.get<string>(tokenKey(base))) ?? null;
    const address: Address = { base, transport, token };
    // What is read for people comes over plain calls, whatever the node's own transport.
    const connection = new Connection({ ...address, transport: 'http' });
    const sleepless = onWake(() => connection.wake());
    const store = await Store.open(browser.files, base, (trouble) => tell.report({ type: 'trouble', trouble }));
    const watch = new Watch(
      connection,
      browser.locks,
      browser.openChannel(`potluck ${base}`),
      base,
      (news) => void this.hear(site, news),
      (trouble) => void this.lose(site, trouble),
    );
    const device = held ?? Device.open(parts, base, tell, keyring, opening.force);
    const close = (): void => {
      sleepless();
      watch.close();
      connection.close();
    };
    const known = { engine: null, mayTrain: null, offered: offer !== null };
    const site: Site = { opening, address, connection, keyring, store, watch, device, close, ...known };
    this.site = site;
    this.lost = null;
    device.then(
      ({ engine }) => {
        site.engine = engine.report;
        watch.refresh();
      },
      () => undefined, // told where it is waited for
    );
    return site;
  }

  /** An invitation that comes later takes the place of the one before. */
  private async reopen(command: Opening, opening: Promise<Site>): Promise<Site> {
    const site = await opening;
    if (command.token === undefined) {
      return site;
    }
    if (this.node !== null) {
      this.tell.trouble(new Refused('busy', 'This tab is at work with the invitation it has.', 'leave the task first'));
      return site;
    }
    return this.again(site, command);
  }

  /** Opens the server anew, with the device that is there. */
  private again(site: Site, opening: Opening): Promise<Site> {
    site.close();
    return (this.opening = this.open(opening, site.device));
  }

  /** A tab that was closed, or crashed, left its work behind. */
  private async goOn(site: Site): Promise<void> {
    const order = await site.keyring.get<KeptOrder | null>(orderKey(site.address.base));
    if (!order || this.node !== null) {
      return;
    }
    if (order.source === null) {
      return this.tell.log('This browser was at work on a task: choose it, and give your files again, to go on.');
    }
    this.tell.log('Going on with the task that this browser was working on.');
    this.train(site, { ...order, source: order.source });
  }

  /** The node is there when this returns: what is said next, to leave say, is said to it. */
  private train({ address, keyring, store, watch, device }: Site, order: Order): void {
    if (this.node !== null) {
      if (!this.node.replace(order)) {
        throw new Refused('busy', 'This tab is at work, with the data that it was given.', 'leave the task first');
      }
      return this.show(watch, order.taskId);
    }
    const { locks } = this.browserAt();
    void navigator.storage?.persist?.().catch(() => false); // else the browser may clear what is kept when it likes
    const node = new Node({ address, parts: this.parts, device, keyring, store, locks, tell: this.tell }, order);
    this.node = node;
    this.show(watch, order.taskId);
    void node.run().finally(() => {
      this.node = null;
      this.site?.watch.refresh();
      void this.tellStorage(store, true);
    });
  }

  private async examine(opened: Site, taskId: string, source: Order['source']): Promise<void> {
    const { connection, address, watch } = opened;
    if (this.node === null) {
      this.show(watch, taskId); // a node at work keeps its own task's rounds in sight
    }
    const task = (await connection.readJson(`potluck://tasks/${taskId}`)) as TaskView;
    const { y } = await readOrder(this.parts, source, task, address.base);
    const perClass = new Array<number>(task.num_classes).fill(0);
    y.forEach((label) => (perClass[label] = (perClass[label] ?? 0) + 1));
    this.tell.report({ type: 'examined', examples: y.length, perClass });
  }

  private async startRehearsal({ device, address }: Site, rehearsal: Rehearsal): Promise<void> {
    if (this.rehearsal !== null) {
      throw new Refused('busy', 'A rehearsal is running.', 'stop it first');
    }
    const stop = new AbortController();
    this.rehearsal = stop;
    try {
      const held = await device;
      if (held.lost.aborted) {
        await held.reopen();
      }
      await this.rehearse(held.engine, rehearsal, address.base, (report) => this.tell.report(report), stop.signal);
    } catch (error) {
      if (!stop.signal.aborted) {
        throw error;
      }
    } finally {
      this.rehearsal = null;
    }
  }

  private async clear({ store, address }: Site, more: () => Promise<unknown> = async () => undefined): Promise<void> {
    const { locks } = this.browserAt();
    const cleared = await locks.request(nodeLock(address.base), { ifAvailable: true }, async (lock) => {
      await (lock && Promise.all([store.clear(), more()]));
      return lock !== null;
    });
    if (!cleared) {
      const problem = 'A tab of this browser is at work, and its work is kept here.';
      throw new Refused('busy', problem, 'leave the task in that tab first');
    }
    await this.tellStorage(store, true);
  }

  /** To the server, this browser is a stranger after this. */
  private async forget(site: Site): Promise<void> {
    const { keyring, opening, address } = site;
    const names = [KEY, tokenKey(address.base), offerKey(address.base), orderKey(address.base)];
    await this.clear(site, () => Promise.all(names.map((name) => keyring.remove(name))));
    const { token: _, ...uninvited } = opening;
    await this.again(site, uninvited);
    this.tell.log('Key, invitation and order are forgotten: to the server this browser is a new node.');
  }

  private show(watch: Watch, taskId: string): void {
    this.shown = taskId;
    watch.look(taskId);
  }

  private async hear(site: Site, news: News): Promise<void> {
    const { keyring, store, address } = site;
    try {
      site.mayTrain ??= await mayTrain(site);
    } catch (error) {
      return this.lose(site, troubleOf(error));
    }
    if (site !== this.site || site.mayTrain === null) {
      return; // the next news tell
    }
    if (site.offered) {
      site.offered = false;
      await keyring.put(tokenKey(address.base), address.token);
      await keyring.put(offerKey(address.base), null);
    }
    if (this.lost !== null) {
      this.lost = null;
      this.tell.log('The server is reached again.');
    }
    const obstacle = site.mayTrain ? null : 'This server takes invited nodes only: open the link of an invitation.';
    const tasks = news.tasks.map((task) => {
      const view = news.views[task.task_id] ?? null;
      return cardOf(task, view, this.parts, obstacle, site.engine, news.classNames[task.data]);
    });
    this.tell.report({ type: 'tasks', tasks });
    const view = this.shown === null ? undefined : news.views[this.shown];
    if (view !== undefined) {
      this.tell.report({ type: 'rounds', taskId: view.task_id, rounds: roundsOf(view) });
    }
    await this.tellStorage(store, false);
  }

  /** There is no news. An invitation that the server does not take is forgotten, and makes room for the one before. */
  private async lose(site: Site, trouble: Trouble): Promise<void> {
    if (site !== this.site) {
      return;
    }
    if (this.lost !== trouble.code) {
      this.lost = trouble.code;
      this.tell.report({ type: 'trouble', trouble });
    }
    if (trouble.code === 'unauthorized' && site.offered && this.node === null) {
      site.offered = false;
      const { keyring, opening, address } = site;
      await keyring.put(offerKey(address.base), null);
      if (await keyring.get(tokenKey(address.base))) {
        const { token: _, ...before } = opening;
        await this.again(site, before);
        this.tell.log('The server does not take this invitation: the one from before is used.');
      }
    }
  }

  private async tellStorage(store: Store, always: boolean): Promise<void> {
    const storage = await store.report();
    const text = JSON.stringify(storage.files);
    if (always || text !== this.stored) {
      this.stored = text;
      this.tell.report({ type: 'storage', storage });
    }
  }

  private browserAt(): Browser {
    if (this.browser === null) {
      throw new Refused('insecure', 'This page has no secure origin.', 'open it by https://');
    }
    return this.browser;
  }
}
