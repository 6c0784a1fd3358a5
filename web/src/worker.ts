/** The node's thread: engine, storage and the MCP client live here. */
import { chainOf, layoutOf, MODELS } from './engine/catalogue';
import { openEngine } from './engine/open';
import type { Command, Report } from './messages';
import { Desk, type Browser, type Rehearse } from './node/desk';
import type { Folder } from './node/folder';
import { openKeyring } from './node/keyring';
import type { Parts } from './node/parts';
import { troubleOf } from './node/teller';
import { part } from './part';

const parts: Parts = {
  openEngine,
  models: MODELS,
  chainOf,
  layoutOf,
  readSource: async (...asked) => (await part(import('./data/read'))).readSource(...asked),
  craft: async () => (await part(import('./craft'))).craft,
};

const rehearse: Rehearse = async (...asked) => (await part(import('./rehearsal/rehearse'))).rehearse(...asked);

const browser: Browser = {
  locks: navigator.locks,
  openKeyring: () => openKeyring(),
  // The types know the file system without `move`.
  files: navigator.storage ? () => navigator.storage.getDirectory() as Promise<unknown> as Promise<Folder> : null,
  openChannel: (name) => new BroadcastChannel(name),
};

const post = (report: Report): void => self.postMessage(report);
const desk = new Desk(post, parts, rehearse, self.isSecureContext ? browser : null);
self.onmessage = ({ data }: MessageEvent<Command>) => void desk.take(data);
// What nobody waited for is not to be lost either.
self.onunhandledrejection = ({ reason }) => post({ type: 'trouble', trouble: troubleOf(reason) });
self.onerror = (event) => post({ type: 'trouble', trouble: troubleOf(event) });
