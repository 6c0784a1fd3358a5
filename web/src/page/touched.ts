/** A form whose code comes when somebody first touches it. */
import type { Trouble } from '../messages';
import { part } from '../part';
import { Refused } from '../refused';

const SIGNS = ['pointerdown', 'focusin', 'submit'] as const;

/** `load` brings the code; a form that was sent before it came is sent again. */
export function touched<T>(
  form: HTMLFormElement,
  load: () => Promise<T>,
  start: (code: T) => void,
  onTrouble: (trouble: Trouble) => void,
): void {
  let loading: Promise<void> | null = null;
  const wake = (event: Event): void => {
    event.type === 'submit' && event.preventDefault();
    loading ??= part(load()).then((code) => {
      SIGNS.forEach((sign) => form.removeEventListener(sign, wake));
      start(code);
    });
    loading.then(
      () => event.type === 'submit' && form.requestSubmit(),
      (error: unknown) => error instanceof Refused && onTrouble(error.trouble),
    );
  };
  SIGNS.forEach((sign) => form.addEventListener(sign, wake));
}
