/**
 * What a visitor downloads, and how much of it is ours: `sizes.json` beside the bundle, for the tests that bound both.
 *
 * Packages are kept in chunks of their own (`vendorApart`), so "our code" is whole files as they are sent, minified and
 * compressed, and not an estimate. It also lets a browser keep the packages when only our code has changed.
 */
import { gzipSync } from 'node:zlib';
import type { Plugin, Rolldown } from 'vite';

/** A file of the bundle. */
export interface FileSize {
  readonly file: string;
  readonly bytes: number;
  readonly gzip: number;
  /** Whose: a chunk of packages, or ours. A chunk of both would be an error, see `owner`. */
  readonly owner: 'own' | 'package';
  /** `code` is what the 40 KB bound: scripts, styles and the page. */
  readonly kind: 'code' | 'picture' | 'data';
  /** Only fetched when something is first used (a dynamic import). */
  readonly lazy: boolean;
}

export const vendorApart = { groups: [{ name: 'vendor', test: /[\\/]node_modules[\\/]/ }] };

/** Two plugins that share what they see: the worker is a build of its own, whose files reach the page's as mere assets. */
export function sizes(): { readonly page: Plugin; readonly worker: Plugin } {
  const chunks = new Map<string, { readonly owner: FileSize['owner']; readonly lazy: boolean }>();
  const note = (bundle: Rolldown.OutputBundle): void => {
    const eager = reached(bundle);
    for (const item of Object.values(bundle)) {
      if (item.type === 'chunk') chunks.set(item.fileName, { owner: owner(item), lazy: !eager.has(item.fileName) });
    }
  };
  return {
    worker: { name: 'potluck:worker-sizes', generateBundle: { order: 'post', handler: (_, bundle) => note(bundle) } },
    page: {
      name: 'potluck:sizes',
      apply: 'build',
      generateBundle: {
        order: 'post',
        handler(_, bundle) {
          note(bundle);
          const files = Object.values(bundle).map((item): FileSize => {
            const content = Buffer.from(item.type === 'chunk' ? item.code : item.source);
            return {
              file: item.fileName,
              bytes: content.length,
              gzip: gzipSync(content, { level: 9 }).length,
              ...(chunks.get(item.fileName) ?? { owner: 'own', lazy: false }),
              kind: kindOf(item.fileName),
            };
          });
          files.sort((a, b) => a.file.localeCompare(b.file));
          this.emitFile({ type: 'asset', fileName: 'sizes.json', source: `${JSON.stringify(files, null, 1)}\n` });
        },
      },
    },
  };
}

function kindOf(file: string): FileSize['kind'] {
  if (/\.(?:html|js|css)$/.test(file)) return 'code';
  return /\.(?:svg|png|woff2|webmanifest|ico)$/.test(file) ? 'picture' : 'data';
}

function owner(chunk: Rolldown.OutputChunk): FileSize['owner'] {
  const modules = chunk.moduleIds.filter((id) => !id.startsWith('\0'));
  const foreign = modules.filter((id) => /[\\/]node_modules[\\/]/.test(id));
  if (foreign.length > 0 && foreign.length < modules.length) {
    throw new Error(`${chunk.fileName} mixes our code with ${foreign[0]}: see vendorApart in plugins/sizes.ts`);
  }
  return foreign.length > 0 ? 'package' : 'own';
}

/** The chunks that load without anybody asking: entries, and what they import statically. */
function reached(bundle: Rolldown.OutputBundle): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (file: string): void => {
    const item = bundle[file];
    if (item?.type !== 'chunk' || found.has(file)) return;
    found.add(file);
    item.imports.forEach(visit);
  };
  for (const item of Object.values(bundle)) if (item.type === 'chunk' && item.isEntry) visit(item.fileName);
  return found;
}
