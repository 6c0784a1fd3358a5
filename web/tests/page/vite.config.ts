/** The page as it is, with a scripted worker in place of the node's: built, or served by `vite preview`/`vite dev`.
 *  `/<scene>/edge/` opens a scene of `scenes.ts`, since the worker is told the page's base. */
import { fileURLToPath } from 'node:url';
import { defineConfig, type Connect, type Plugin } from 'vite';

const scripted = fileURLToPath(new URL('scripted.worker.ts', import.meta.url));

const inPlace = (): Plugin => ({
  name: 'scripted-worker',
  load: (id) => (/\/src\/worker\.ts(\?|$)/.test(id) ? `import ${JSON.stringify(scripted)};` : null),
});

const anyScene: Connect.NextHandleFunction = (request, _, next) => {
  request.url = request.url?.replace(/^\/[\w-]+\/edge\//, '/');
  next();
};

export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  base: './',
  plugins: [
    inPlace(),
    {
      name: 'scenes',
      configureServer: ({ middlewares }) => void middlewares.use(anyScene),
      configurePreviewServer: ({ middlewares }) => void middlewares.use(anyScene),
    },
  ],
  build: { outDir: process.env.SCENES_OUT ?? 'node_modules/.scenes', emptyOutDir: true, target: 'es2022', cssTarget: ['chrome123', 'firefox120', 'safari17.5'] },
  worker: { format: 'es', plugins: () => [inPlace()] },
});
