/** The browser's private file system, in memory, with the failures that real ones have. */
import type { Access, FileHandle, Folder } from '../../src/node/folder';

const named = (name: string): Error => Object.assign(new Error(name), { name });

class MemoryFile implements FileHandle {
  readonly kind = 'file';
  bytes = new Uint8Array(0);
  lastModified = Date.now();
  move?: (name: string) => Promise<void>;

  constructor(
    public name: string,
    private readonly disk: Disk,
    private readonly folder: MemoryFolder,
  ) {
    if (disk.moves) {
      this.move = async (to) => {
        disk.step('move');
        this.folder.entries.delete(this.name);
        this.name = to;
        this.folder.entries.set(to, this);
      };
    }
  }

  async getFile(): Promise<Blob & { readonly lastModified: number }> {
    return Object.assign(new Blob([this.bytes]), { lastModified: this.lastModified });
  }

  async createSyncAccessHandle(): Promise<Access> {
    return {
      truncate: (size) => void (this.bytes = this.bytes.slice(0, size)),
      write: (piece, { at }) => {
        this.disk.step('write');
        if (this.disk.quota < at + piece.length) {
          throw named('QuotaExceededError');
        }
        const grown = new Uint8Array(Math.max(this.bytes.length, at + piece.length));
        grown.set(this.bytes);
        grown.set(piece, at);
        this.bytes = grown;
        return piece.length;
      },
      flush: () => this.disk.step('flush'),
      close: () => undefined,
    };
  }
}

class MemoryFolder implements Folder {
  readonly kind = 'directory';
  readonly entries = new Map<string, MemoryFile | MemoryFolder>();

  constructor(
    readonly name: string,
    private readonly disk: Disk,
  ) {}

  async getFileHandle(name: string, { create = false } = {}): Promise<FileHandle> {
    const found = this.entries.get(name);
    if (found instanceof MemoryFolder) {
      throw named('TypeMismatchError');
    }
    if (found === undefined && !create) {
      throw named('NotFoundError');
    }
    const file = found ?? new MemoryFile(name, this.disk, this);
    this.entries.set(name, file);
    return file;
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<Folder> {
    const found = this.entries.get(name);
    if (found instanceof MemoryFile) {
      throw named('TypeMismatchError');
    }
    if (found === undefined && !create) {
      throw named('NotFoundError');
    }
    const folder = found ?? new MemoryFolder(name, this.disk);
    this.entries.set(name, folder);
    return folder;
  }

  async removeEntry(name: string): Promise<void> {
    if (!this.entries.delete(name)) {
      throw named('NotFoundError');
    }
  }

  async *values(): AsyncGenerator<FileHandle | Folder> {
    yield* [...this.entries.values()];
  }
}

/** A file system; `crashAt` is asked before every step that a crash could cut short. */
export class Disk {
  quota = Infinity;
  crashAt: (step: 'write' | 'flush' | 'move') => boolean = () => false;
  readonly root: MemoryFolder;

  constructor(readonly moves = true) {
    this.root = new MemoryFolder('', this);
  }

  step(step: 'write' | 'flush' | 'move'): void {
    if (this.crashAt(step)) {
      throw named('Crash');
    }
  }

  /** Every file by its path. */
  files(folder: MemoryFolder = this.root, path = ''): Map<string, { bytes: Uint8Array; lastModified: number }> {
    const found = new Map<string, MemoryFile>();
    for (const [name, entry] of folder.entries) {
      if (entry instanceof MemoryFile) {
        found.set(path + name, entry);
      } else {
        this.files(entry, `${path}${name}/`).forEach((file, below) => found.set(below, file as MemoryFile));
      }
    }
    return found;
  }
}
