/** WGSL with loops unrolled and shapes filled in: one text serves every variant of a kernel. */

export type Constants = Readonly<Record<string, number | boolean>>;

/** `$NAME` and `$(NAME+1)` become numbers; `//#for i COUNT` … `//#end` is repeated, `//#if NAME` … `//#else` … `//#end`
 *  kept where NAME is neither false nor nought. */
export function fill(text: string, constants: Constants): string {
  return block(text.split('\n'), constants).join('\n');
}

function block(lines: readonly string[], constants: Constants): string[] {
  const out: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, word, name, count] = /^\s*\/\/#(for|if)\s+(\w+)\s*(\w*)/.exec(lines[i]) ?? [];
    if (word === undefined) {
      out.push(lines[i].replace(/\$(\w+?(?=_|\b)|\(.*?\))/g, (_, sum: string) => String(total(sum, constants))));
      continue;
    }
    const [otherwise, end] = extent(lines, i);
    if (word === 'for') {
      const times = Number(total(count, constants));
      for (let k = 0; k < times; k++) {
        out.push(...block(lines.slice(i + 1, end), { ...constants, [name]: k }));
      }
    } else {
      const kept = total(name, constants) ? lines.slice(i + 1, otherwise) : lines.slice(otherwise + 1, end);
      out.push(...block(kept, constants));
    }
    i = end;
  }
  return out;
}

/** The lines of the `//#else` (or again the end) and of the `//#end` that belong to line `start`. */
function extent(lines: readonly string[], start: number): [number, number] {
  let otherwise: number | undefined;
  for (let i = start + 1, depth = 1; i < lines.length; i++) {
    const word = /^\s*\/\/#(\w+)/.exec(lines[i])?.[1];
    if (word === 'for' || word === 'if') depth++;
    if (word === 'else' && depth === 1) otherwise = i;
    if (word === 'end' && --depth === 0) return [otherwise ?? i, i];
  }
  throw new SyntaxError(`No #end for: ${lines[start]}`);
}

function total(sum: string, constants: Constants): number | boolean {
  const terms = sum
    .replace(/[()]/g, '')
    .split('+')
    .map((term) => (/^\d+$/.test(term) ? Number(term) : constants[term]));
  if (terms.includes(undefined as never)) throw new SyntaxError(`A kernel needs ${sum}`);
  return terms.length === 1 ? terms[0] : terms.reduce<number>((a, b) => a + Number(b), 0);
}
