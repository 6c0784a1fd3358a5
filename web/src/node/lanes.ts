/** Models down and updates up: over the raw HTTP lane, or in chunks through MCP where only MCP gets through. */
import { Refused } from '../refused';
import { LATER, Lost, verdictOf } from './answers';
import { sha256, toBase64 } from './bytes';
import type { Connection } from './connection';
import type { Membership } from './membership';
import { atLeast, delays, Patience, sleep, type Sleep } from './patience';
import type { Fields, ModelFile } from './protocol';
import type { Store } from './store';

/** Tries on the raw lane before a transfer goes in-band. */
const ATTEMPTS = 3;
/** Seconds that a transfer may take in all, and for each MiB of it. */
const TRANSFER_S = 60;
const TRANSFER_S_PER_MIB = 20;
/** The smallest part that an upload is cut into, whatever the server says. */
const CHUNK_BYTES = 1024;
/** A download that broke off, or an upload that the server lost, is worth another try. */
const AGAIN: ReadonlySet<string> = new Set(['upload_gone', 'upload_incomplete', 'offset_gap', 'hash_mismatch']);

/** Whoever answered on the raw lane was not Potluck: a proxy that only lets MCP through, say. */
class NoLane extends Error {}

/** What has come so far of a file with an announced size. */
interface Part {
  readonly bytes: Uint8Array<ArrayBuffer>;
  held: number;
}

export class Lanes {
  private failures = 0;
  bytesUp = 0;
  bytesDown = 0;

  constructor(
    private readonly base: string,
    private readonly connection: Connection,
    private readonly member: Pick<Membership, 'call'>,
    private readonly store: Store,
    private readonly terms: { readonly raw: boolean; readonly chunk_max_bytes: number },
    private readonly onWait: (why: string, pauseS: number) => void = () => undefined,
    private readonly rest: Sleep = sleep,
  ) {}

  /** Whether the raw lane is still worth a try: two transfers in a row that had to do without it end that. */
  get raw(): boolean {
    return this.terms.raw && this.failures < 2;
  }

  /** The file of a model version, its hash checked. What is kept already is not fetched again. */
  async download(model: ModelFile, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const kept = await this.store.model(model.sha256);
    if (kept !== null) {
      return kept;
    }
    for (const _ of [1, 2]) {
      const part: Part = { bytes: new Uint8Array(model.size), held: 0 };
      await this.fetchAll(model, part, signal);
      if (part.held === model.size && (await sha256(part.bytes)) === model.sha256) {
        await this.store.keepModel(model.sha256, part.bytes);
        return part.bytes;
      }
    }
    throw new Refused(
      'hash_mismatch',
      `The model that arrived is not the one announced (SHA-256 ${model.sha256.slice(0, 12)}…).`,
      "check the server's disk, and any proxy between it and this tab",
    );
  }

  /** Brings `payload` to the server; its upload id. `begin` is what `begin_upload` is called with. */
  async upload(begin: Fields, payload: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<string> {
    const patience = new Patience(this.onWait, this.rest);
    for (let failures = 0; ; ) {
      const announce = (): Promise<Fields> => this.member.call('begin_upload', begin, { signal });
      const begun = await announce();
      if (begun.received) {
        return String(begun.upload_id);
      }
      try {
        if (!(this.raw && (await this.tryRaw(() => this.put(String(begun.url), payload, signal), announce, signal)))) {
          await this.inBand(begun, payload, signal);
        }
        return String(begun.upload_id);
      } catch (error) {
        if (!(error instanceof Refused)) {
          throw error;
        }
        if (LATER.has(error.code)) {
          await patience.wait(error, signal); // a full disk, say: until there is room, or the round is over
        } else if (!AGAIN.has(error.code) || ++failures === ATTEMPTS) {
          throw error;
        }
      }
    }
  }

  private async fetchAll(model: ModelFile, part: Part, signal: AbortSignal): Promise<void> {
    const patience = new Patience(this.onWait, this.rest);
    for (;;) {
      try {
        if (!(this.raw && (await this.downloadRaw(model, part, signal)))) {
          while (part.held < model.size && (await this.readPiece(model, part, signal)) > 0);
        }
        return;
      } catch (error) {
        if (!(error instanceof Refused) || !LATER.has(error.code)) {
          throw error;
        }
        await patience.wait(error, signal);
      }
    }
  }

  private async downloadRaw(model: ModelFile, part: Part, signal: AbortSignal): Promise<boolean> {
    try {
      const untilBack = (): Promise<number> => this.readPiece(model, part, signal);
      return await this.tryRaw(() => this.get(model, part, signal), untilBack, signal);
    } catch (error) {
      if (!(error instanceof Refused) || LATER.has(error.code) || error.code === 'hash_mismatch') {
        throw error;
      }
      return false; // the URL's day is over, say; the file itself can still be asked for by its hash
    }
  }

  private async get(model: ModelFile, part: Part, signal: AbortSignal): Promise<void> {
    if (part.held === model.size) {
      return;
    }
    const headers: Record<string, string> = part.held ? { Range: `bytes=${part.held}-` } : {};
    const response = await this.fetching(model.url, { headers, cache: 'no-store' }, model.size, signal);
    if (response.status !== 206) {
      part.held = 0;
    }
    try {
      const reader = response.body?.getReader();
      for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
        this.add(part, read.value);
      }
    } catch (error) {
      throw error instanceof Refused ? error : new Lost(String(error));
    }
    if (part.held < model.size) {
      throw new Lost(`${part.held} of ${model.size} bytes arrived`);
    }
  }

