/** The drawing pad: strokes by mouse, pen, finger or keys become labelled examples of the task's size. */
import { box, button, found, make, say } from './element';
import { PEN, raster, type Point, type Stroke } from './raster';
import { namesOf, type Choice } from './choice';
import markup from './pad.html?raw';
import { counted } from './words';

export { default as sheet } from './pad.css?url';

interface Kept {
  readonly x: Float32Array;
  readonly label: number;
}

const STEP = 0.04;
const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-STEP, 0],
  ArrowRight: [STEP, 0],
  ArrowUp: [0, -STEP],
  ArrowDown: [0, STEP],
};

/** Fills the panel. Whatever is kept becomes `choice.source`. */
export function pad(choice: Choice): () => void {
  box('from-drawn').innerHTML = markup;
  const canvas = found('pad', HTMLCanvasElement);
  const seen = found('seen', HTMLCanvasElement);
  const labels = box('labels');
  const list = box('kept');
  let shape: readonly number[] = [];
  let names: readonly string[] = [];
  let strokes: Stroke[] = [];
  let kept: Kept[] = [];
  let pen: Point = { x: 0.5, y: 0.5 };
  let down: 'pointer' | 'key' | null = null;

  const label = (): number => Number(labels.querySelector<HTMLInputElement>('input:checked')?.value ?? 0);

  function paint(): void {
    const context = canvas.getContext('2d');
    if (context === null) {
      return;
    }
    const side = canvas.width;
    context.clearRect(0, 0, side, side);
    context.strokeStyle = context.fillStyle = getComputedStyle(canvas).color;
    context.lineCap = context.lineJoin = 'round';
    context.lineWidth = 2 * PEN * side;
    for (const stroke of strokes) {
      context.beginPath();
      stroke.forEach(({ x, y }) => context.lineTo(x * side, y * side));
      stroke.slice(0, 1).forEach(({ x, y }) => context.lineTo(x * side, y * side + 0.01)); // a dot is a stroke, too
      context.stroke();
    }
    if (document.activeElement === canvas && down !== 'pointer') {
      context.lineWidth = 3;
      context.beginPath();
      context.arc(pen.x * side, pen.y * side, PEN * side, 0, 7);
      context.stroke();
    }
    show(seen, raster(strokes, shape), shape);
  }

  function moved(x: number, y: number): void {
    pen = { x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)) };
    const last = strokes.at(-1);
    if (down !== null && last !== undefined) {
      strokes[strokes.length - 1] = [...last, pen];
    }
  }

  function begin(by: 'pointer' | 'key'): void {
    down = by;
    strokes.push([pen]);
  }

  const unstroke = (): void => {
    strokes.pop();
    down = null;
    paint();
  };

  function keep(): void {
    if (strokes.length === 0) {
      say(box('pad-said'), 'Draw something first.');
      return;
    }
    kept.push({ x: raster(strokes, shape), label: label() });
    strokes = [];
    down = null;
    changed(`Kept as ${names[label()]}.`);
  }

  function changed(said: string): void {
    paint();
    say(box('pad-said'), `${said} ${counted(kept.length, 'drawing')} in all.`);
    button('undo').disabled = kept.length === 0;
    list.replaceChildren(...kept.map((one) => thumbnail(one, shape, names)).reverse());
    const perClass = names.map((_, at) => kept.filter((one) => one.label === at).length);
    labels.querySelectorAll('small').forEach((small, at) => say(small, perClass[at] === 0 ? '' : `×${perClass[at]}`));
    offer();
  }

  /** Makes what is kept the source, if the pad is what the person chose. */
  function offer(): void {
    if (kept.length === 0) {
      choice.set({ source: null });
      return;
    }
    const size = kept[0]?.x.length ?? 0;
    const x = new Float32Array(kept.length * size);
    kept.forEach((one, at) => x.set(one.x, at * size));
    choice.set({ source: { kind: 'drawn', x, y: Uint32Array.from(kept, (one) => one.label), shape } });
  }

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button === 0) {
      canvas.setPointerCapture(event.pointerId);
      moved(event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight);
      begin('pointer');
      paint();
    }
  });
  canvas.addEventListener('pointermove', (event) => {
    if (down === 'pointer') {
      for (const { offsetX, offsetY } of event.getCoalescedEvents?.() ?? [event]) {
        moved(offsetX / canvas.clientWidth, offsetY / canvas.clientHeight);
      }
      paint();
    }
  });
  for (const over of ['pointerup', 'pointercancel'] as const) {
    canvas.addEventListener(over, () => {
      down = null;
      paint();
    });
  }
  canvas.addEventListener('keydown', (event) => {
    const arrow = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (arrow !== undefined) {
      moved(pen.x + arrow[0], pen.y + arrow[1]);
    } else if (event.key === ' ') {
      down = down === null ? (begin('key'), down) : null;
      say(box('pad-said'), down === null ? 'Pen up.' : 'Pen down.');
    } else if (event.key === 'Backspace') {
      unstroke();
    } else if (event.key === 'Enter') {
      keep();
    } else if (/^\d$/.test(event.key) && Number(event.key) < names.length) {
      labels.querySelectorAll('input')[Number(event.key)]?.click();
    } else {
      return;
    }
    event.preventDefault();
    paint();
  });
  canvas.addEventListener('focus', paint);
  canvas.addEventListener('blur', () => {
    down = null;
    paint();
  });
  button('keep').addEventListener('click', keep);
  button('unstroke').addEventListener('click', unstroke);
  button('undo').addEventListener('click', () => {
    kept.pop();
    changed('The last one is taken back.');
  });
  addEventListener('recolour', paint);

  function sized(): void {
    const next = choice.task?.inputShape ?? (choice.task === null ? [1, 8, 8] : []);
    const image = next.length === 3 && (next[0] === 1 || next[0] === 3);
    box('pad-box').hidden = !image;
    box('no-pad').hidden = image;
    const nextNames = namesOf(choice.task);
    if (!image || String([next, nextNames]) === String([shape, names])) {
      return;
    }
    [shape, names, kept] = [next, nextNames, []];
    labels.replaceChildren(...names.map(option));
    list.replaceChildren();
    if (choice.source?.kind === 'drawn') {
      choice.set({ source: null });
    }
    button('undo').disabled = kept.length === 0;
    paint();
  }

  choice.onChange(sized);
  sized();
  return () => {
    paint();
    offer();
  };
}

function option(name: string, at: number): HTMLElement {
  const radio = make('input', { type: 'radio', name: 'label', value: at, checked: at === 0 });
  return make('label', {}, radio, make('span', {}, name, make('small')));
}

function thumbnail({ x, label }: Kept, shape: readonly number[], names: readonly string[]): HTMLElement {
  const name = names[label] ?? String(label);
  const canvas = make('canvas', { class: 'pixels', role: 'img', 'aria-label': `A drawing of ${name}` });
  show(canvas, x, shape);
  return make('li', {}, canvas, make('span', { 'aria-hidden': true }, name));
}

/** Paints an example [c, h, w] on a canvas of its own size, white ink on black as the model has it. */
function show(canvas: HTMLCanvasElement, x: Float32Array, shape: readonly number[]): void {
  const [channels = 1, height = 1, width = 1] = shape;
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * at + channel] = 255 * (x[at + Math.min(channel, channels - 1) * width * height] ?? 0);
    }
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext('2d')?.putImageData(image, 0, 0);
}
