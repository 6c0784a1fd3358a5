/** The bar: whose server this is, whether it is reached, and the colours. */
import type { Channel } from './channel';
import { box, button, say } from './element';
import { remember, remembered } from './remembered';

const THEMES = ['auto', 'light', 'dark'] as const;

export function header(channel: Channel, host: string): void {
  const link = (word: string, tone: string): void => {
    say(box('link'), word);
    box('link').dataset.tone = tone;
  };
  say(box('server'), host);
  channel.on('ready', ({ server }) => say(box('server'), server || host));
  channel.on('tasks', () => link('Connected', 'good')); // the one report that is an answer of the server
  channel.on('status', ({ status }) => status.phase === 'away' && link('Away, retrying', 'bad'));
  channel.on('trouble', ({ trouble: { code } }) => {
    if (code === 'no_server') {
      link('Away, retrying', 'bad');
    } else if (code === 'insecure') {
      link('Not secure', 'bad');
    }
  });
}

/** The switch between the system's colours, light and dark; it is remembered. */
export function colours(): void {
  const root = document.documentElement;
  const set = (theme: string): void => {
    root.dataset.theme = theme;
    say(button('theme'), `Colours: ${theme}`);
    dispatchEvent(new Event('recolour'));
  };
  set(THEMES.find((theme) => theme === remembered('theme')) ?? 'auto');
  button('theme').addEventListener('click', () => {
    const at = THEMES.findIndex((theme) => theme === root.dataset.theme);
    const next = THEMES[(at + 1) % THEMES.length] ?? 'auto';
    remember('theme', next);
    set(next);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => dispatchEvent(new Event('recolour')));
}
