/** A node's examples: what it trains on, and what it keeps from training to score the models that it receives. */
import type { Examples } from '../engine/types';
import type { Source } from '../messages';
import { Refused } from '../refused';
import { taken } from '../training/holdout';
import { sha256 } from './bytes';
import type { Connection } from './connection';
import type { Craft } from './parts';
import type { TaskSpec } from './protocol';

export interface Share {
  readonly train: Examples;
  readonly heldOut: Examples;
  /** SHA-256 over the training examples: other data is other work. */
  readonly fingerprint: string;
}

/** Whether the node takes a share of the task's data like any other, instead of bringing its own. */
export function takesShare(spec: TaskSpec, source: Source): boolean {
  return spec.data.id === 'digits' && source.kind === 'digits';
}

/** The node's share. `all`: what its source holds; `index`: which part of it the server gave to the node, if it did. */
export async function shareOf(
  craft: Pick<Craft, 'splitHoldout'>,
  connection: Pick<Connection, 'readJson'>,
  taskId: string,
  spec: TaskSpec,
  all: Examples,
  index: number | null,
  signal: AbortSignal,
): Promise<Share> {
  const examples = index === null ? all : take(all, await placesOf(connection, taskId, index, signal));
  const partition = spec.data.partition.seed ?? spec.seed;
  const size = examples.x.length / Math.max(examples.y.length, 1);
  const seed = seedOf(partition, 'holdout', index ?? 'own');
  const { train, heldOut } = craft.splitHoldout(examples, size, spec.data.holdout, seed);
  if (train.y.length === 0) {
    throw new Refused('bad_data', 'There are no examples to train on.', 'give more examples');
  }
  return { train, heldOut, fingerprint: await fingerprintOf(train) };
}

/** Which of the data set's training examples are this node's: the server cuts them with NumPy's draws. */
async function placesOf(
  connection: Pick<Connection, 'readJson'>,
  taskId: string,
  index: number,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const said = await connection.readJson(`potluck://tasks/${taskId}/partition/${index}`, { signal });
  const places = (said as { readonly examples?: unknown } | null)?.examples;
  if (!Array.isArray(places) || !places.every((place) => Number.isInteger(place) && place >= 0)) {
    throw new Refused('internal', "The server did not say which examples are this node's.", "see the server's log");
  }
  return places;
}

export function take(all: Examples, places: readonly number[]): Examples {
  const missing = places.find((place) => place >= all.y.length);
  if (missing !== undefined) {
    throw new Refused('bad_data', `There is no example ${missing} in this data set.`, 'reload the page');
  }
  return taken(all, all.x.length / Math.max(all.y.length, 1), Uint32Array.from(places));
}

async function fingerprintOf({ x, y }: Examples): Promise<string> {
  const bytesOf = (values: Float32Array | Uint32Array): Uint8Array =>
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const [a, b] = [bytesOf(x), bytesOf(y)];
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return sha256(both);
}

/** A seed in words: what it depends on. */
export function seedOf(...parts: readonly (number | string)[]): string {
  return parts.join(' ');
}
