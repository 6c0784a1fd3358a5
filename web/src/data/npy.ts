/** NumPy's array files, versions 1 to 3 (`numpy.lib.format`): numbers only, never pickled objects. */
import { sizeOf } from '../engine/catalogue';
import { Malformed } from './bad';

export interface NpyArray {
  readonly shape: readonly number[];
  /** As NumPy names it, e.g. `float32`; values of other kinds than those below are empty. */
  readonly dtype: string;
  readonly values: Numbers;
}

type Numbers = Uint8Array | Float32Array | Float64Array;
type Typed = new (buffer: ArrayBuffer) => ArrayLike<number | bigint>;

const NAMES: Readonly<Record<string, string>> = { u: 'uint', i: 'int', f: 'float', c: 'complex' };
const INTEGERS: Readonly<Record<string, Typed>> = {
  i1: Int8Array,
  u2: Uint16Array,
  i2: Int16Array,
  u4: Uint32Array,
  i4: Int32Array,
  u8: BigUint64Array,
  i8: BigInt64Array,
};

/** The array in a .npy file, in row-major order. Integers come as float64 (but for bytes), half floats as float32. */
export function parseNpy(bytes: Uint8Array<ArrayBuffer>): NpyArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[6];
  const start = version === 1 ? 10 : 12;
  if (bytes.length < start || view.getUint32(0) !== 0x934e554d || view.getUint16(4) !== 0x5059) {
    throw new Malformed('an array in it is no .npy file');
  }
  if (version < 1 || version > 3) throw new Malformed(`an array in it is of the unknown version ${version}`);
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (start + length > bytes.length || length > 10_000) throw new Malformed('the head of an array in it is damaged');
  const head = new TextDecoder().decode(bytes.subarray(start, start + length));

  const [, order, kind, width] = /'descr':\s*'([<>|=]?)([a-zA-Z])(\d{0,4})/.exec(head) ?? [];
  const [, fortran] = /'fortran_order':\s*(True|False)/.exec(head) ?? [];
  const [, sides] = /'shape':\s*\(([\d,\s]{0,200})\)/.exec(head) ?? [];
  if (kind === undefined || fortran === undefined || sides === undefined) {
    throw new Malformed('the head of an array in it is of no known form');
  }
  if (kind === 'O') throw new Malformed('it holds Python objects, which only Python can load');
  const shape = (sides.match(/\d+/g) ?? []).map(Number);
  const size = sizeOf(shape);
  const bytesWanted = size * Number(width);
  if (!Number.isSafeInteger(bytesWanted) || start + length + bytesWanted > bytes.length) {
    throw new Malformed('an array in it is cut off');
  }
  const dtype = NAMES[kind] === undefined ? `${kind}${width}` : `${NAMES[kind]}${8 * Number(width)}`;
  const body = bytes.slice(start + length, start + length + bytesWanted);
  if (order === '>') swap(body, Number(width));
  const values = decoded(body, kind + width);
  return { shape, dtype, values: fortran === 'True' ? rowMajor(values, shape) : values };
}

function decoded(body: Uint8Array<ArrayBuffer>, kind: string): Numbers {
  if (kind === 'u1') return body;
  if (kind === 'f4') return new Float32Array(body.buffer);
  if (kind === 'f8') return new Float64Array(body.buffer);
  if (kind === 'f2') return half(new Uint16Array(body.buffer));
  if (!Object.hasOwn(INTEGERS, kind)) return new Float64Array();
  const integers = new INTEGERS[kind](body.buffer);
  const values = new Float64Array(integers.length);
  for (let i = 0; i < values.length; i++) values[i] = Number(integers[i]);
  return values;
}

/** IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction. */
function half(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const [exponent, fraction] = [(bits[i] >> 10) & 31, bits[i] & 1023];
    const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
    values[i] = (bits[i] >> 15 ? -1 : 1) * (exponent < 31 ? size : fraction === 0 ? Infinity : NaN);
  }
  return values;
}

/** Big-endian values turned round, in place. */
function swap(bytes: Uint8Array, width: number): void {
  for (let at = 0; width > 1 && at < bytes.length; at += width) bytes.subarray(at, at + width).reverse();
}

/** Values in column-major (Fortran's) order, put into row-major order. */
function rowMajor(values: Numbers, shape: readonly number[]): Numbers {
  if (values.length !== sizeOf(shape)) return values;
  const strides = shape.map((_, axis) => sizeOf(shape.slice(0, axis)));
  const place = shape.map(() => 0);
  const ordered = values.slice();
  for (let i = 0, from = 0; i < values.length; i++) {
    ordered[i] = values[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++place[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      place[axis] = 0;
    }
  }
  return ordered;
}
