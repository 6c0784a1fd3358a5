import { defineConfig } from 'vite';

// `base` is relative: the page works at /edge/ behind any prefix that a proxy adds.
export default defineConfig({
  base: './',
  build: { outDir: '../mcp_server/static/edge', emptyOutDir: true, target: 'es2022', cssTarget: ['chrome123', 'firefox120', 'safari17.5'], chunkSizeWarningLimit: 800 },
  worker: { format: 'es' },
});
