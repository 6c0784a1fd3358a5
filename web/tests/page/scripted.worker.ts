/** A worker that plays a scene: it answers commands with the scene's reports, and keeps the commands for the tests. */
import type { Command } from '../../src/messages';
import { scenes, type Scene } from './scenes';

let scene: Scene = {};

addEventListener('message', ({ data: command }: MessageEvent<Command>) => {
  if (command.type === 'open') {
    scene = scenes[new URL(command.base).pathname.split('/').at(-2) ?? ''] ?? {};
  }
  postMessage({ type: 'command', command }); // the page has no listener for it; tests do
  for (const report of scene[command.type] ?? []) {
    postMessage(report);
  }
});
