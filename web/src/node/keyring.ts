/** What this browser profile keeps about itself: its key, and the invitation to each server. */

export interface Keyring {
  get<T>(name: string): Promise<T | undefined>;
  put(name: string, value: unknown): Promise<void>;
  remove(name: string): Promise<void>;
  /** What is kept under `name`; if nothing is, what `make` makes, and it is kept. One for all tabs. */
  keep<T>(name: string, make: () => Promise<T>): Promise<T>;
}

const STORE = 'kept';

/** The keyring in IndexedDB, which keeps keys without showing them. A browser that closes it, because the storage was
 *  cleared say, has it opened anew. */
export async function openKeyring(factory: IDBFactory = indexedDB): Promise<Keyring> {
  let database: IDBDatabase | null = null;
  const open = async (): Promise<IDBDatabase> => {
    const opening = factory.open('potluck', 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    const opened = await settled(opening);
    opened.onclose = () => (database = null);
    opened.onversionchange = () => {
      opened.close();
      database = null;
    };
    return (database = opened);
  };
  const store = async (mode: IDBTransactionMode): Promise<IDBObjectStore> =>
    (database ?? (await open())).transaction(STORE, mode).objectStore(STORE);
  const get = async <T>(name: string): Promise<T | undefined> =>
    settled<T | undefined>((await store('readonly')).get(name));
  const write = async (change: (kept: IDBObjectStore) => IDBRequest): Promise<void> =>
    written(await store('readwrite'), change);
  await open();
  return {
    get,
    put: (name, value) => write((kept) => kept.put(value, name)),
    remove: (name) => write((kept) => kept.delete(name)),
    async keep(name, make) {
      const found = await get<Awaited<ReturnType<typeof make>>>(name);
      if (found !== undefined) {
        return found;
      }
      const made = await make();
      // Another tab may have been faster: `add` does not replace what it kept.
      await write((kept) => kept.add(made, name)).catch((error: unknown) => {
        if ((error as Error | null)?.name !== 'ConstraintError') {
          throw error;
        }
      });
      return (await get<typeof made>(name)) ?? made;
    },
  };
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Resolves once it is on disk, not merely asked for. */
function written(store: IDBObjectStore, write: (store: IDBObjectStore) => IDBRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const { transaction } = store;
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
    const request = write(store);
    request.onerror = () => reject(request.error);
  });
}
