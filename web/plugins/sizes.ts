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
  /** Whose: of packages, or ours. A chunk of both would be an error, see `owner`. */
  readonly owner: 'own' | 'package';
  readonly kind: 'code' | 'picture' | 'data';
  /** The tabs that fetch it to show the page and to train a task, by their engine; none: it comes when it is asked for. */
  readonly tabs: readonly Engine[];
  /** Those of them that fetch it before anybody has pressed anything. */
  readonly first: readonly Engine[];
}

type Engine = 'webgpu' | 'cpu';
type Noted = Pick<FileSize, 'owner' | 'tabs' | 'first'>;

export const vendorApart = { groups: [{ name: 'vendor', test: /[\\/]node_modules[\\/]/ }] };

const BOTH: readonly Engine[] = ['webgpu', 'cpu'];

/** Chunks that no page imports statically, though none trains without them; `first`: fetched with the page. */
const TRAINING: readonly (readonly [module: RegExp, tabs: readonly Engine[], first: boolean])[] = [
  [/src[\\/]engine[\\/]gpu[\\/]engine\.ts$/, ['webgpu'], true],
  [/src[\\/]engine[\\/]cpu[\\/]engine\.ts$/, ['cpu'], true],
  [/src[\\/](?:node[\\/])?craft\.ts$/, BOTH, false],
  [/src[\\/]data[\\/]read\.ts$/, BOTH, false],
  [/src[\\/]page[\\/]charts\.ts$/, BOTH, false], // the curves begin with the first steps
  [/node_modules[\\/]uplot[\\/]/, BOTH, false],
];

/** Two plugins that share what they see: the worker is a build of its own, whose files reach the page's as mere assets. */
export function sizes(): { readonly page: Plugin; readonly worker: Plugin } {
  const noted = new Map<string, Noted>();
  const note = (bundle: Rolldown.OutputBundle): void => {
    const chunks = Object.values(bundle).filter((item) => item.type === 'chunk');
    for (const chunk of chunks) {
      noted.set(chunk.fileName, { owner: owner(chunk.fileName, chunk.moduleIds), tabs: [], first: [] });
    }
    for (const { fileName, isEntry, moduleIds } of chunks) {
      const training = TRAINING.find(([module]) => moduleIds.some((id) => module.test(id)));
      const [, tabs, first] = training ?? [null, isEntry ? BOTH : [], true];
      for (const tab of tabs) {
        visit(bundle, fileName, tab, 'tabs', noted);
        if (first) visit(bundle, fileName, tab, 'first', noted);
      }
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
          const page = String(bundle['index.html']?.type === 'asset' ? bundle['index.html'].source : '');
          const files = Object.values(bundle).map((item): FileSize => {
            const content = Buffer.from(item.type === 'chunk' ? item.code : item.source);
            const from = item.type === 'asset' ? item.originalFileNames : item.moduleIds;
            const linked = item.fileName === 'index.html' || page.includes(item.fileName);
            return {
              file: item.fileName,
              bytes: content.length,
              gzip: gzipSync(content, { level: 9 }).length,
              kind: kindOf(item.fileName),
              ...(noted.get(item.fileName) ?? {
                owner: owner(item.fileName, from),
                tabs: linked || from.some((id) => /[\\/]uplot[\\/]/.test(id)) ? BOTH : [],
                first: linked ? BOTH : [],
              }),
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

function owner(file: string, modules: readonly string[]): FileSize['owner'] {
  const written = modules.filter((id) => !id.startsWith('\0'));
  const foreign = written.filter((id) => /[\\/]node_modules[\\/]/.test(id));
  if (foreign.length > 0 && foreign.length < written.length) {
    throw new Error(`${file} mixes our code with ${foreign[0]}: see vendorApart in plugins/sizes.ts`);
  }
  return foreign.length > 0 || file.includes('/vendor-') ? 'package' : 'own';
}

/** Notes that a tab fetches a chunk, and with it what that imports statically. */
function visit(
  bundle: Rolldown.OutputBundle,
  file: string,
  tab: Engine,
  when: 'tabs' | 'first',
  noted: Map<string, Noted>,
): void {
  const [item, before] = [bundle[file], noted.get(file)];
  if (item?.type !== 'chunk' || before === undefined || before[when].includes(tab)) return;
  noted.set(file, { ...before, [when]: [...before[when], tab] });
  item.imports.forEach((imported) => visit(bundle, imported, tab, when, noted));
}
