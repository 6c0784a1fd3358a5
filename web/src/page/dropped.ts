/** Files that a person drops or picks, with their paths below the folder that was given. */
import type { LocalFile } from '../messages';

/** What was dropped, folders opened. Call it in the event's own turn: the browser forgets the entries afterwards. */
export async function dropped(transfer: DataTransfer): Promise<LocalFile[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const files = (await Promise.all(entries.map(opened))).flat();
  return belowRoot(files);
}

/** What a file input holds; with `webkitdirectory` the browser gives paths. */
export function picked(files: FileList | null): LocalFile[] {
  return belowRoot([...(files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
}

/** Drops hidden files, and the name of the one folder that holds all, unless that folder is itself a class. */
export function belowRoot<F extends { readonly path: string }>(files: readonly F[]): F[] {
  const visible = files.filter(({ path }) => !path.split('/').some((part) => part.startsWith('.')));
  const roots = new Set(visible.map(({ path }) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : null)));
  const [root] = roots;
  if (roots.size !== 1 || root === null || root === undefined) {
    return visible;
  }
  const below = visible.map((file) => ({ ...file, path: file.path.slice(root.length + 1) }));
  const classFolder = below.every(({ path }) => !path.includes('/') && /\.(png|jpe?g|gif|webp|bmp|avif)$/i.test(path));
  return classFolder ? visible : below;
}

async function opened(entry: FileSystemEntry): Promise<LocalFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((give, fail) => (entry as FileSystemFileEntry).file(give, fail));
    return [{ path: entry.fullPath.slice(1), file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: LocalFile[] = [];
  for (;;) {
    // A reader gives at most a hundred entries at a time, and none when it is through.
    const some = await new Promise<FileSystemEntry[]>((give, fail) => reader.readEntries(give, fail));
    if (some.length === 0) {
      return found;
    }
    found.push(...(await Promise.all(some.map(opened))).flat());
  }
}
