import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Tensor, Weights } from '../../src/engine/types';
import { Refused } from '../../src/refused';
import { parseSafetensors, writeSafetensors } from '../../src/tensors/safetensors';
import { fileOf, vectors } from '../parity/vectors';

const tensor = (shape: readonly number[], ...data: number[]): Tensor => ({ shape, data: Float32Array.from(data) });

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A file with that header, and zeros for values. */
function file(header: string | Uint8Array, values = 0, claimed?: number): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + values);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(claimed ?? text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (name: string, shape: string, begin: number, end: number, dtype = '"F32"'): string =>
  `"${name}":{"dtype":${dtype},"shape":${shape},"data_offsets":[${begin},${end}]}`;

describe('writing safetensors', () => {
  it('gives the bytes of the example in the protocol', () => {
    const update: Weights = new Map([
      ['delta/1.weight', tensor([1, 2], 0.5, -1)],
      ['delta/1.bias', tensor([1], 0.25)],
    ]);
    const bytes = writeSafetensors(update);
    expect(bytes.length).toBe(156);
    expect(sha256(bytes)).toBe('fd7dce6ab710b743a6c99522c8066db398aac7d5d5bf718726d8623e444d095a');
    expect(readFileSync('../docs/protocol.md', 'utf8')).toContain(sha256(bytes));
  });

  it('gives the bytes of every file that Python wrote, whatever the order of the tensors', () => {
    const names = vectors.cases.flatMap(({ file: name }) => name ?? []);
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) {
      const bytes = fileOf(name);
      const reversed = new Map([...parseSafetensors(bytes)].reverse());
      expect(sha256(writeSafetensors(reversed)), name).toBe(sha256(bytes));
    }
  });

  it('orders names by code points and escapes them as Python does', () => {
    const names = ['\u{1f372}', '\uff5e', 'a"\\\n\u0001\u007f', 'Z', '10', '9', '__proto__', 'é'];
    const bytes = writeSafetensors(new Map(names.map((name, i) => [name, tensor([], i)])));
    // From federation.weights.to_bytes with the same names and values.
    expect(sha256(bytes)).toBe('5b8f48e032ab0059d69221a5db24c57e561451ebd8224b813783187e9ea4d4dc');
    expect([...parseSafetensors(bytes).keys()]).toEqual(
      ['10', '9', 'Z', '__proto__', 'a"\\\n\u0001\u007f', 'é', '\uff5e', '\u{1f372}'],
    );
  });

  it('keeps metadata, views into larger buffers, and every bit of a value', () => {
    const wide = Float32Array.of(9, NaN, -0, 1e-45, Infinity, 9);
    const weights = new Map([['w', { shape: [2, 2], data: wide.subarray(1, 5) }]]);
    const bytes = writeSafetensors(weights, { at: '{"step":3}' });
    expect(new TextDecoder().decode(bytes)).toContain('{"__metadata__":{"at":"{\\"step\\":3}"},"w":');
    const found = parseSafetensors(bytes).get('w');
    expect(found?.shape).toEqual([2, 2]);
    expect(new Uint32Array(found!.data.buffer)).toEqual(new Uint32Array(wide.slice(1, 5).buffer));
  });

  it('will not write a tensor whose values do not fill its shape', () => {
    expect(() => writeSafetensors(new Map([['w', tensor([2, 2], 1, 2, 3)]]))).toThrow(TypeError);
  });
});

