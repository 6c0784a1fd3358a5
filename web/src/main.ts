/** The page: panels that listen to the worker's reports and send it commands. */
import type { Report } from './messages';
import { readAddress } from './page/address';
import { Channel } from './page/channel';
import { Choice } from './page/choice';
import { data } from './page/data';
import { device } from './page/device';
import { drawn } from './page/drawn';
import { found } from './page/element';
import { going } from './page/going';
import { colours, header } from './page/header';
import { notices } from './page/notices';
import { tasks } from './page/tasks';
import { touched } from './page/touched';
import { train } from './page/train';
import './page/page.css';
import './page/panels.css';

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
const channel = new Channel((command) => worker.postMessage(command));
const choice = new Choice();

/** Reads the address, takes an invitation out of it, and has the worker open the server. */
function open(invited: string | null = null): void {
  const { base, transport, force, token: linked } = readAddress(location.href);
  const token = invited ?? linked;
  if (location.hash.startsWith('#invite=')) {
    history.replaceState(null, '', location.pathname + location.search);
  }
  channel.send({ type: 'open', base, transport, ...(token === null ? {} : { token }), ...(force === null ? {} : { force }) });
}

colours();
header(channel, location.host);
const trouble = notices(channel);
drawn(channel, () => import('./page/charts'), trouble);
device(channel);
tasks(channel, choice, open);
train(channel, choice);
touched(
  found('rehearsal', HTMLFormElement),
  () => import('./page/rehearsal'),
  ({ rehearsal }) => rehearsal(channel, choice),
  trouble,
);
data(channel, choice);
going(channel);

worker.addEventListener('message', ({ data: report }: MessageEvent<Report>) => channel.tell(report));
worker.addEventListener('error', ({ message }) =>
  trouble({ code: 'internal', problem: message || 'The worker of this page did not start.', mend: 'reload the page; a newer browser may be needed.' }),
);
addEventListener('hashchange', () => location.hash.startsWith('#invite=') && open());
open();
