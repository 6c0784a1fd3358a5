/** "Choose a task": one card a task, and why this device does or does not qualify; an invitation, pasted by hand. */
import type { TaskCard } from '../messages';
import { invitation } from './address';
import type { Channel } from './channel';
import type { Choice } from './choice';
import { box, found, input, make, say } from './element';
import { counted, figure, percent } from './words';

/** `invite` opens the server again with a token. */
export function tasks(channel: Channel, choice: Choice, invite: (token: string) => void): void {
  const list = box('tasks');
  list.append(make('p', { class: 'skeleton', 'aria-busy': true }, 'Asking the server for its tasks …'));
  let shown = '';

  channel.on('tasks', ({ tasks: all }) => {
    const chosen = all.find((task) => task.taskId === choice.task?.taskId) ?? all.find(qualifies) ?? null;
    if (JSON.stringify(all) === shown) {
      return;
    }
    shown = JSON.stringify(all);
    const focused = list.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.task : null;
    list.replaceChildren(...(all.length > 0 ? [fieldset(all, chosen)] : [none(channel)]));
    list.querySelector<HTMLElement>(`[data-task="${CSS.escape(focused ?? '')}"]`)?.focus();
    choice.set({ task: chosen });
    list.onchange = (event) => {
      const id = event.target instanceof HTMLInputElement ? event.target.value : '';
      choice.set({ task: all.find((task) => task.taskId === id) ?? null });
    };
  });
  channel.on('trouble', ({ trouble: { code } }) => {
    if (code === 'unauthorized') {
      found('invitation', HTMLDetailsElement).open = true;
    }
    if (shown === '') {
      list.replaceChildren(make('p', {}, 'No tasks yet: the message above says why.'), again(channel));
    }
  });

  found('invite-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const token = invitation(input('invite').value);
    say(box('invited'), token === null ? 'This is neither an invitation link nor a token: paste it whole.' : 'Invited. Asking the server …');
    if (token !== null) {
      input('invite').value = '';
      invite(token);
    }
  });
}

const qualifies = (task: TaskCard): boolean => task.obstacles.length === 0;

function fieldset(all: readonly TaskCard[], chosen: TaskCard | null): HTMLElement {
  const legend = make('legend', { class: 'unseen' }, 'Tasks of this server');
  const [fit, unfit] = [all.filter(qualifies), all.filter((task) => !qualifies(task))].map((some) => some.map((task) => card(task, task === chosen)));
  const cards = make('fieldset', { class: 'cards' }, legend, ...(fit ?? []));
  if (unfit !== undefined && unfit.length > 0) {
    const title = make('summary', {}, `${counted(unfit.length, 'task')} not open to this tab, and why`);
    cards.append(make('details', { open: fit?.length === 0 }, title, make('div', { class: 'cards' }, ...unfit)));
  }
  return cards;
}

function card(task: TaskCard, chosen: boolean): HTMLElement {
  const id = `task-${task.taskId}`;
  const radio = make('input', {
    type: 'radio',
    name: 'task',
    value: task.taskId,
    'data-task': task.taskId,
    checked: chosen,
    disabled: !qualifies(task),
    'aria-describedby': id,
  });
  const verdict = qualifies(task)
    ? make('p', { class: 'verdict', 'data-tone': 'good' }, 'This device qualifies.')
    : make('div', { class: 'verdict', 'data-tone': 'bad' }, 'Not open to this tab:', items(task.obstacles));
  const facts = `${task.model} on ${task.data} · round ${task.round} of ${task.numRounds}`;
  const score = task.accuracy === null && task.loss === null ? 'not scored yet' : `accuracy ${percent(task.accuracy)}, loss ${figure(task.loss)}`;
  const title = make('span', { class: 'title' }, make('strong', {}, task.name), make('span', { class: 'chip' }, task.state));
  const about = make('div', { id, class: 'about small' }, make('p', {}, facts), make('p', {}, score), items(task.requirements), verdict);
  return make('div', { class: 'card' }, make('label', {}, radio, title), about);
}

function items(texts: readonly string[]): HTMLElement {
  return make('ul', {}, ...texts.map((text) => make('li', {}, text)));
}

function none(channel: Channel): HTMLElement {
  const text = 'This server has no tasks yet. An operator creates them; this list follows by itself.';
  return make('div', {}, make('p', {}, text), again(channel));
}

function again(channel: Channel): HTMLButtonElement {
  const ask = make('button', { type: 'button' }, 'Ask again');
  ask.addEventListener('click', () => channel.send({ type: 'refresh' }));
  return ask;
}
