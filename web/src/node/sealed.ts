/** Files that are whole or not there: facts as JSON, a payload, and a digest over both.
 *
 *      SHA-256 of all that follows (32 bytes)   length of the header (u32, little endian)
 *      header: JSON {sequence, size, facts}     payload (`size` bytes)
 *
 *  Written beside, flushed, then moved into place, so that a crash leaves the old file or the new one. Where a browser
 *  cannot move files, two slots take turns. Either way the valid one with the highest sequence number counts. */
import { digest, utf8 } from './bytes';
import { readFile, removeFile, writeFile, type Folder } from './folder';
import type { Fields } from './protocol';

export interface Sealed {
  readonly sequence: number;
  readonly facts: Fields;
  readonly payload: Uint8Array<ArrayBuffer>;
}

const HEAD = 36;
const UNFINISHED = '.new';
const slots = (name: string): readonly string[] => [name, `${name}.a`, `${name}.b`];

/** The newest valid file called `name`; null where there is none. `onDamage` is told why a file is not used. */
export async function readSealed(
  folder: Folder,
  name: string,
  onDamage?: (why: string) => void,
): Promise<Sealed | null> {
  return (await newest(folder, name, onDamage))?.sealed ?? null;
}

/** Replaces the file called `name`. Throws, with the old one still there, where it cannot be written. */
export async function writeSealed(folder: Folder, name: string, facts: Fields, payload: Uint8Array): Promise<void> {
  const last = await newest(folder, name);
  const header = utf8(JSON.stringify({ sequence: (last?.sealed.sequence ?? 0) + 1, size: payload.length, facts }));
  const bytes = new Uint8Array(HEAD + header.length + payload.length);
  new DataView(bytes.buffer).setUint32(32, header.length, true);
  bytes.set(header, HEAD);
  bytes.set(payload, HEAD + header.length);
  bytes.set(await digest(bytes.subarray(32)));
  const written = await writeFile(folder, name + UNFINISHED, [bytes]);
  const moved = written.move && (await written.move(name).then(() => true, () => false));
  if (!moved) {
    await removeFile(folder, name + UNFINISHED);
    const [, a = name, b = name] = slots(name);
    await writeFile(folder, last?.slot === a ? b : a, [bytes]);
  }
}

export async function removeSealed(folder: Folder, name: string): Promise<void> {
  for (const slot of [...slots(name), name + UNFINISHED]) {
    await removeFile(folder, slot);
  }
}

async function newest(
  folder: Folder,
  name: string,
  onDamage: (why: string) => void = () => undefined,
): Promise<{ readonly slot: string; readonly sealed: Sealed } | null> {
  let best: { readonly slot: string; readonly sealed: Sealed } | null = null;
  for (const slot of slots(name)) {
    const bytes = await readFile(folder, slot);
    if (bytes === null) {
      continue;
    }
    const sealed = await opened(bytes);
    if (sealed === null) {
      onDamage(`${slot} is not what was written`);
    } else if (best === null || sealed.sequence > best.sealed.sequence) {
      best = { slot, sealed };
    }
  }
  return best;
}

async function opened(bytes: Uint8Array<ArrayBuffer>): Promise<Sealed | null> {
  if (bytes.length < HEAD) {
    return null;
  }
  const expected = await digest(bytes.subarray(32));
  if (expected.some((byte, i) => byte !== bytes[i])) {
    return null;
  }
  const payloadAt = HEAD + new DataView(bytes.buffer, bytes.byteOffset).getUint32(32, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(HEAD, payloadAt))) as {
    sequence: number;
    size: number;
    facts: Fields;
  };
  const payload = bytes.slice(payloadAt);
  return payload.length === header.size ? { sequence: header.sequence, facts: header.facts, payload } : null;
}
