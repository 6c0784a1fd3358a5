/** What the worker must hear of the page's own life: whether anybody looks, and that it goes. A page that the browser
 *  brings back as it was has a worker that said goodbye: it starts anew. */
import type { Letter } from '../messages';
import type { Channel } from './channel';

export function going(channel: Channel): void {
  let letter: Letter | null = null;
  channel.on('goodbye', (report) => ({ letter } = report));
  document.addEventListener('visibilitychange', () =>
    channel.send({ type: 'visible', visible: document.visibilityState === 'visible' }),
  );
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
  addEventListener('pagehide', () => {
    channel.send({ type: 'close' });
    if (letter !== null) {
      const { url, headers, body } = letter;
      void fetch(url, { method: 'POST', headers, body, keepalive: true }).catch(() => undefined); // no one is left to tell
    }
  });
}
