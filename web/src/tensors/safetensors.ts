/** Models as bytes: a header's length (8 bytes, little endian), the header (JSON: name → dtype, shape, data_offsets),
 *  the values. As strict as the server, and written as it writes (`federation/layout.py`, `federation/weights.py`). */
import { sizeOf } from '../engine/catalogue';
import { Refused } from '../refused';
import type { Tensor, Weights } from '../engine/types';

const MAX_HEADER = 16 * 2 ** 20;
const MAX_RANK = 16;
const MAX_NAME = 1024;
const METADATA = '__metadata__';

/** The file's tensors, copied out of it. Refuses what is no sound file of float32 tensors. */
export function parseSafetensors(bytes: Uint8Array): Weights {
  const [text, start] = headerOf(bytes);
  const header = jsonIn(text);
  const { [METADATA]: metadata = {}, ...entries } = header;
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw bad('has __metadata__ that does not map strings to strings');
  }
  const spans = Object.entries(entries).map(([name, entry]) => spanOf(name, entry));
  // JSON.parse takes the last of two equal names: then the text has more of them.
  const named = Object.keys(header).length + Object.keys(metadata).length + 3 * spans.length;
  if (membersIn(text) !== named) throw bad('has a header that gives a name twice');
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const weights = new Map<string, Tensor>();
  let position = 0;
  for (const { name, shape, begin, end } of spans) {
    if (begin !== position) {
      const found = begin < position ? 'overlaps another' : 'leaves a hole before it';
      throw bad(`has tensor ${shown(name)} at byte ${begin}, which ${found}`);
    }
    position = end;
    if (end > bytes.length - start) break;
    weights.set(name, { shape, data: new Float32Array(bytes.slice(start + begin, start + end).buffer) });
  }
  if (position !== bytes.length - start) {
    throw bad(`has ${bytes.length - start} bytes of values where its header describes ${position}`);
  }
  return weights;
}

/** The canonical file: the same tensors give the same bytes as from the server. Metadata it never writes. */
export function writeSafetensors(
  weights: Weights,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const tensors = [...weights].sort(([a], [b]) => byCodePoint(a, b));
  const members = metadata === undefined ? [] : [`"${METADATA}":${JSON.stringify(metadata)}`];
  let position = 0;
  for (const [name, { shape, data }] of tensors) {
    if (data.length !== sizeOf(shape)) throw new TypeError(`${name}: ${data.length} values of shape [${shape}]`);
    const end = position + data.byteLength;
    members.push(`${JSON.stringify(name)}:{"dtype":"F32","shape":[${shape}],"data_offsets":[${position},${end}]}`);
    position = end;
  }
  const text = new TextEncoder().encode(`{${members.join(',')}}`);
  const start = 8 + 8 * Math.ceil(text.length / 8);
  const bytes = new Uint8Array(start + position).fill(0x20, 8, start);
  new DataView(bytes.buffer).setUint32(0, start - 8, true);
  bytes.set(text, 8);
  let at = start;
  for (const [, { data }] of tensors) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

function headerOf(bytes: Uint8Array): [text: string, start: number] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? 0 : Number(view.getBigUint64(0, true));
  if (bytes.length < 8 || length > bytes.length - 8) {
    throw bad(`claims a header of ${length} bytes but has ${bytes.length} bytes in all`);
  }
  if (length > MAX_HEADER) throw bad(`claims a header of ${length} bytes; at most ${MAX_HEADER} are allowed here`);
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return [decoder.decode(bytes.subarray(8, 8 + length)), 8 + length];
  } catch {
    throw bad('has a header that is no UTF-8');
  }
}

function jsonIn(text: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw bad(`has a header that is no JSON: ${error instanceof Error ? error.message.slice(0, 200) : error}`);
  }
  if (!text.startsWith('{') || !isRecord(header)) throw bad('has a header that is no JSON object');
  return header;
}

/** How many members the objects of a JSON text have, all in all: each is a string before a colon. */
const membersIn = (text: string): number =>
  [...text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"\s*(:?)/g)].filter(([, colon]) => colon).length;

interface Span {
  readonly name: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function spanOf(name: string, entry: unknown): Span {
  if (name.length > MAX_NAME || /\p{Surrogate}/u.test(name)) {
    throw bad(`names a tensor ${shown(name)}: no Unicode text of at most ${MAX_NAME} characters`);
  }
  if (!isRecord(entry) || Object.keys(entry).sort().join() !== 'data_offsets,dtype,shape') {
    throw bad(`describes tensor ${shown(name)} by other members than dtype, shape and data_offsets`);
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (dtype !== 'F32') {
    const mend = 'choose a task whose model is float32, or join it with the Python node.';
    throw bad(`has tensor ${shown(name)} of dtype ${JSON.stringify(dtype)}, where this tab trains F32 alone`, mend);
  }
  if (!areSizes(shape) || shape.length > MAX_RANK || !Number.isSafeInteger(4 * sizeOf(shape))) {
    throw bad(`has tensor ${shown(name)} of an impossible shape`);
  }
  if (!areSizes(offsets) || offsets.length !== 2) throw bad(`has tensor ${shown(name)} at impossible data_offsets`);
  const [begin, end] = offsets;
  if (end - begin !== 4 * sizeOf(shape)) {
    throw bad(`gives tensor ${shown(name)} ${end - begin} bytes where F32 [${shape}] takes ${4 * sizeOf(shape)}`);
  }
  return { name, shape, begin, end };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const areSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);

/** Python's order of texts: by code points, where JavaScript's is by UTF-16's units. */
function byCodePoint(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = (left[i].codePointAt(0) ?? 0) - (right[i].codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

const shown = (name: string): string => JSON.stringify(name.length <= 80 ? name : `${name.slice(0, 77)}...`);

const REWRITE = 'fetch the file again; if that does not help, write it with a safetensors library.';

const bad = (what: string, mend = REWRITE): Refused => new Refused('bad_data', `The safetensors file ${what}.`, mend);
