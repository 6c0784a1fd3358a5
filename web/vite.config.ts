import { defineConfig } from 'vite';
import { plainImports } from './plugins/imports.ts';
import { markup } from './plugins/markup.ts';
import { precompress } from './plugins/precompress.ts';
import { shaders } from './plugins/shaders.ts';
import { sizes, vendorApart } from './plugins/sizes.ts';

const measured = sizes();
const output = { codeSplitting: vendorApart, comments: false } as const;

// `base` is relative: the page works at /edge/ behind any prefix that a proxy adds.
export default defineConfig({
  base: './',
  plugins: [plainImports, markup, measured.page, precompress()],
  build: {
    outDir: '../mcp_server/static/edge',
    emptyOutDir: true,
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    chunkSizeWarningLimit: 800,
    assetsInlineLimit: 0, // the page's policy forbids data: URLs but for pictures
    modulePreload: { polyfill: false }, // what has WebGPU or OPFS has it
    rolldownOptions: { output },
  },
  worker: {
    format: 'es',
    plugins: () => [measured.worker, shaders],
    rolldownOptions: { output },
  },
});
