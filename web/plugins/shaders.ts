import type { Plugin } from 'vite';

/** Shaders go into the bundle without comments, indentation and other needless space; lines of `//#` are the engine's own
 *  to unfold, each by itself. The tests of the kernels run these texts, too. */
export const shaders: Plugin = {
  name: 'potluck:shaders',
  transform: (code, id) => {
    const [, text] = (id.endsWith('.wgsl?raw') && /^export default (".*");?\s*$/s.exec(code)) || [];
    return text === undefined ? undefined : `export default ${JSON.stringify(packed(JSON.parse(text) as string))};`;
  },
};

/** No shader of ours has a sign after a sign, which would need the space between them. */
export const packed = (text: string): string =>
  text
    .replace(/\/\/(?!#).*/g, '')
    .replace(/^\s+/gm, '')
    .split(/^(\/\/#.*\n)/m)
    .map((part) => (part.startsWith('//#') ? part : part.replace(/\s*([-+*/%=<>!&|,;:{}()[\]])\s*/g, '$1').trim()))
    .map((part) => (part === '' || part.endsWith('\n') ? part : `${part}\n`))
    .join('');
