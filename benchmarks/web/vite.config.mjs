// One library under test and the page that drives it, as one bundle: ENTRY.js, from page/ or peers/, into OUT.
// Peers are resolved in PEERS, a node_modules folder in the user's cache.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const { ENTRY, OUT, PEERS } = process.env;

export default {
  root: fileURLToPath(new URL('.', import.meta.url)),
  configFile: false,
  base: './',
  publicDir: false,
  logLevel: 'warn',
  resolve: {
    alias: PEERS ? ['@jax-js', '@tensorflow'].map((find) => ({ find, replacement: join(PEERS, find) })) : [],
  },
  build: {
    outDir: OUT,
    emptyOutDir: false,
    target: 'es2022',
    modulePreload: false,
    chunkSizeWarningLimit: 4000,
    rolldownOptions: { input: ENTRY, output: { entryFileNames: '[name].js' } },
  },
};
