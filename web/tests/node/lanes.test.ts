/** Files up and down with a real server, whatever the way. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { sha256, utf8 } from '../../src/node/bytes';
import { Connection } from '../../src/node/connection';
import { identityOf, newPair } from '../../src/node/identity';
import { Lanes } from '../../src/node/lanes';
import { Membership } from '../../src/node/membership';
import type { Fields, Work } from '../../src/node/protocol';
import { Store } from '../../src/node/store';
import { Disk } from './opfs';
import { describeWithServer, Server, START_MS } from './server';
import { parseSafetensors, writeSafetensors } from './standins';

const forever = new AbortController().signal;
const soon = async (): Promise<void> => undefined;

describeWithServer('the lanes', () => {
  let server: Server;
  let connection: Connection;
  let member: Membership;
  let work: Work;
  let payload: Uint8Array<ArrayBuffer>;
  let begin: Fields;
  const disk = new Disk();
  const fetching = globalThis.fetch;
  beforeAll(async () => void (server = await Server.start()), START_MS);
  afterAll(() => server.stop());
  beforeEach(async () => {
    connection = new Connection({ base: server.base, transport: 'http', token: null });
    const capabilities = { runtime: 'browser', device: 'cpu' };
    const audience = new URL(server.base).host;
    member = new Membership(connection, await identityOf(await newPair()), '', audience, capabilities, () => undefined);
    await member.renew();
    const task_id = await server.task({ model: { id: 'mlp', options: { hidden: 1000 } } });
    work = (await member.call('get_assignment', { task_id, own_data: true })) as unknown as Work;
    const whole = await lanes(true).download(work.model, forever);
    payload = writeSafetensors(new Map([...parseSafetensors(whole)].map(([name, tensor]) => [`delta/${name}`, tensor])));
    const { length: size } = payload;
    begin = { task_id, round: 1, base_version: 0, sha256: await sha256(payload), size };
  }, START_MS);
  afterEach(() => {
    globalThis.fetch = fetching;
    connection.close();
  });

  const lanes = (raw: boolean, store?: Store) =>
    new Lanes(server.base, connection, member, store ?? nothing, { raw, chunk_max_bytes: 40_000 }, undefined, soon);
  let nothing: Store;
  beforeAll(async () => void (nothing = await Store.open(null, server.base, () => undefined)));
  const received = async (): Promise<boolean> => Boolean((await member.call('begin_upload', begin)).received);

  it.each([true, false])('bring a model down and an update up, raw: %s', async (raw) => {
    const lane = lanes(raw);
    expect(await sha256(await lane.download(work.model, forever))).toBe(work.model.sha256);
    expect(lane.bytesDown).toBe(work.model.size);
    await lane.upload(begin, payload, forever);
    expect(lane.bytesUp).toBe(payload.length);
    expect(await received()).toBe(true);
  });

  it('take a model that is kept, and fetch a damaged one anew', async () => {
    const store = await Store.open(async () => disk.root, server.base, () => undefined);
    const lane = lanes(true, store);
    await lane.download(work.model, forever);
    await lane.download(work.model, forever);
    expect(lane.bytesDown).toBe(work.model.size);
    for (const [, file] of disk.files()) {
      file.bytes[200] = (file.bytes[200] ?? 0) ^ 1;
    }
    expect(await sha256(await lane.download(work.model, forever))).toBe(work.model.sha256);
    expect(lane.bytesDown).toBe(2 * work.model.size);
  });

  it('go in-band where a proxy lets only MCP through', async () => {
    globalThis.fetch = async (url, init) =>
      String(url).includes('/raw/') ? new Response('<h1>no</h1>', { status: 403 }) : fetching(url, init);
    const lane = lanes(true);
    expect(await sha256(await lane.download(work.model, forever))).toBe(work.model.sha256);
    expect(lane.raw).toBe(false);
    await lane.upload(begin, payload, forever);
    expect(await received()).toBe(true);
  });

  it('go on with what arrived when the connection breaks in the middle', async () => {
    const ranges: (string | null)[] = [];
    globalThis.fetch = async (url, init) => {
      if (!String(url).includes('/raw/')) {
        return fetching(url, init);
      }
      ranges.push(new Headers(init?.headers).get('Range'));
      const response = await fetching(url, init);
      if (ranges.length > 1) {
        return response;
      }
      const bytes = new Uint8Array(await response.arrayBuffer()).slice(0, 1000);
      let sent = false;
      const broken = new ReadableStream({
        pull: (controller) => (sent ? controller.error(new TypeError('reset')) : controller.enqueue(bytes), void (sent = true)),
      });
      return new Response(broken, { status: 200 });
    };
    const lane = lanes(true);
    expect(await sha256(await lane.download(work.model, forever))).toBe(work.model.sha256);
    expect(ranges[0]).toBeNull();
    expect(lane.bytesDown).toBe(work.model.size);
  });

  it('refuse a model that is twice not what its hash says', async () => {
    const other = { ...work.model, sha256: await sha256(utf8('another')) };
    let fetched = 0;
    globalThis.fetch = async (url, init) => {
      fetched += String(url).includes('/raw/') ? 1 : 0;
      return fetching(url, init);
    };
    await expect(lanes(true).download(other, forever)).rejects.toMatchObject({ code: 'hash_mismatch' });
    expect(fetched).toBe(2);
  });

  it.each([true, false])('give up on bytes that are never those announced, raw: %s', async (raw) => {
    const spoilt = payload.slice();
    spoilt[500] = (spoilt[500] ?? 0) ^ 1;
    await expect(lanes(raw).upload(begin, spoilt, forever)).rejects.toMatchObject({ code: 'hash_mismatch' });
    expect(await received()).toBe(false);
  });

  it('wait where the server says "later", for as long as it says', async () => {
    const pauses: number[] = [];
    let refused = false;
    globalThis.fetch = async (url, init) => {
      if (init?.method !== 'PUT' || refused) {
        return fetching(url, init);
      }
      refused = true;
      const error = { code: 'storage_full', problem: 'The disk is full.', mend: 'wait', retry_after_s: 20 };
      return Response.json({ error }, { status: 507 });
    };
    const told: string[] = [];
    const rest = async (seconds: number): Promise<void> => void pauses.push(seconds);
    const terms = { raw: true, chunk_max_bytes: 40_000 };
    const lane = new Lanes(server.base, connection, member, nothing, terms, (why) => told.push(why), rest);
    await lane.upload(begin, payload, forever);
    expect(told).toEqual(['The disk is full.']);
    expect(pauses).toHaveLength(1);
    expect(pauses[0]).toBeGreaterThan(20);
    expect(await received()).toBe(true);
  });

  it('end with the reason of the signal', async () => {
    const stop = new AbortController();
    stop.abort(new Error('enough'));
    await expect(lanes(true).upload(begin, payload, stop.signal)).rejects.toThrow('enough');
    await expect(lanes(true).download(work.model, stop.signal)).rejects.toThrow('enough');
  });
});
