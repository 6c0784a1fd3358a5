/** Bounded unpacking: it stops at the first byte too many, so that no small file can fill the memory. */
import { Malformed } from './bad';

/** All bytes of a compressed stream, at most `most`. */
export async function unpack(packed: Blob, format: CompressionFormat, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const reader = packed.stream().pipeThrough(new DecompressionStream(format)).getReader();
  const pieces: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Malformed('its compressed data is damaged');
    });
    if (done) break;
    size += value.length;
    if (size > most) {
      void reader.cancel().catch(() => {});
      throw new Malformed('it unpacks to more bytes than it states or a tab takes');
    }
    pieces.push(value);
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
