/** The little of the browser's private file system that is used here; the types know it only in part. */

export interface Handle {
  readonly kind: 'file' | 'directory';
  readonly name: string;
}

export interface FileHandle extends Handle {
  readonly kind: 'file';
  getFile(): Promise<Blob & { readonly lastModified: number }>;
  createSyncAccessHandle(): Promise<Access>;
  /** Onto an existing name it replaces that file. Not everywhere. */
  move?(name: string): Promise<void>;
}

export interface Access {
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void | Promise<void>;
  flush(): void | Promise<void>;
  close(): void | Promise<void>;
}

export interface Folder extends Handle {
  readonly kind: 'directory';
  getFileHandle(name: string, options?: { readonly create?: boolean }): Promise<FileHandle>;
  getDirectoryHandle(name: string, options?: { readonly create?: boolean }): Promise<Folder>;
  removeEntry(name: string, options?: { readonly recursive?: boolean }): Promise<void>;
  values(): AsyncIterable<FileHandle | Folder>;
}

/** Whether there is simply no such file. */
export function isMissing(error: unknown): boolean {
  return (error as Error | null)?.name === 'NotFoundError';
}

export function isFull(error: unknown): boolean {
  return (error as Error | null)?.name === 'QuotaExceededError';
}

/** The bytes of a file; null where there is none. */
export async function readFile(folder: Folder, name: string): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    return new Uint8Array(await (await (await folder.getFileHandle(name)).getFile()).arrayBuffer());
  } catch (error) {
    if (isMissing(error)) {
      return null;
    }
    throw error;
  }
}

/** Writes a file that is on disk when this resolves; one that broke off is removed. */
export async function writeFile(folder: Folder, name: string, pieces: readonly Uint8Array[]): Promise<FileHandle> {
  const handle = await folder.getFileHandle(name, { create: true });
  const access = await handle.createSyncAccessHandle();
  try {
    await access.truncate(0);
    let at = 0;
    for (const piece of pieces) {
      if (access.write(piece, { at }) !== piece.length) {
        throw Object.assign(new Error('the file system took only a part'), { name: 'QuotaExceededError' });
      }
      at += piece.length;
    }
    await access.flush();
  } catch (error) {
    await access.close();
    await removeFile(folder, name);
    throw error;
  }
  await access.close();
  return handle;
}

export async function removeFile(folder: Folder, name: string): Promise<void> {
  await folder.removeEntry(name, { recursive: true }).catch((error: unknown) => {
    if (!isMissing(error)) {
      throw error;
    }
  });
}
