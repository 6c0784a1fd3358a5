import type { Plugin } from 'vite';

/** Shaders go into the bundle without comments and indentation; lines of `//#` are the engine's own to unfold. */
export const shaders: Plugin = {
  name: 'potluck:shaders',
  transform: (code, id) =>
    id.endsWith('.wgsl?raw') ? code.replace(/\\n *\/\/(?!#)[^\\]*(?=\\n)/g, '').replace(/(\\n) +/g, '$1') : undefined,
};
