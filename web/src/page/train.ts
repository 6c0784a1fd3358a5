/** "Train": start, pause, go on, leave; where the node stands, how long the round lasts, and what left the tab. */
import type { NodeStatus, Phase, StepReport, TaskCard } from '../messages';
import type { Channel } from './channel';
import type { Choice } from './choice';
import { box, button, found, input, make, say } from './element';
import { remember, remembered } from './remembered';
import { bytes, count, duration, figure, percent, sentence } from './words';

const PHASES: Readonly<Record<Phase, readonly [word: string, tone: string]>> = {
  idle: ['Idle', ''],
  joining: ['Joining', 'wait'],
  waiting: ['Waiting', 'wait'],
  downloading: ['Downloading', 'busy'],
  scoring: ['Scoring', 'busy'],
  training: ['Training', 'busy'],
  sending: ['Sending', 'busy'],
  paused: ['Paused', 'wait'],
  away: ['Server away', 'bad'],
  elsewhere: ['In another tab', 'wait'],
  finished: ['Task over', 'good'],
  left: ['Left', ''],
};

const IDLE: readonly Phase[] = ['idle', 'elsewhere', 'finished', 'left'];
const CONTROLS = ['train', 'pause', 'resume', 'leave'] as const;

export function train(channel: Channel, choice: Choice): void {
  const name = input('node-name');
  name.value = remembered('node-name') ?? `tab-${crypto.getRandomValues(new Uint16Array(1))[0]}`;
  let phase: Phase = 'idle';
  let status: NodeStatus | null = null;
  let step: StepReport | null = null;
  let cards: readonly TaskCard[] = [];

  function controls(): void {
    const idle = IDLE.includes(phase);
    const shown = { train: idle, pause: !idle && phase !== 'paused', resume: phase === 'paused', leave: !idle };
    const focused = CONTROLS.some((id) => document.activeElement === button(id));
    CONTROLS.forEach((id) => (button(id).hidden = !shown[id]));
    name.disabled = !idle;
    const lack = missing(choice);
    button('train').disabled = lack !== '';
    say(box('hint'), idle ? lack : '');
    if (focused && (document.activeElement === document.body || button(document.activeElement?.id ?? 'train').hidden)) {
      button(CONTROLS.find((id) => shown[id]) ?? 'train').focus();
    }
  }

  function render(): void {
    if (status === null) {
      return;
    }
    const [word, tone] = PHASES[phase];
    say(box('phase'), word);
    box('phase').dataset.tone = tone;
    say(box('status'), status.text);
    const working = step !== null && (phase === 'training' || phase === 'paused');
    const bar = found('progress', HTMLProgressElement);
    bar.hidden = !working;
    bar.max = step?.totalSteps ?? 1;
    bar.value = step?.step ?? 0;
    tiles(status, step);
    box('sent').hidden = status.bytesUp === 0;
    const { taskId } = status;
    say(box('sent'), sentence(status, cards.find((card) => card.taskId === taskId)?.parameters ?? null));
    say(box('last-update'), status.lastUpdate);
  }

  found('train-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const { task, source } = choice;
    if (task !== null && source !== null && name.value.trim() !== '') {
      remember('node-name', name.value.trim());
      channel.send({ type: 'train', taskId: task.taskId, name: name.value.trim(), source });
      phase = 'joining';
      step = null;
      controls();
    }
  });
  for (const type of ['pause', 'resume', 'leave'] as const) {
    button(type).addEventListener('click', () => channel.send({ type }));
  }
  choice.onChange(controls);
  channel.on('status', (report) => {
    ({ status } = report);
    ({ phase } = status);
    controls();
    render();
  });
  channel.on('tasks', ({ tasks }) => {
    cards = tasks;
    render();
  });
  channel.on('step', (report) => {
    ({ step } = report);
    render();
  });
  channel.on('trouble', () => {
    phase = status?.phase ?? 'idle'; // what `train` asked for did not come about, unless the worker says so
    controls();
  });
  channel.on('log', ({ text }) => {
    box('log-box').hidden = false;
    const log = box('log');
    log.prepend(make('li', {}, make('time', {}, new Date().toLocaleTimeString('en-GB')), ` ${text}`));
    log.children[50]?.remove();
  });
  setInterval(() => {
    if (status?.deadlineAt != null) {
      tiles(status, step);
    }
  }, 1000);
  controls();
}

/** What must be there before training, in words; empty when nothing is missing. */
function missing({ task, source }: Choice): string {
  return task === null ? 'Choose a task first.' : source === null ? 'Bring some examples first: pick files, or draw and keep a few.' : '';
}

function tiles(status: NodeStatus, step: StepReport | null): void {
  const left = status.deadlineAt === null ? null : (status.deadlineAt - Date.now()) / 1000;
  const facts: readonly (readonly [string, string])[] = [
    ['Round', status.round === null ? '–' : `${status.round} of ${status.numRounds ?? '–'}`],
    ['Time to the deadline', left === null ? '–' : left <= 0 ? 'over' : duration(left)],
    ['Step', step === null ? '–' : `${count(step.step)} of ${count(step.totalSteps)}`],
    ['Loss', figure(step?.loss ?? null)],
    ['Accuracy', percent(step?.accuracy ?? null)],
    ['Examples a second', step === null ? '–' : count(step.examplesPerS)],
    ['Examples used', count(status.examples)],
    ['Held out', count(status.heldOut)],
    ['Rounds given', count(status.roundsGiven)],
    ['Updates sent', bytes(status.bytesUp)],
    ['Models received', bytes(status.bytesDown)],
    ['Memory', step === null ? '–' : bytes(step.memoryBytes)],
  ];
  const list = box('figures');
  if (list.childElementCount === 0) {
    list.append(...facts.map(([term]) => make('div', {}, make('dt', {}, term), make('dd'))));
  }
  list.querySelectorAll('dd').forEach((cell, at) => say(cell, facts[at]?.[1] ?? ''));
}
