/** What a node keeps in the browser's private file system, so that a closed tab costs nothing; of a server at a path,
 *  `/a` say, in `potluck%2Fa` instead of `potluck`:
 *
 *      potluck/model/<sha256>        the global model that was downloaded last
 *      potluck/<task>/training       a checkpoint of the round's training
 *      potluck/<task>/update         the finished update, until there is a receipt
 *
 *  One tab writes: the one that holds the node's lock. What cannot be kept costs work at most, and is said. */
import type { StorageReport, Trouble } from '../messages';
import { sha256 } from './bytes';
import { isFull, readFile, removeFile, writeFile, type Folder } from './folder';
import type { Fields } from './protocol';
import { readSealed, removeSealed, writeSealed, type Sealed } from './sealed';

/** How long the folder of a task that nobody came back to is kept, in milliseconds. */
const KEEP_MS = 14 * 86_400_000;
const MODEL = 'model';

export type Kept = 'training' | 'update';

export class Store {
  /** What could not be kept, said once. */
  private readonly said = new Set<string>();

  private constructor(
    private readonly root: Folder | null,
    private readonly onTrouble: (trouble: Trouble) => void,
  ) {}

  /** Where a browser has no private file system, or refuses it, nothing is kept. */
  static async open(
    origin: (() => Promise<Folder>) | null,
    base: string,
    onTrouble: (trouble: Trouble) => void,
  ): Promise<Store> {
    const name = encodeURIComponent(`potluck${new URL(base).pathname.replace(/\/+$/, '')}`);
    try {
      const root = origin === null ? null : await (await origin()).getDirectoryHandle(name, { create: true });
      return new Store(root, onTrouble);
    } catch {
      return new Store(null, onTrouble);
    }
  }

  /** The model with this hash; a file that is not what its name says is removed. */
  async model(hash: string): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.trying('the model', null, async (root) => {
      const folder = await root.getDirectoryHandle(MODEL, { create: true });
      const bytes = await readFile(folder, hash);
      if (bytes !== null && (await sha256(bytes)) !== hash) {
        await removeFile(folder, hash);
        return null;
      }
      return bytes;
    });
  }

  /** Keeps this model, and no other. */
  async keepModel(hash: string, bytes: Uint8Array): Promise<void> {
    await this.trying('the model', undefined, async (root) => {
      const folder = await root.getDirectoryHandle(MODEL, { create: true });
      for (const name of await names(folder)) {
        await removeFile(folder, name);
      }
      await writeFile(folder, hash, [bytes]);
    });
  }

  /** Replaces what is kept of a task; whether it is on disk now. */
  async write(task: string, name: Kept, facts: Fields, payload: Uint8Array): Promise<boolean> {
    return this.trying(`the ${name} of this round`, false, async (root) => {
      await writeSealed(await root.getDirectoryHandle(task, { create: true }), name, facts, payload);
      return true;
    });
  }

  /** What is kept of a task, if its facts agree with all of `expected`; else it is removed. */
  async read(task: string, name: Kept, expected: Fields): Promise<Sealed | null> {
    return this.trying(`the ${name} of this round`, null, async (root) => {
      const folder = await root.getDirectoryHandle(task, { create: true });
      const found = await readSealed(folder, name);
      const other = found && Object.keys(expected).find((fact) => found.facts[fact] !== expected[fact]);
      if (other !== undefined && other !== null) {
        await removeSealed(folder, name);
        return null;
      }
      return found;
    });
  }

  async remove(task: string, name: Kept): Promise<void> {
    await this.trying(`the ${name}`, undefined, async (root) => {
      await removeSealed(await root.getDirectoryHandle(task, { create: true }), name);
    });
  }

  /** The task is over. */
  async forget(task: string): Promise<void> {
    await this.trying('the task', undefined, (root) => removeFile(root, task));
  }

  /** Removes what tasks left behind that nobody came back to. */
  async sweep(now = Date.now()): Promise<void> {
    await this.trying('old work', undefined, async (root) => {
      for await (const entry of root.values()) {
        if (entry.kind === 'directory' && entry.name !== MODEL && now - (await lastTouched(entry)) > KEEP_MS) {
          await removeFile(root, entry.name);
        }
      }
    });
  }

  /** Removes everything. */
  async clear(): Promise<void> {
    await this.trying('the storage', undefined, async (root) => {
      for (const name of await names(root)) {
        await removeFile(root, name);
      }
    });
  }

  async report(manager: Partial<StorageManager> | undefined = navigator.storage): Promise<StorageReport> {
    const { usage = 0, quota = 0 } = (await manager?.estimate?.().catch(() => undefined)) ?? {};
    const persistent = (await manager?.persisted?.().catch(() => false)) ?? false;
    const files = await this.trying('the storage', [], (root) => filesIn(root, ''));
    return { usedBytes: usage, quotaBytes: quota, persistent, files };
  }

  private async trying<T>(what: string, otherwise: T, work: (root: Folder) => Promise<T>): Promise<T> {
    if (this.root === null) {
      return otherwise;
    }
    try {
      return await work(this.root);
    } catch (error) {
      if (this.said.has(what)) {
        return otherwise;
      }
      this.said.add(what);
      const why = isFull(error) ? 'the browser gives this page no more room' : String(error);
      this.onTrouble({
        code: isFull(error) ? 'quota' : 'storage',
        problem: `On this device ${what} cannot be kept: ${why}. The work goes on without.`,
        mend: 'keep this tab open until the round is over; clear the storage, or free space on this device',
      });
      return otherwise;
    }
  }
}

async function names(folder: Folder): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of folder.values()) {
    found.push(entry.name);
  }
  return found;
}

async function lastTouched(folder: Folder): Promise<number> {
  let last = 0;
  for await (const entry of folder.values()) {
    last = Math.max(last, entry.kind === 'file' ? (await entry.getFile()).lastModified : 0);
  }
  return last;
}

async function filesIn(folder: Folder, path: string): Promise<{ name: string; bytes: number }[]> {
  const found: { name: string; bytes: number }[] = [];
  for await (const entry of folder.values()) {
    const name = path + entry.name;
    if (entry.kind === 'file') {
      found.push({ name, bytes: (await entry.getFile()).size });
    } else {
      found.push(...(await filesIn(entry, `${name}/`)));
    }
  }
  return found;
}