describe('reading safetensors', () => {
  it('takes tensors in any order, empty ones, scalars, and a file at an odd place in memory', () => {
    const header = `{${entry('b', '[]', 4, 8)},${entry('none', '[0,3]', 4, 4)},${entry('a', '[1]', 0, 4)}}  `;
    const bytes = file(header, 8);
    const shifted = new Uint8Array(bytes.length + 1).subarray(1);
    shifted.set(bytes);
    new DataView(shifted.buffer).setFloat32(shifted.byteLength + 1 - 4, 2.5, true);
    const found = parseSafetensors(shifted);
    expect([...found.keys()].sort()).toEqual(['a', 'b', 'none']);
    expect(found.get('b')).toEqual({ shape: [], data: Float32Array.of(2.5) });
    expect(found.get('none')!.data.length).toBe(0);
  });

  const good = entry('a', '[2]', 0, 8);
  it.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(0), /0 bytes in all/],
    ['a cut length', new Uint8Array(7), /7 bytes in all/],
    ['a header longer than the file', file(`{${good}}`, 0, 4096), /header of 4096 bytes/],
    ['a header beyond all numbers', file('{}', 0, 2 ** 63), /claims a header/],
    ['a header above the bound', file(new Uint8Array(16 * 2 ** 20 + 1)), /at most 16777216/],
    ['no UTF-8', file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /no UTF-8/],
    ['no JSON', file('{"a":NaN}'), /no JSON/],
    ['no object', file('[]'), /no JSON object/],
    ['space before the object', file(` {${good}}`, 8), /no JSON object/],
    ['a name given twice', file(`{${good},${good}}`, 8), /a name twice/],
    ['a member given twice', file(`{${good.replace('{', '{"dtype":"F32",')}}`, 8), /a name twice/],
    ['an escaped name given twice', file(`{${good},${good.replace('"a"', '"\\u0061"')}}`, 8), /a name twice/],
    ['metadata that is no map of texts', file(`{"__metadata__":{"a":1},${good}}`, 8), /__metadata__/],
    ['metadata that is null', file(`{"__metadata__":null,${good}}`, 8), /__metadata__/],
    ['a name that is no text', file(`{${good.replace('"a"', '"\\ud800"')}}`, 8), /no Unicode text/],
    ['a name without end', file(`{${entry('a'.repeat(1025), '[2]', 0, 8)}}`, 8), /at most 1024/],
    ['an entry that is no object', file('{"a":[]}'), /other members/],
    ['a further member', file(`{${good.replace('}', ',"x":1}')}}`, 8), /other members/],
    ['a member too few', file('{"a":{"dtype":"F32","shape":[0]}}'), /other members/],
    ['half precision', file(`{${entry('a', '[2]', 0, 4, '"F16"')}}`, 4), /"F16", where this tab trains F32/],
    ['a negative side', file(`{${entry('a', '[-2]', 0, 8)}}`, 8), /impossible shape/],
    ['a side that is no whole number', file(`{${entry('a', '[2.5]', 0, 10)}}`, 10), /impossible shape/],
    ['a side that is true', file(`{${entry('a', '[true]', 0, 4)}}`, 4), /impossible shape/],
    ['more values than can be', file(`{${entry('a', '[4294967296,4294967296]', 0, 8)}}`, 8), /impossible shape/],
    ['too many axes', file(`{${entry('a', `[${Array(17).fill(1)}]`, 0, 4)}}`, 4), /impossible shape/],
    ['one offset', file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}', 4), /impossible data_offsets/],
    ['a negative offset', file(`{${entry('a', '[1]', -4, 0)}}`, 4), /impossible data_offsets/],
    ['bytes that do not fit the shape', file(`{${entry('a', '[2]', 0, 4)}}`, 4), /4 bytes where F32 \[2\] takes 8/],
    ['an overlap', file(`{${good},${entry('b', '[1]', 4, 8)}}`, 8), /overlaps another/],
    ['a hole', file(`{${good},${entry('b', '[1]', 12, 16)}}`, 16), /leaves a hole/],
    ['a hole at the start', file(`{${entry('a', '[1]', 4, 8)}}`, 8), /leaves a hole/],
    ['values too few', file(`{${good}}`, 7), /7 bytes of values/],
    ['values too many', file(`{${good}}`, 9), /9 bytes of values/],
  ])('refuses %s', (_, bytes, problem) => {
    const read = (): Weights => parseSafetensors(bytes);
    expect(read).toThrow(Refused);
    expect(read).toThrow(problem);
    expect(read).toThrow(expect.objectContaining({ code: 'bad_data' }));
  });
});
