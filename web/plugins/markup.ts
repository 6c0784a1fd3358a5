import type { Plugin } from 'vite';

const packed = (html: string): string => html.replace(/\n\s+/g, '\n');

/** The page and the panels' markup go into the bundle without indentation. */
export const markup: Plugin = {
  name: 'potluck:markup',
  apply: 'build',
  transformIndexHtml: { order: 'post', handler: packed },
  transform: (code, id) => (id.endsWith('.html?raw') ? code.replace(/(\\n) +/g, '$1') : undefined),
};
