/** "This device": the engine and why, what it runs on, its kernels with their measured speed; storage, what is kept, and
 *  how to be rid of it. */
import type { EngineReport } from '../engine/types';
import type { Channel } from './channel';
import { box, button, found, make, say, table } from './element';
import { bytes, count, counted } from './words';

export function device(channel: Channel): void {
  channel.on('ready', ({ engine }) => box('device').replaceChildren(...facts(engine)));
  channel.on('step', ({ step }) => {
    const cell = document.getElementById('memory');
    if (cell !== null) {
      say(cell, bytes(step.memoryBytes));
    }
  });
  channel.on('storage', ({ storage: { usedBytes, quotaBytes, persistent, files } }) => {
    const meter = found('used', HTMLMeterElement);
    meter.max = Math.max(1, quotaBytes);
    meter.value = usedBytes;
    const kept = persistent ? 'kept until cleared' : 'the browser may clear it when it needs room';
    say(box('storage'), `${bytes(usedBytes)} of ${bytes(quotaBytes)} used, in ${counted(files.length, 'file')}; ${kept}.`);
  });
  const ask = found('ask', HTMLDialogElement);
  for (const [id, [type, title, text, yes]] of Object.entries(QUESTIONS)) {
    button(id).addEventListener('click', () => {
      say(box('ask-title'), title);
      say(box('ask-text'), text);
      say(button('yes'), yes);
      ask.returnValue = '';
      ask.onclose = () => ask.returnValue === 'yes' && channel.send({ type });
      ask.showModal();
    });
  }
}

/** What is asked before a button does something that cannot be undone. */
const QUESTIONS = {
  clear: [
    'clear_storage',
    'Clear this tab’s storage?',
    'Models and checkpoints kept here are removed. A round in progress would begin again; what the server has accepted stays.',
    'Clear',
  ],
  forget: [
    'forget',
    'Forget this browser’s identity?',
    'Its key, the invitation, the task at hand and all that is stored are removed. It then takes part as a new node, which may need a new invitation.',
    'Forget',
  ],
} as const;

function facts({ kind, reason, adapter, limits, kernels, matmulGflops }: EngineReport): HTMLElement[] {
  const rows: readonly (readonly [string, string])[] = [
    ['Engine', kind === 'webgpu' ? 'WebGPU' : 'CPU'],
    ['Why', reason],
    ['Adapter', Object.values(adapter).filter(Boolean).join(', ') || 'none used'],
    ['Matrix product', `${matmulGflops.toFixed(1)} GFLOP/s (512 × 512 × 512, measured here)`],
    ['Browser', browser()],
  ];
  const list = make('dl', { class: 'facts' }, ...rows.flatMap(pair), ...pair(['Memory in use', 'nothing trains yet']));
  list.lastElementChild?.setAttribute('id', 'memory');
  const speeds = kernels.map(({ shape, variant, gflops }) => [shape, variant, gflops.toFixed(1)]);
  const bounds = Object.entries(limits).map(([name, value]) => [name, count(value)]);
  const told = 'When you press Train, the server is told all of this, with platform and memory.';
  return [list, make('p', { class: 'small' }, told), ...folded('Chosen kernels', ['Shapes', 'Kernel', 'GFLOP/s'], speeds), ...folded('Limits', ['Limit', 'Value'], bounds)];
}

function pair([term, text]: readonly [string, string]): HTMLElement[] {
  return [make('dt', {}, term), make('dd', {}, text)];
}

function folded(title: string, heads: readonly string[], rows: readonly (readonly string[])[]): HTMLElement[] {
  return rows.length === 0 ? [] : [make('details', {}, make('summary', {}, title), table(title, heads, rows))];
}

/** Name and version, from the user agent's own list where there is one. */
function browser(): string {
  const { userAgent } = navigator;
  const [, name = '', version = ''] = /(Firefox|Edg|Chrome|Version)\/([\d.]+)/.exec(userAgent.replace(/Chrome\/\S+(?=.*Edg)/, '')) ?? [];
  const known = { Edg: 'Edge', Version: 'Safari' }[name] ?? name;
  return known === '' ? userAgent : `${known} ${version}, ${counted(navigator.hardwareConcurrency, 'processor')}`;
}
