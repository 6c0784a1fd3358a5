/** A part of the page that comes when it is first asked for; one that cannot be had is said with its mend. */
import { Refused } from './refused';

/** `loading`: a dynamic `import`. */
export const part = <T>(loading: Promise<T>): Promise<T> =>
  loading.catch((error: unknown) => {
    const problem = `A part of this page cannot be loaded (${String(error)}).`;
    throw new Refused('no_server', problem, 'check that this device reaches the server, then reload the page');
  });
