/** CSV files with a header: a column `label`, and the features in order in all other columns (RFC 4180). */
import { sizeOf } from '../engine/catalogue';
import type { LocalFile } from '../messages';
import { bad, bytesOf, checkRoom, MOST_TEXT } from './bad';
import type { Raw } from './check';

export async function readCsv({ path, file }: LocalFile, shape: readonly number[]): Promise<Raw> {
  if (file.size > MOST_TEXT)
    bad(`${path} has ${file.size} bytes, more than a tab takes.`, 'save it as .npz, or give a part');
  const text = decoded(path, await bytesOf(path, file));
  const width = sizeOf(shape);
  const rows = records(text);
  const header = rows.next().value ?? [];
  const at = header.indexOf('label');
  if (at < 0 || at !== header.lastIndexOf('label')) {
    bad(`${path} has no column \`label\`.`, 'name the columns in the first row, one of them `label`');
  }
  if (header.length !== width + 1) {
    const mend = `give the ${width} values of shape [${shape.join(', ')}] in order, and \`label\``;
    bad(`${path} has ${header.length - 1} feature columns and the task wants ${width}.`, mend);
  }
  const lines = linesIn(text) - 1;
  checkRoom(path, lines, shape);
  const x = new Float32Array(lines * width);
  const y: number[] = [];
  for (const row of rows) {
    const named = `${path}, row ${y.length + 2}`;
    if (row.length !== header.length) {
      bad(`${named} has ${row.length} cells, not ${header.length}.`, 'complete or remove the row');
    }
    const first = y.length * width;
    for (let cell = 0; cell <= width; cell++) {
      if (cell !== at) x[first + cell - (cell > at ? 1 : 0)] = numberIn(row[cell], FLOAT, named);
    }
    y.push(numberIn(row[at], WHOLE, named));
  }
  if (y.length === 0) bad(`${path} holds no examples.`, 'add rows under the header');
  const values = x.subarray(0, y.length * width);
  return { x: bytesIn(values) ?? values.slice(), y, name: (index) => `${path}, row ${index + 2}` };
}

function decoded(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return bad(`${path} cannot be read: it is no text in UTF-8.`, 'save it as CSV in UTF-8');
  }
}

/** At least as many as there are records: quoted cells may hold line ends, too. */
function linesIn(text: string): number {
  let lines = 0;
  for (let at = 0; at < text.length; lines++) at = endOfLine(text, at)[1];
  return lines;
}

/** Where the line that begins at `at` ends, and where the next one begins. */
function endOfLine(text: string, at: number): [number, number] {
  LINE.lastIndex = at;
  LINE.test(text);
  const end = LINE.lastIndex;
  return [end, end + (text.startsWith('\r\n', end) ? 2 : 1)];
}

const LINE = /[^\r\n]*/y;

function* records(text: string): Generator<string[], undefined> {
  for (let at = 0; at < text.length;) {
    const [end, next] = endOfLine(text, at);
    const line = text.slice(at, end);
    if (line.includes('"')) {
      const [cells, after] = quotedRecord(text, at);
      yield cells;
      at = after;
    } else {
      yield line === '' ? [] : line.split(',');
      at = next;
    }
  }
  return undefined;
}

/** A record with quotes: its cells, and where the next one begins. */
function quotedRecord(text: string, at: number): [string[], number] {
  const cells: string[] = [];
  for (;;) {
    let cell = '';
    if (text[at] === '"') [cell, at] = quotedCell(text, at);
    PLAIN.lastIndex = at;
    PLAIN.test(text);
    cells.push(cell + text.slice(at, PLAIN.lastIndex));
    at = PLAIN.lastIndex;
    if (text[at] !== ',') return [cells, endOfLine(text, at)[1]];
    at += 1;
  }
}

const PLAIN = /[^,\r\n]*/y;

/** Two quotes within quotes are one. */
function quotedCell(text: string, at: number): [string, number] {
  let cell = '';
  for (let from = at + 1; ;) {
    const close = text.indexOf('"', from);
    if (close < 0) return [cell + text.slice(from), text.length];
    cell += text.slice(from, close);
    if (text[close + 1] !== '"') return [cell, close + 1];
    cell += '"';
    from = close + 2;
  }
}

const FLOAT = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;
const WHOLE = /^\s*[+-]?\d{1,15}\s*$/;
const ODD = /^\s*[+-]?(nan|inf|infinity)\s*$/i;

/** The number in a cell; NaN for nan and inf, which the check names. JavaScript's own reading takes too much. */
function numberIn(cell: string, form: RegExp, named: string): number {
  if (cell.length < 100 && form.test(cell)) return Number(cell);
  if (form === FLOAT && ODD.test(cell.slice(0, 100))) return NaN;
  return bad(`${named} holds no number: '${cell.slice(0, 40)}'.`, 'correct or remove the row');
}

/** Whole numbers up to 255, of which one at least exceeds 1, are bytes. */
function bytesIn(values: Float32Array): Uint8Array | null {
  if (!values.every((value) => value >= 0 && value <= 255 && Number.isInteger(value))) return null;
  return values.some((value) => value > 1) ? Uint8Array.from(values) : null;
}
