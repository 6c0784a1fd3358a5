/** What a person asked for. The tab that comes after a closed or killed one goes on with it, if it has the data. */
import type { Examples } from '../engine/types';
import type { Source } from '../messages';
import { Refused } from '../refused';
import type { Keyring } from './keyring';
import type { Parts } from './parts';
import type { TaskView } from './protocol';
import { inWords } from './words';

/** As many bytes of a person's files are kept with the order, until the task is over or left. */
const KEEP_BYTES = 64 * 2 ** 20;
/** What reading a file throws that was moved, changed or taken away. */
const GONE: ReadonlySet<unknown> = new Set(['NotReadableError', 'NotFoundError']);

export interface Order {
  readonly taskId: string;
  readonly name: string;
  readonly source: Source;
}

/** An order as it is kept: `source` is null where it could not be. */
export type KeptOrder = Omit<Order, 'source'> & { readonly source: Source | null };

/** Under which name the keyring keeps the order of a server's node. */
export const orderKey = (base: string): string => `order ${base}`;

/** Keeps the order with its data for the next tab; why the data is not kept, or null. */
export async function keepOrder(keyring: Keyring, base: string, order: Order): Promise<string | null> {
  const { source } = order;
  const size = source.kind === 'files' ? source.files.reduce((sum, { file }) => sum + file.size, 0) : 0;
  let why = `at ${inWords(size)} they are more than ${inWords(KEEP_BYTES)}`;
  if (size <= KEEP_BYTES) {
    try {
      await keyring.put(orderKey(base), order);
      return null;
    } catch (error) {
      why = String(error);
    }
  }
  await keyring.put(orderKey(base), { ...order, source: null });
  return `Your examples are not kept for a tab that comes after this one (${why}): it would ask for them again.`;
}

/** The examples of an order as its task wants them. */
export async function readOrder(
  parts: Pick<Parts, 'readSource'>,
  source: Source,
  task: Pick<TaskView, 'input_shape' | 'num_classes'>,
  base: string,
): Promise<Examples> {
  try {
    return await parts.readSource(source, task.input_shape, task.num_classes, base);
  } catch (error) {
    if (source.kind !== 'files' || !GONE.has((error as Error | null)?.name)) {
      throw error;
    }
    const problem = 'A file that you gave can no longer be read: it was moved, changed or removed.';
    throw new Refused('bad_data', problem, 'choose the files again, then press Train');
  }
}
