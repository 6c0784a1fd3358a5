import { defineConfig, type Plugin } from 'vite';

/** Shaders go into the bundle without comments and indentation; lines of `//#` are ours to unfold. */
const shaders: Plugin = {
  name: 'shaders',
  transform: (code, id) =>
    id.endsWith('.wgsl?raw') ? code.replace(/\\n *\/\/(?!#)[^\\]*(?=\\n)/g, '').replace(/(\\n) +/g, '$1') : undefined,
};

// `base` is relative: the page works at /edge/ behind any prefix that a proxy adds.
export default defineConfig({
  base: './',
  plugins: [shaders],
  build: { outDir: '../mcp_server/static/edge', emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 800 },
  worker: { format: 'es', plugins: () => [shaders] },
});
