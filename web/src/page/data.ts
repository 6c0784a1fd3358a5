/** "Bring your data": where examples come from, and what the worker finds in them. */
import { part } from '../part';
import { Refused } from '../refused';
import type { Channel } from './channel';
import { namesOf, type Choice } from './choice';
import { box, found, make, styled, table } from './element';
import { count, counted, largest } from './words';

const KINDS = ['digits', 'files', 'drawn'] as const;

/** More bars than these cannot be told apart. */
const BARS = 40;

/** A source's panel gives back what makes its examples the choice. */
type Panel = (choice: Choice) => () => void;

/** What most people do not need comes when it is chosen. */
const PANELS = {
  files: async (): Promise<Panel> => (await part(import('./files'))).files,
  drawn: async (): Promise<Panel> => {
    const { pad, sheet } = await part(import('./pad'));
    await styled(sheet);
    return pad;
  },
};

export function data(channel: Channel, choice: Choice): void {
  const offers: Partial<Record<keyof typeof PANELS, Promise<() => void>>> = {};

  function shown(): (typeof KINDS)[number] {
    const value = found('source', HTMLFieldSetElement).querySelector<HTMLInputElement>(':checked')?.value;
    return KINDS.find((kind) => kind === value) ?? 'digits';
  }

  async function switched(): Promise<void> {
    const kind = shown();
    KINDS.forEach((one) => (box(`from-${one}`).hidden = one !== kind));
    choice.set({ source: kind === 'digits' ? { kind } : null });
    if (kind !== 'digits') {
      const offering = (offers[kind] ??= PANELS[kind]().then((panel) => panel(choice)));
      offering.catch(() => delete offers[kind]); // to choose it anew is to try again
      const offer = await offering;
      if (kind === shown()) {
        offer();
      }
    }
  }

  const switching = (): void =>
    void switched().catch((error: unknown) => {
      if (!(error instanceof Refused)) {
        throw error;
      }
      trouble(error.problem, `${error.mend}.`);
    });
  box('source').addEventListener('change', switching);

  // Dropped anywhere but on the panel that is for it, a file would replace the page.
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => event.preventDefault());

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
    } else if (source !== null) {
      box('examined').replaceChildren(make('p', { class: 'small' }, 'It is read when you choose a task, which says of what shape examples are.'));
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
    box('examined').replaceChildren(...histogram(examples, perClass, namesOf(choice.task)));
  });
  switching();
}

/** Examples per class: bars for the eye, a table for everyone; of many classes, the largest. */
function histogram(examples: number, perClass: readonly number[], names: readonly string[]): HTMLElement[] {
  const name = (at: number): string => names[at] ?? String(at);
  const shown = largest(perClass, BARS);
  const most = shown.reduce((sofar, [, held]) => Math.max(sofar, held), 1);
  const bars = shown.map(([at, held]) => {
    const bar = make('i');
    bar.style.setProperty('--share', String(held / most));
    return make('span', {}, bar, name(at));
  });
  const title = shown.length < perClass.length ? `Examples of the ${BARS} largest classes` : 'Examples per class';
  return [
    make('p', {}, make('strong', {}, counted(examples, 'example')), ` in ${counted(perClass.filter((n) => n > 0).length, 'class', 'classes')}.`),
    make('div', { class: 'histogram', 'aria-hidden': true }, ...bars),
    make('details', {}, make('summary', {}, title), table(title, ['Class', 'Examples'], shown.map(([at, held]) => [name(at), count(held)]))),
  ];
}
