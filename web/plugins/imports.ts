import type { Plugin } from 'vite';

/** A dynamic import is an import: Vite's helper around each would fetch style sheets first, which `page/element.ts` does
 *  in a line, and weighs as much as a panel. */
export const plainImports: Plugin = {
  name: 'potluck:plain-imports',
  apply: 'build',
  enforce: 'pre',
  load: {
    order: 'pre',
    handler: (id) => (id === '\0vite/preload-helper.js' ? 'export const __vitePreload = (load) => load();' : undefined),
  },
};
