/** What a node is to a server: an id, proved once by signature, and a token for every call after that. */
import type { Letter } from '../messages';
import { Refused } from '../refused';
import { LATER } from './answers';
import type { Asked, Connection } from './connection';
import { handshakeMessage, type Identity } from './identity';
import { Patience, unless } from './patience';
import type { Fields, Terms } from './protocol';

/** How often a call may meet a failure inside the server before the node gives up; every call is safe to repeat. */
const FAILURES = 6;

export class Membership {
  private token = '';
  private renewal: Promise<Terms> | null = null;
  private readonly over = new AbortController();

  /** `audience`: the server's host as it was dialled; the node's proof is worth nothing to any other server. */
  constructor(
    readonly connection: Connection,
    readonly identity: Identity,
    private readonly name: string,
    private readonly audience: string,
    private readonly capabilities: Fields,
    private readonly onWait: (why: string, pauseS: number) => void,
    private readonly onRenewed: () => void = () => undefined,
  ) {}

  get nodeId(): string {
    return this.identity.nodeId;
  }

  /** Shakes hands: proves the key, gets a node token; the server's terms. Asked twice at once, it is done once:
   *  a second handshake would undo the first. `signal` ends the wait of this caller alone. */
  renew(signal: AbortSignal = this.over.signal): Promise<Terms> {
    this.renewal ??= this.shakeHands(this.over.signal).finally(() => (this.renewal = null));
    return unless(signal, this.renewal);
  }

  /** Nobody waits any more. */
  close(): void {
    this.over.abort();
  }

  /** Calls a node tool; a node token that the server no longer knows is renewed. Throws `Lost` only with `once`. */
  async call(tool: string, args: Fields, asked: Asked = {}): Promise<Fields> {
    const { token } = this;
    try {
      return await this.patiently(tool, this.signedIn(args), asked);
    } catch (error) {
      if (!(error instanceof Refused) || error.code !== 'bad_node_token') {
        throw error;
      }
    }
    if (this.token === token) {
      await this.renew(asked.signal);
    }
    return this.patiently(tool, this.signedIn(args), asked);
  }

  /** A call as one POST of its own. */
  letter(tool: string, args: Fields): Letter {
    return this.connection.letter(tool, this.signedIn(args));
  }

  private async shakeHands(signal: AbortSignal): Promise<Terms> {
    const { publicKey } = this.identity;
    const hello = {
      public_key: publicKey,
      capabilities: this.capabilities,
      audience: this.audience,
      ...(this.name && { name: this.name }),
    };
    const { challenge, sign } = await this.patiently('handshake', hello, { signal });
    const message = handshakeMessage(this.audience, String(challenge));
    if (sign !== message) {
      const problem = 'The server asks for a signature over something else than a handshake with it.';
      throw new Refused('bad_challenge', problem, 'do not trust it; open the page at the address that you know');
    }
    const proof = { challenge, signature: await this.identity.sign(message) };
    const terms = (await this.patiently('handshake', { ...hello, ...proof }, { signal })) as unknown as Terms;
    this.token = terms.node_token;
    this.onRenewed();
    return terms;
  }

  private signedIn(args: Fields): Fields {
    return { node_id: this.nodeId, node_token: this.token, ...args };
  }

  private async patiently(tool: string, args: Fields, asked: Asked): Promise<Fields> {
    const patience = new Patience(this.onWait);
    for (let failures = 0; ; ) {
      try {
        return await this.connection.call(tool, args, asked);
      } catch (error) {
        if (!(error instanceof Refused)) {
          throw error;
        }
        failures += error.code === 'internal' ? 1 : 0;
        if (!LATER.has(error.code) && !(error.code === 'internal' && failures <= FAILURES)) {
          throw error;
        }
        await patience.wait(error, asked.signal);
      }
    }
  }
}
