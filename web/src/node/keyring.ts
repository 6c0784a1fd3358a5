/** What this browser profile keeps about itself: its key, and the invitation to each server. */

export interface Keyring {
  get<T>(name: string): Promise<T | undefined>;
  put(name: string, value: unknown): Promise<void>;
  /** What is kept under `name`; if nothing is, what `make` makes, and it is kept. One for all tabs. */
  keep<T>(name: string, make: () => Promise<T>): Promise<T>;
}

const STORE = 'kept';

/** The keyring in IndexedDB, which keeps keys without showing them. */
export async function openKeyring(factory: IDBFactory = indexedDB): Promise<Keyring> {
  const opening = factory.open('potluck', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await settled(opening);
  const store = (mode: IDBTransactionMode): IDBObjectStore => database.transaction(STORE, mode).objectStore(STORE);
  const get = <T>(name: string): Promise<T | undefined> => settled<T | undefined>(store('readonly').get(name));
  const put = (name: string, value: unknown): Promise<void> =>
    written(store('readwrite'), (kept) => kept.put(value, name));
  return {
    get,
    put,
    async keep(name, make) {
      const found = await get<Awaited<ReturnType<typeof make>>>(name);
      if (found !== undefined) {
        return found;
      }
      const made = await make();
      // Another tab may have been faster: `add` does not replace what it kept.
      await written(store('readwrite'), (kept) => kept.add(made, name)).catch((error: unknown) => {
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
