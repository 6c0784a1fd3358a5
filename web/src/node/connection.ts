/** An MCP client that outlives its connection: every tool may be repeated, so a lost answer is asked for again. */
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { Letter } from '../messages';
import { Refused } from '../refused';
import { Lost, meaning, resultOf, verdictOf } from './answers';
import { fromBase64 } from './bytes';
import { delays, sleep } from './patience';
import type { Fields } from './protocol';

/** Seconds in which a server must accept a connection and agree on a protocol version. */
const CONNECT_S = 30;
/** After waking, a line that has been silent for so long is taken for dead, in milliseconds. */
const SILENT_MS = 15_000;
const CLIENT = { name: 'potluck-edge', version: '0.1.0' };
/** On these the status counts, whatever the body says. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504]);

export interface Address {
  /** What stands before `/mcp`, without a slash at its end. */
  readonly base: string;
  readonly transport: 'http' | 'sse';
  readonly token: string | null;
}

export interface Asked {
  /** Of one attempt. */
  readonly timeoutS?: number;
  /** There is but one attempt: what is said every few seconds is not repeated. */
  readonly once?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** One live client. */
interface Line {
  readonly client: Promise<Client>;
  close(): void;
}

export class Connection {
  private line: Line | null = null;
  private known = false;
  private wakeUp = new AbortController();
  private heardAt = Date.now();

  /** `onLost` is told the problem and the pause in seconds before each new attempt, `onBack` of the answer after it. */
  constructor(
    private readonly address: Address,
    private readonly onLost: (why: string, pauseS: number) => void = () => undefined,
    private readonly onBack: () => void = () => undefined,
    private readonly pauses: () => Iterator<number> = delays,
  ) {}

  /** The structured result of a tool. Throws `Refused` where the server says no, and `Lost` only with `once`. */
  async call(tool: string, args: Fields, asked: Asked = {}): Promise<Fields> {
    const timeout = (asked.timeoutS ?? 60) * 1000;
    const options = { timeout, ...(asked.signal && { signal: asked.signal }) };
    return resultOf(await this.ask((client) => client.callTool({ name: tool, arguments: args }, options), asked));
  }

  /** The bytes of a resource. */
  async read(uri: string, asked: Asked = {}): Promise<Uint8Array<ArrayBuffer>> {
    const options = { cacheMode: 'bypass' as const, ...(asked.signal && { signal: asked.signal }) };
    const { contents } = await this.ask((client) => client.readResource({ uri }, options), asked);
    const content = contents[0];
    if (content === undefined) {
      throw new Refused('internal', `The server sent nothing for ${uri}.`, "see the server's log");
    }
    return 'blob' in content ? fromBase64(content.blob) : new TextEncoder().encode(content.text);
  }

  async readJson(uri: string, asked: Asked = {}): Promise<unknown> {
    return JSON.parse(new TextDecoder().decode(await this.read(uri, asked)));
  }

  /** A call as one POST of its own, for a page that goes: it has no time for a client. Its answer is for nobody. */
  letter(tool: string, args: Fields): Letter {
    const { base, token } = this.address;
    const version = '2026-07-28';
    const meta = 'io.modelcontextprotocol';
    const _meta = {
      [`${meta}/protocolVersion`]: version,
      [`${meta}/clientInfo`]: CLIENT,
      [`${meta}/clientCapabilities`]: {},
    };
    return {
      url: `${base}/mcp`,
      headers: {
        Accept: 'application/json, text/event-stream',
        'Content-Type': 'application/json',
        'Mcp-Protocol-Version': version,
        'Mcp-Method': 'tools/call',
        'Mcp-Name': tool,
        ...(token && { Authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: tool, arguments: args, _meta },
      }),
    };
  }

  /** The machine was asleep or offline: try now, and do not wait for answers that may never come. */
  wake(): void {
    this.wakeUp.abort();
    this.wakeUp = new AbortController();
    if (Date.now() - this.heardAt > SILENT_MS) {
      this.close();
    }
  }

  close(): void {
    this.line?.close();
    this.line = null;
  }

  private async ask<T>(question: (client: Client) => Promise<T>, { once, signal }: Asked): Promise<T> {
    const pauses = this.pauses();
    for (let failed = false; ; failed = true) {
      try {
        const answer = await this.once(question, signal);
        if (failed) {
          this.onBack();
        }
        return answer;
      } catch (error) {
        if (!(error instanceof Lost) || once) {
          throw error;
        }
        const pause: number = pauses.next().value;
        this.onLost(error.message, pause);
        await sleep(pause, signal, this.wakeUp.signal);
      }
    }
  }

  private async once<T>(question: (client: Client) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const line = (this.line ??= this.open());
    let client: Client | null = null;
    try {
      client = await line.client;
      this.known = true;
      const answer = await question(client);
      this.heardAt = Date.now();
      return answer;
    } catch (error) {
      const verdict = meaning(error);
      if ((client === null || verdict instanceof Lost) && this.line === line && !signal?.aborted) {
        this.close();
      }
      signal?.throwIfAborted();
      throw verdict;
    }
  }

  private open(): Line {
    const { base, transport: kind, token } = this.address;
    let verdict: unknown = null;
    const door = async (url: string | URL, init?: RequestInit): Promise<Response> => {
      try {
        return await this.through(url, init);
      } catch (error) {
        verdict = error;
        throw error;
      }
    };
    const options = { fetch: door, requestInit: { headers: token ? { Authorization: `Bearer ${token}` } : {} } };
    const transport =
      kind === 'sse'
        ? new SSEClientTransport(new URL(`${base}/sse`), options)
        : new StreamableHTTPClientTransport(new URL(`${base}/mcp`), options);
    const client = new Client(CLIENT, { versionNegotiation: { mode: 'auto' } });
    const close = (): void => void client.close().catch(() => undefined);
    const connecting = client.connect(transport, { timeout: CONNECT_S * 1000 }).then(
      () => client,
      (error: unknown) => {
        void transport.close().catch(() => undefined);
        throw verdict ?? meaningOfLine(error);
      },
    );
    if (kind === 'sse') {
      // A stream that breaks would be opened again without a handshake, and the answers on their way are gone with it.
      connecting.then(() => (client.onerror = (error) => error.name === 'SseError' && close())).catch(() => undefined);
    }
    return { client: connecting, close };
  }

  /** `fetch` whose failures say what they mean. What has a JSON-RPC error in it is for the client to read. */
  private async through(url: string | URL, init?: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(url, init);
    } catch (error) {
      throw init?.signal?.aborted ? error : new Lost(error instanceof Error ? error.message : String(error));
    }
    if (response.ok || response.status < 400) {
      return response;
    }
    const { meant, body } = await verdictOf(response.clone(), this.known);
    if (!PASSING.has(response.status) && typeof body === 'object' && body !== null && 'jsonrpc' in body) {
      return response;
    }
    // Of an answer to MCP, "later" is asked again like what is lost, unless it says when.
    throw meant;
  }
}

/** A line that could not be opened is lost, unless the server said no. */
function meaningOfLine(error: unknown): unknown {
  const meant = meaning(error);
  return meant instanceof Refused || meant instanceof Lost ? meant : new Lost(String(error));
}
