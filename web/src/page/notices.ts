/** Messages above the panels: what is wrong and what to do, one a code, gone when it no longer holds. */
import type { Trouble } from '../messages';
import type { Channel } from './channel';
import { box, make } from './element';

type Tone = 'bad' | 'wait' | 'good';

/** What the tab's own codes and the commonest of the server's are called; others are shown by their code. */
const TITLES: Readonly<Record<string, string>> = {
  no_server: 'The server is away; trying again',
  insecure: 'Not a secure context',
  quota: 'No room left in this browser',
  device_lost: 'The graphics device was lost',
  diverged: 'Training diverged',
  bad_update: 'The update was refused',
  bad_count: 'The update was refused',
  not_in_cohort: 'The update was refused',
  unauthorized: 'This server wants an invitation',
  enrolment_full: 'This invitation is used up',
  fenced: 'Another process took this node over',
  internal: 'Something broke',
};

export function notices(channel: Channel): (trouble: Trouble) => void {
  function show(key: string, tone: Tone, title: string, text: string, mend = '', code = ''): void {
    drop(key);
    const close = make('button', { type: 'button', class: 'quiet', 'aria-label': `Dismiss: ${title}` }, '✕');
    const words = make('div', {}, make('strong', {}, title), code === '' ? '' : make('code', {}, code), make('p', {}, text));
    if (mend !== '') {
      words.append(make('p', {}, make('b', {}, 'What to do: '), mend));
    }
    const role = tone === 'bad' ? 'alert' : 'status';
    const notice = make('div', { class: 'notice glass', 'data-tone': tone, 'data-key': key, role }, words, close);
    close.addEventListener('click', () => {
      notice.remove();
      box('main').focus();
    });
    box('notices').prepend(notice);
  }
  const drop = (key: string): void => box('notices').querySelector(`[data-key="${CSS.escape(key)}"]`)?.remove();
  const trouble = ({ code, problem, mend }: Trouble): void => {
    if (code !== 'bad_data') {
      show(code, code === 'no_server' ? 'wait' : 'bad', TITLES[code] ?? 'The server refused', problem, mend, code);
    }
  };

  channel.on('trouble', (report) => trouble(report.trouble));
  channel.on('tasks', () => ['no_server', 'unauthorized'].forEach(drop));
  channel.on('ready', ({ engine }) => {
    drop('engine');
    if (engine.kind === 'cpu') {
      const mend = 'nothing; it works, only slower on large models. A recent Chrome, Edge, Firefox or Safari with a GPU brings WebGPU.';
      show('engine', 'wait', 'Training runs on the CPU', engine.reason, mend);
    }
  });
  channel.on('status', ({ status: { phase, text } }) => {
    ['elsewhere', 'finished'].filter((key) => key !== phase).forEach(drop);
    if (phase === 'elsewhere') {
      show(phase, 'wait', 'Another tab of this browser is the node', text, 'train there, or close that tab and press Train here.');
    } else if (phase === 'finished') {
      show(phase, 'good', 'The task is over', text, 'nothing; the model is the server’s to share. Choose another task to go on.');
    }
  });

  if (!isSecureContext) {
    trouble({
      code: 'insecure',
      problem: `Browsers give WebGPU, storage and keys to secure pages only, and ${location.origin} is not one.`,
      mend: 'open this page by https://, or on the server’s own machine by http://localhost. The operator’s guide shows how to serve HTTPS.',
    });
  }
  return trouble;
}