  private async readPiece(model: ModelFile, part: Part, signal: AbortSignal): Promise<number> {
    if (part.held === model.size) {
      return 0;
    }
    const bytes = await this.connection.read(`potluck://blobs/${model.sha256}/${part.held}`, { signal });
    this.add(part, bytes);
    return bytes.length;
  }

  private add(part: Part, bytes: Uint8Array): void {
    this.bytesDown += bytes.length;
    if (part.held + bytes.length > part.bytes.length) {
      const problem = `The server sends more than the ${part.bytes.length} bytes that it announced.`;
      throw new Refused('hash_mismatch', problem, 'check the server, and any proxy between it and this tab');
    }
    part.bytes.set(bytes, part.held);
    part.held += bytes.length;
  }

  private async put(url: string, payload: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    const headers = { 'Content-Type': 'application/octet-stream' };
    await this.fetching(url, { method: 'PUT', body: payload, headers }, payload.length, signal);
    this.bytesUp += payload.length;
  }

  private async inBand(begun: Fields, payload: Uint8Array, signal: AbortSignal): Promise<void> {
    const size = Math.min(...[this.terms, begun].map((said) => atLeast(CHUNK_BYTES, said.chunk_max_bytes)));
    for (let offset = Number(begun.next_offset); offset < payload.length; ) {
      const chunk = payload.subarray(offset, offset + size);
      const args = { upload_id: begun.upload_id, offset, data_b64: toBase64(chunk) };
      const next = Number((await this.member.call('upload_chunk', args, { signal })).next_offset);
      this.bytesUp += chunk.length;
      if (!(next > offset)) {
        throw new Refused('offset_gap', `The server took nothing of a part at ${offset}.`, "see the server's log");
      }
      offset = next;
    }
  }

  /** A response of Potluck's that is no refusal. */
  private async fetching(url: string, init: RequestInit, size: number, signal: AbortSignal): Promise<Response> {
    const patience = AbortSignal.timeout((TRANSFER_S + Math.ceil(size / 2 ** 20) * TRANSFER_S_PER_MIB) * 1000);
    let response: Response;
    try {
      const both = AbortSignal.any([signal, patience]);
      response = await fetch(`${this.base}/${url.replace(/^\/+/, '')}`, { ...init, signal: both, credentials: 'omit' });
    } catch (error) {
      signal.throwIfAborted();
      throw new Lost(String(error));
    }
    if (response.ok) {
      return response;
    }
    const { meant, body } = await verdictOf(response);
    const potluck = typeof body === 'object' && body !== null && 'error' in body;
    throw meant instanceof Refused && !potluck && !LATER.has(meant.code) ? new NoLane() : meant;
  }

  /** Whether the raw lane did it; a refusal of Potluck's own is thrown. Where the connection breaks, the server may be
   *  down: `untilBack` asks it something through MCP, which waits for it. So a restart costs a try, and only a lane
   *  that is closed while MCP works is given up. */
  private async tryRaw(
    transfer: () => Promise<void>,
    untilBack: () => Promise<unknown>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const pauses = delays();
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      try {
        await transfer();
        this.failures = 0;
        return true;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof NoLane) {
          this.failures = 2;
          return false;
        }
        if (!(error instanceof Lost)) {
          throw error;
        }
        await this.rest(pauses.next().value, signal);
        await untilBack();
      }
    }
    this.failures += 1;
    return false;
  }
}
