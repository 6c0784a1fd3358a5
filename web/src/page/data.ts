/** "Bring your data": where examples come from, and what the worker finds in them. */
import type { LocalFile } from '../messages';
import type { Channel } from './channel';
import type { Choice } from './choice';
import { dropped, picked } from './dropped';
import { box, button, found, input, make, say, table } from './element';
import { pad } from './pad';
import { count, counted } from './words';

const KINDS = ['digits', 'files', 'drawn'] as const;

export function data(channel: Channel, choice: Choice): void {
  const drawn = pad(choice);
  const zone = box('zone');
  let files: readonly LocalFile[] = [];

  function shown(): (typeof KINDS)[number] {
    const value = found('source', HTMLFieldSetElement).querySelector<HTMLInputElement>(':checked')?.value;
    return KINDS.find((kind) => kind === value) ?? 'digits';
  }

  function switched(): void {
    const kind = shown();
    KINDS.forEach((one) => (box(`from-${one}`).hidden = one !== kind));
    if (kind === 'drawn') {
      drawn();
    } else if (kind === 'digits') {
      choice.set({ source: { kind } });
    } else {
      choice.set({ source: files.length > 0 ? { kind, files } : null });
    }
  }

  function given(some: readonly LocalFile[]): void {
    if (some.length > 0) {
      files = some;
      say(box('given'), `${counted(files.length, 'file')}: ${files.slice(0, 3).map((one) => one.path).join(', ')}${files.length > 3 ? ' …' : ''}`);
      switched();
    }
  }

  box('source').addEventListener('change', switched);
  for (const name of ['files', 'folder']) {
    button(name === 'files' ? 'pick-files' : 'pick-folder').addEventListener('click', () => input(name).click());
    input(name).addEventListener('change', () => {
      given(picked(input(name).files));
      input(name).value = ''; // the same files may be picked again once mended
    });
  }

  // Dropped anywhere else, a file would replace the page.
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => event.preventDefault());
  zone.addEventListener('dragover', () => zone.classList.add('over'));
  zone.addEventListener('dragleave', () => zone.classList.remove('over'));
  zone.addEventListener('drop', (event) => {
    zone.classList.remove('over');
    if (event.dataTransfer !== null) {
      dropped(event.dataTransfer).then(given, () => trouble('The folder could not be read.', 'Choose it with the button.'));
    }
  });

  const trouble = (problem: string, mend: string): void => {
    box('data-trouble').replaceChildren(make('p', { class: 'notice', 'data-tone': 'bad' }, make('strong', {}, problem), ` ${mend}`));
    box('examined').replaceChildren();
  };

  let asked: unknown[] = [];
  let somebody = false;
  function examine(): void {
    const { task, source } = choice;
    if (!somebody || (task?.taskId === asked[0] && source === asked[1])) {
      return;
    }
    asked = [task?.taskId, source];
    box('data-trouble').replaceChildren();
    box('examined').replaceChildren();
    if (task !== null && source !== null) {
      channel.send({ type: 'examine', taskId: task.taskId, source });
    }
  }
  choice.onChange(examine);
  // Not before somebody is there to use the page: the digits sample weighs as much as all of its own code.
  for (const act of ['pointerdown', 'keydown', 'drop']) {
    addEventListener(act, () => {
      somebody = true;
      examine();
    }, { once: true });
  }
  channel.on('trouble', ({ trouble: { code, problem, mend } }) => {
    if (code === 'bad_data') {
      trouble(problem, mend);
    }
  });
  channel.on('examined', ({ examples, perClass }) => {
    box('data-trouble').replaceChildren();
    box('examined').replaceChildren(...histogram(examples, perClass, choice.task?.classNames));
  });
  switched();
}

/** Examples per class: bars for the eye, a table for everyone. */
function histogram(examples: number, perClass: readonly number[], names: readonly string[] = []): HTMLElement[] {
  const most = Math.max(1, ...perClass);
  const name = (at: number): string => names[at] ?? String(at);
  const bars = perClass.map((held, at) => {
    const bar = make('i');
    bar.style.setProperty('--share', String(held / most));
    return make('span', {}, bar, name(at));
  });
  return [
    make('p', {}, make('strong', {}, counted(examples, 'example')), ` in ${counted(perClass.filter((n) => n > 0).length, 'class', 'classes')}.`),
    make('div', { class: 'histogram', 'aria-hidden': true }, ...bars),
    make('details', {}, make('summary', {}, 'Examples per class'), table('Examples per class', ['Class', 'Examples'], perClass.map((n, at) => [name(at), count(n)]))),
  ];
}
