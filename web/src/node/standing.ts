/** One standing request for a browser profile: browsers allow six connections to a host, and a profile is one node. The
 *  tab that holds the lock is that node; the others wait for the lock, which costs no connection. */

/** The part of `navigator.locks` that is used here. */
export interface Locks {
  request<T>(
    name: string,
    options: { readonly ifAvailable?: boolean; readonly signal?: AbortSignal },
    work: (lock: unknown) => Promise<T>,
  ): Promise<T>;
}

export const nodeLock = (base: string): string => `potluck-node ${base}`;
export const watchLock = (base: string): string => `potluck-watch ${base}`;

/** What `work` answers, done while no other tab holds the lock; `onTaken` is told if one does now. */
export async function alone<T>(
  locks: Locks,
  name: string,
  signal: AbortSignal,
  onTaken: () => void,
  work: () => Promise<T>,
): Promise<T> {
  const taken = Symbol();
  const atOnce = await locks.request<T | symbol>(name, { ifAvailable: true }, async (lock) =>
    lock === null ? taken : work(),
  );
  if (atOnce !== taken) {
    return atOnce as T;
  }
  onTaken();
  return locks.request(name, { signal }, work);
}
