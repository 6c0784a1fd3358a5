/** Entries of a ZIP archive, stored or deflated (PKWARE's APPNOTE 6.3.10, §4.3): what NumPy writes. */
import { bytesOf, Malformed } from './bad';
import { unpack } from './unpack';

export interface Entry {
  readonly deflated: boolean;
  readonly packed: number;
  readonly size: number;
  readonly crc: number;
  /** Of its local header. */
  readonly at: number;
}

const MOST_DIRECTORY = 2 ** 20;
const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const [LOCAL_SIZE, CENTRAL_SIZE, END_SIZE] = [30, 46, 22];

/** The archive's entries by name; of two with one name the last. */
export async function directory(path: string, zip: Blob): Promise<ReadonlyMap<string, Entry>> {
  const tailAt = Math.max(0, zip.size - END_SIZE - 0xffff); // the end record may carry a comment
  const tail = await view(path, zip.slice(tailAt));
  let end = tail.byteLength - END_SIZE;
  while (end >= 0 && tail.getUint32(end, true) !== END) end--;
  if (end < 0) throw new Malformed('it is no ZIP archive, or cut off');

  const [size, at] = [tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  if (size > MOST_DIRECTORY || at + size > zip.size) throw new Malformed('its directory is damaged');
  const central = await view(path, zip.slice(at, at + size));
  const entries = new Map<string, Entry>();
  for (let next = 0; next + CENTRAL_SIZE <= size;) {
    const u16 = (offset: number): number => central.getUint16(next + offset, true);
    const u32 = (offset: number): number => central.getUint32(next + offset, true);
    const start = next + CENTRAL_SIZE;
    if (u32(0) !== CENTRAL || start + u16(28) > size) throw new Malformed('its directory is damaged');
    const name = new TextDecoder().decode(new Uint8Array(central.buffer, start, u16(28)));
    if (u16(8) & 1) throw new Malformed(`${name} in it is encrypted`);
    if (u16(10) !== 0 && u16(10) !== 8) throw new Malformed(`${name} in it is neither stored nor deflated`);
    entries.set(name, { deflated: u16(10) === 8, crc: u32(16), packed: u32(20), size: u32(24), at: u32(42) });
    next = start + u16(28) + u16(30) + u16(32);
  }
  return entries;
}

/** The bytes of an entry; its size must have been looked at before. */
export async function extract(path: string, zip: Blob, entry: Entry): Promise<Uint8Array<ArrayBuffer>> {
  const head = await view(path, zip.slice(entry.at, entry.at + LOCAL_SIZE));
  if (head.byteLength < LOCAL_SIZE || head.getUint32(0, true) !== LOCAL)
    throw new Malformed('its directory is damaged');
  const start = entry.at + LOCAL_SIZE + head.getUint16(26, true) + head.getUint16(28, true);
  const packed = zip.slice(start, start + entry.packed);
  if (!entry.deflated && entry.packed !== entry.size) throw new Malformed('its directory is damaged');
  const bytes = entry.deflated ? await unpack(packed, 'deflate-raw', entry.size) : await bytesOf(path, packed);
  if (bytes.length !== entry.size) throw new Malformed('it is cut off');
  if (crc32(bytes) !== entry.crc) throw new Malformed('a checksum in it is wrong');
  return bytes;
}

async function view(path: string, piece: Blob): Promise<DataView<ArrayBuffer>> {
  return new DataView((await bytesOf(path, piece)).buffer);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

/** The checksum of ZIP and gzip (ISO 3309). */
function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]) & 0xff];
  return ~crc >>> 0;
}
