/** "Rehearse in this tab": a federation of k nodes here, its labels a node as a picture, its rounds as a curve. */
import type { Channel } from './channel';
import { byRound, rowOf } from './charts';
import type { Choice } from './choice';
import { box, button, found, input, make, say, table } from './element';
import { proposal } from './proposal';
import { count, counted, figure, percent } from './words';

export { default as sheet } from './rehearsal.css?url';

export function rehearsal(channel: Channel, choice: Choice): void {
  const form = found('rehearsal', HTMLFormElement);
  const curve = byRound('chart-rehearsal', 'The rehearsal, by round');
  const alpha = (): number => Number((10 ** input('alpha').valueAsNumber).toPrecision(2));
  let running = false;

  function render(): void {
    const words = alpha() < 0.3 ? 'few classes each' : alpha() < 5 ? 'uneven' : 'nearly the same';
    say(box('nodes-out'), input('nodes').value);
    say(box('alpha-out'), `α ${alpha()}: ${words}`);
    input('alpha').setAttribute('aria-valuetext', box('alpha-out').textContent ?? '');
    const focused = document.activeElement === button('rehearse') || document.activeElement === button('stop');
    button('rehearse').hidden = running;
    button('stop').hidden = !running;
    if (focused) {
      button(running ? 'stop' : 'rehearse').focus();
    }
  }

  form.addEventListener('input', render);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (running) {
      return;
    }
    const asked = {
      nodes: input('nodes').valueAsNumber,
      alpha: alpha(),
      rounds: input('rounds').valueAsNumber,
      epochs: input('epochs').valueAsNumber,
      model: found('model', HTMLSelectElement).value,
    };
    curve.curve.replace([]);
    curve.draw();
    box('shares').replaceChildren();
    say(box('rehearsed'), 'Cutting the data into shares …');
    running = true;
    render();
    channel.send({ type: 'rehearse', rehearsal: proposal(asked, choice.task, choice.source ?? { kind: 'digits' }) });
  });
  button('stop').addEventListener('click', () => channel.send({ type: 'end_rehearsal' }));
  channel.on('shares', ({ perClass }) => box('shares').replaceChildren(...stacks(perClass)));
  channel.on('rehearsed', ({ round, nodes }) => {
    curve.curve.push(rowOf(round));
    curve.draw();
    const losses = nodes.map((node) => node.loss);
    const spread = `the nodes’ own losses lie between ${figure(Math.min(...losses))} and ${figure(Math.max(...losses))}`;
    say(box('rehearsed'), `Round ${round.round}: accuracy ${percent(round.accuracy)}, loss ${figure(round.loss)}; ${spread}.`);
  });
  channel.on('rehearsal_over', ({ reason }) => {
    running = false;
    say(box('rehearsed'), `Rehearsal ${reason}.`);
    render();
  });
  render();
}

/** How many examples of each class each node has, [node][class]: stacked bars with the class written in, and a table. */
function stacks(perClass: readonly (readonly number[])[]): HTMLElement[] {
  const most = Math.max(1, ...perClass.map(sum));
  const classes = perClass[0]?.map((_, at) => String(at)) ?? [];
  const rows = perClass.map((held, node) => {
    const bar = make('div', { class: 'stack' }, ...held.map((n, label) => segment(n, label, sum(held))));
    bar.style.width = `${(100 * sum(held)) / most}%`;
    return make('div', { class: 'stack-row' }, make('span', {}, `${node + 1}`), make('div', {}, bar), make('span', {}, count(sum(held))));
  });
  const legend = make('p', { class: 'legend small' }, 'Class: ', ...classes.map((name, at) => make('i', { class: `key class-${at % 10}` }, name)));
  const figures = perClass.map((held, node) => [`Node ${node + 1}`, ...held.map(count), count(sum(held))]);
  return [
    make('h3', {}, `Labels of ${counted(perClass.length, 'node')}`),
    make('div', { 'aria-hidden': true }, legend, ...rows),
    make('details', {}, make('summary', {}, 'Labels as a table'), table('Examples of each class a node', ['Node', ...classes, 'All'], figures)),
  ];
}

/** A class's part of a node's bar; its name is written in where there is room for it. */
function segment(n: number, label: number, all: number): HTMLElement {
  const part = make('i', { class: `class-${label % 10}` }, n / all > 0.08 ? String(label) : '');
  part.style.flexGrow = String(n);
  return part;
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
