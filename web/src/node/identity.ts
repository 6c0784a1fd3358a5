/** A node is its key: made once for this browser profile, never readable, and what it signs. */
import { toBase32, toBase64Url, digest, utf8 } from './bytes';
import type { Keyring } from './keyring';

/** A JSON Web Key with exactly the members that the protocol names. */
export interface PublicKey {
  readonly alg: 'ed25519' | 'p256';
  readonly jwk: Readonly<Record<string, string>>;
}

export interface Identity {
  readonly nodeId: string;
  readonly publicKey: PublicKey;
  /** The base64url signature over the UTF-8 of `message`. */
  sign(message: string): Promise<string>;
}

/** Under which name the keyring keeps the key of this browser profile. */
export const KEY = 'key';

const ED25519 = { name: 'Ed25519' };
const P256 = { name: 'ECDSA', namedCurve: 'P-256' };
const MEMBERS = { ed25519: ['crv', 'kty', 'x'], p256: ['crv', 'kty', 'x', 'y'] } as const;

/** The identity kept in `keyring`, made there if there is none: Ed25519, or P-256 where the browser lacks that. */
export async function openIdentity(keyring: Keyring): Promise<Identity> {
  return identityOf(await keyring.keep(KEY, newPair));
}

/** The identity of a key pair, whose private half only has to sign. */
export async function identityOf(pair: CryptoKeyPair): Promise<Identity> {
  const alg = pair.privateKey.algorithm.name === ED25519.name ? 'ed25519' : 'p256';
  const whole = await crypto.subtle.exportKey('jwk', pair.publicKey);
  const jwk = Object.fromEntries(MEMBERS[alg].map((name) => [name, String(whole[name])]));
  const how = alg === 'ed25519' ? ED25519 : { name: 'ECDSA', hash: 'SHA-256' };
  return {
    nodeId: await nodeIdOf(jwk),
    publicKey: { alg, jwk },
    sign: async (message) =>
      toBase64Url(new Uint8Array(await crypto.subtle.sign(how, pair.privateKey, utf8(message)))),
  };
}

/** `node-` and the first 80 bits of the RFC 7638 thumbprint; `jwk`'s members are in alphabetical order. */
async function nodeIdOf(jwk: Readonly<Record<string, string>>): Promise<string> {
  const thumbprint = await digest(utf8(JSON.stringify(jwk)));
  return `node-${toBase32(thumbprint.subarray(0, 10))}`;
}

/** A fresh pair; its private key cannot be exported. */
export async function newPair(): Promise<CryptoKeyPair> {
  const make = (algorithm: typeof ED25519 | typeof P256): Promise<CryptoKeyPair> =>
    crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']) as Promise<CryptoKeyPair>;
  return make(ED25519).catch(() => make(P256));
}

/** What a node signs to prove that it holds its key: to this server, the host as it was dialled, alone. */
export function handshakeMessage(audience: string, challenge: string): string {
  return `potluck-handshake-v1\n${audience}\n${challenge}`;
}

/** What a node signs to stand by an update: for whom it is, the bytes, and the counts that weigh them. */
export function updateMessage(update: {
  readonly nodeId: string;
  readonly taskId: string;
  readonly round: number;
  readonly baseVersion: number;
  readonly sha256: string;
  readonly numExamples: number;
  readonly numSteps: number;
}): string {
  const { nodeId, taskId, round, baseVersion, sha256, numExamples, numSteps } = update;
  return ['potluck-update-v1', nodeId, taskId, round, baseVersion, sha256, numExamples, numSteps].join('\n');
}
