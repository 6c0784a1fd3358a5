import type { Plugin } from 'vite';

/** A node of the syntax tree, as far as it matters here. */
interface Tree {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [part: string]: unknown;
}

/**
 * Private members get short names in the bundle, as `#names` do: TypeScript has made sure that nobody else uses them.
 * One that the text alone does not show to be `this.name` everywhere in its class keeps its name.
 */
export const privates: Plugin = {
  name: 'potluck:privates',
  apply: 'build',
  enforce: 'pre',
  transform(code, id) {
    if (!/[\\/]src[\\/][^?]*\.ts$/.test(id)) return undefined;
    const places: { readonly at: number; readonly old: string; readonly short: string }[] = [];
    for (const body of under(this.parse(code, { lang: 'ts' }) as unknown as Tree)) {
      if (body.type !== 'ClassBody') continue;
      const found = members(body);
      [...found].forEach(([old, uses], i) => uses.forEach((at) => places.push({ at, old, short: `_${i.toString(36)}` })));
    }
    places.sort((a, b) => b.at - a.at);
    for (const { at, old, short } of places) code = code.slice(0, at) + short + code.slice(at + old.length);
    return places.length > 0 ? { code, map: null } : undefined;
  },
};

/** Where the private members of a class are written, by name. */
function members(body: Tree): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>();
  for (const member of body.body as readonly Tree[]) {
    const parameters = ((member.value as Tree | null)?.params ?? []) as readonly Tree[];
    for (const one of [member, ...parameters.map((parameter) => ({ ...parameter, key: parameter.parameter }) as Tree)]) {
      const key = one.key as Tree & { readonly left?: Tree };
      const { name, start } = (key?.left ?? key ?? {}) as { readonly name?: string } & Partial<Tree>;
      if (one.accessibility === 'private' && one.kind !== 'constructor' && name !== undefined && start !== undefined) {
        found.set(name, [...(found.get(name) ?? []), start]);
      }
    }
  }
  for (const tree of under(body)) {
    const { object, property, computed } = tree as Tree & { readonly object?: Tree; readonly property?: Tree };
    if (tree.type === 'MemberExpression' && !computed && object?.type === 'ThisExpression' && property !== undefined) {
      found.get(String(property.name))?.push(property.start);
    }
  }
  // An identifier by that name which is neither the member's declaration nor `this.name` is another's, or a parameter's.
  const counted = (name: string): number => under(body).filter((tree) => tree.type === 'Identifier' && tree.name === name).length;
  return new Map([...found].filter(([name, uses]) => counted(name) === uses.length));
}

function under(tree: Tree): Tree[] {
  const parts = Object.values(tree).flat().filter((part): part is Tree => typeof (part as Tree | null)?.type === 'string');
  return [tree, ...parts.flatMap(under)];
}
