import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromBase64 } from '../../src/node/bytes';
import { handshakeMessage, identityOf, newPair, openIdentity, updateMessage } from '../../src/node/identity';
import { keyringInMemory } from './standins';

interface Vectors {
  readonly seed_hex: string;
  readonly public_key: { readonly alg: string; readonly jwk: Readonly<Record<string, string>> };
  readonly node_id: string;
  readonly handshake: Readonly<Record<'audience' | 'challenge' | 'message' | 'signature', string>>;
  readonly update: {
    readonly node_id: string;
    readonly task_id: string;
    readonly round: number;
    readonly base_version: number;
    readonly sha256: string;
    readonly num_examples: number;
    readonly num_steps: number;
    readonly message: string;
    readonly signature: string;
  };
}

const protocol = readFileSync(resolve(import.meta.dirname, '../../../docs/protocol.md'), 'utf8');
const vectors = JSON.parse(/```json\n(\{\n {2}"seed_hex"[\s\S]*?)```/.exec(protocol)?.[1] ?? '') as Vectors;

/** The private key of the vectors, whose seed is wrapped as PKCS #8 (RFC 8410). */
async function pairOfVectors(): Promise<CryptoKeyPair> {
  const pkcs8 = Buffer.from(`302e020100300506032b657004220420${vectors.seed_hex}`, 'hex');
  const { jwk } = vectors.public_key;
  return {
    privateKey: await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', false, ['sign']),
    publicKey: await crypto.subtle.importKey('jwk', { ...jwk }, 'Ed25519', true, ['verify']),
  };
}

const bytesOf = (base64url: string) => fromBase64(base64url.replace(/-/g, '+').replace(/_/g, '/'));

describe("the protocol's vectors", () => {
  it('come out to the letter: key, id, and both messages with their signatures', async () => {
    const identity = await identityOf(await pairOfVectors());
    expect(identity.publicKey).toEqual(vectors.public_key);
    expect(identity.nodeId).toBe(vectors.node_id);
    const { handshake, update } = vectors;
    const hello = handshakeMessage(handshake.audience, handshake.challenge);
    expect(hello).toBe(handshake.message);
    expect(await identity.sign(hello)).toBe(handshake.signature);
    const commit = updateMessage({
      nodeId: update.node_id,
      taskId: update.task_id,
      round: update.round,
      baseVersion: update.base_version,
      sha256: update.sha256,
      numExamples: update.num_examples,
      numSteps: update.num_steps,
    });
    expect(commit).toBe(update.message);
    expect(await identity.sign(commit)).toBe(update.signature);
  });
});

describe('an identity', () => {
  it('is the same each time it is opened, and its private key cannot be read', async () => {
    const kept = new Map<string, unknown>();
    const [first, again] = [await openIdentity(keyringInMemory(kept)), await openIdentity(keyringInMemory(kept))];
    expect(again.nodeId).toBe(first.nodeId);
    expect(first.nodeId).toMatch(/^node-[a-z2-7]{16}$/);
    const { privateKey } = kept.get('key') as CryptoKeyPair;
    expect(privateKey.extractable).toBe(false);
    await expect(crypto.subtle.exportKey('jwk', privateKey)).rejects.toThrow();
  });

  it('signs with P-256 where Ed25519 is missing, as WebCrypto verifies', async () => {
    const { generateKey } = crypto.subtle;
    crypto.subtle.generateKey = function (this: SubtleCrypto, ...asked: Parameters<typeof generateKey>) {
      const missing = (asked[0] as { name: string }).name === 'Ed25519';
      return missing ? Promise.reject(new Error('unknown')) : Reflect.apply(generateKey, this, asked);
    } as typeof generateKey;
    const pair = await newPair().finally(() => (crypto.subtle.generateKey = generateKey));
    const identity = await identityOf(pair);
    expect(identity.publicKey.alg).toBe('p256');
    expect(Object.keys(identity.publicKey.jwk)).toEqual(['crv', 'kty', 'x', 'y']);
    const signature = bytesOf(await identity.sign('a message'));
    expect(signature).toHaveLength(64);
    const how = { name: 'ECDSA', hash: 'SHA-256' };
    const verified = crypto.subtle.verify(how, pair.publicKey, signature, new TextEncoder().encode('a message'));
    expect(await verified).toBe(true);
  });
});
