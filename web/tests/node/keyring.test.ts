import { expect, it } from 'vitest';
import { openKeyring } from '../../src/node/keyring';

/** The little of IndexedDB that a keyring asks of it, in memory. */
class Memory {
  readonly kept = new Map<IDBValidKey, unknown>();
  readonly opened: Database[] = [];

  readonly factory = {
    open: () => {
      const request = { result: new Database(this.kept), onsuccess: (): void => undefined };
      this.opened.push(request.result);
      queueMicrotask(() => request.onsuccess());
      return request;
    },
  } as unknown as IDBFactory;
}

class Database {
  open = true;
  onclose: () => void = () => undefined;
  onversionchange: () => void = () => undefined;

  constructor(private readonly kept: Map<IDBValidKey, unknown>) {}

  close(): void {
    this.open = false;
  }

  transaction() {
    if (!this.open) {
      throw new DOMException('The database connection is closing.', 'InvalidStateError');
    }
    const transaction = { oncomplete: (): void => undefined, objectStore: () => store };
    const done = (result?: unknown) => {
      const request = { result, onsuccess: (): void => undefined };
      queueMicrotask(() => (request.onsuccess(), transaction.oncomplete()));
      return request;
    };
    const store = {
      transaction,
      get: (name: string) => done(this.kept.get(name)),
      put: (value: unknown, name: string) => done(this.kept.set(name, value)),
      delete: (name: string) => done(this.kept.delete(name)),
    };
    return transaction;
  }
}

it.each(['onclose', 'onversionchange'] as const)('a keyring outlives its database (%s)', async (event) => {
  const memory = new Memory();
  const keyring = await openKeyring(memory.factory);
  await keyring.put('name', 'value');
  const [database] = memory.opened;
  if (event === 'onclose') {
    database?.close(); // by the browser, when a person clears its data
  }
  database?.[event]();
  expect(database?.open).toBe(false);
  expect(await keyring.get('name')).toBe('value');
  await keyring.remove('name');
  expect(await keyring.get('name')).toBeUndefined();
  expect(memory.opened).toHaveLength(2);
});
