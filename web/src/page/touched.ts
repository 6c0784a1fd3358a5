/** A form whose code comes when somebody first touches it. */
import type { Trouble } from '../messages';
import { part } from '../part';
import { Refused } from '../refused';
import { styled } from './element';

const SIGNS = ['pointerdown', 'focusin', 'submit'] as const;

/** `load` brings the code, which names its style sheet; a form that was sent before both came is sent again. */
export function touched<T extends { readonly sheet: string }>(
  form: HTMLFormElement,
  load: () => Promise<T>,
  start: (code: T) => void,
  onTrouble: (trouble: Trouble) => void,
): void {
  let loading: Promise<void> | null = null;
  const wake = (event: Event): void => {
    if (event.type === 'submit') {
      event.preventDefault();
    }
    loading ??= part(load()).then(async (code) => {
      await styled(code.sheet);
      SIGNS.forEach((sign) => form.removeEventListener(sign, wake));
      start(code);
    });
    loading.then(
      () => event.type === 'submit' && form.requestSubmit(),
      (error: unknown) => {
        loading = null; // the next touch tries again
        if (!(error instanceof Refused)) {
          throw error;
        }
        onTrouble(error.trouble);
      },
    );
  };
  SIGNS.forEach((sign) => form.addEventListener(sign, wake));
}
