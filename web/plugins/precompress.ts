/** Writes `.br` and `.gz` beside every text file of the bundle, so that the server never compresses. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Plugin } from 'vite';

/** What shrinks; PNG and WOFF2 are compressed already. */
const TEXT = /(?<!sizes)\.(?:html|js|css|svg|json|webmanifest|wasm|bin)$/;

const packers = {
  br: (bytes: Buffer) => promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }),
  gz: (bytes: Buffer) => promisify(gzip)(bytes, { level: 9 }),
};

export function precompress(): Plugin {
  let folder = '';
  return {
    name: 'potluck:precompress',
    apply: 'build',
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir);
    },
    /** Last of all: what `public/` holds is there by then, too. */
    writeBundle: {
      order: 'post',
      sequential: true,
      async handler() {
        const names = await readdir(folder, { recursive: true });
        await Promise.all(names.filter((name) => TEXT.test(name)).map((name) => pack(join(folder, name))));
      },
    },
  };
}

/** A variant that is no smaller is not written: the server then sends the file itself. */
async function pack(path: string): Promise<void> {
  const bytes = await readFile(path);
  for (const [suffix, packer] of Object.entries(packers)) {
    const packed = await packer(bytes);
    if (packed.length < bytes.length) await writeFile(`${path}.${suffix}`, packed);
  }
}
