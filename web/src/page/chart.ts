/** A line chart of uPlot's with a legend, words and a table, so that neither colour nor sight is needed to read it. */
import type uPlot from 'uplot';
import { Curve } from './curve';
import { make, say, styled, table } from './element';

export interface Line {
  readonly name: string;
  readonly scale: string;
  readonly words: (value: number | null) => string;
  /** The same, shorter, on the axis. */
  readonly tick: (value: number) => string;
}

const DASHES = [[], [7, 4]] as const;
const HEIGHT = 190;

export class Chart {
  readonly curve = new Curve();
  #plot: uPlot | null = null;
  readonly #picture = make('div', { class: 'plot', role: 'img' });
  readonly #values: readonly HTMLElement[];
  readonly #swatches: readonly HTMLElement[];
  readonly #details = make('details', {}, make('summary', {}, 'As a table'));
  readonly #empty = make('p', { class: 'small' }, 'Nothing has been scored yet.');
  /** What is there as soon as there is a value. */
  readonly #parts: readonly HTMLElement[];
  #frame = 0;

  /** At most two lines: the first on the left axis and solid, the second on the right and dashed. */
  constructor(
    private readonly host: HTMLElement,
    private readonly title: string,
    private readonly along: string,
    private readonly lines: readonly Line[],
  ) {
    this.#swatches = lines.map((_, at) => make('i', { class: `line line-${at}` }));
    this.#values = lines.map(() => make('b'));
    const keys = lines.map(({ name }, at) => make('span', {}, this.#swatches[at] ?? '', `${name} `, this.#values[at] ?? ''));
    const legend = make('p', { class: 'legend small' }, ...keys);
    this.#parts = [legend, this.#picture, this.#details];
    host.append(make('h3', {}, title), this.#empty, ...this.#parts);
    new ResizeObserver(() => this.#fit()).observe(this.#picture);
    addEventListener('recolour', () => this.#plot?.redraw());
    this.#details.addEventListener('toggle', () => this.#tabulate());
    this.#words(null);
    host.hidden = true;
  }

  /** Draws the curve as it is now, once a frame however often it is asked. `awaited`: one without points says so. */
  draw(awaited = false): void {
    const empty = this.curve.rows.length === 0;
    this.host.hidden = empty && !awaited;
    this.#empty.hidden = !empty;
    this.#parts.forEach((part) => (part.hidden = empty));
    this.#frame ||= requestAnimationFrame(() => void this.#paint().finally(() => (this.#frame = 0)));
  }

  async #paint(): Promise<void> {
    this.#words(null);
    this.#tabulate();
    const data = (): uPlot.AlignedData => this.curve.columns(this.lines.length);
    if (this.#plot === null && this.curve.rows.length > 0) {
      // Loaded for the first curve: a page that is only looked at does without.
      const [{ default: Plot }, { default: sheet }] = await Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css?url')]);
      await styled(sheet);
      this.#plot = new Plot(this.#options(), data(), this.#picture);
      this.#fit();
    }
    this.#plot?.setData(data());
  }

  /** The legend's values: those at the cursor, or the last; and the whole in a sentence. */
  #words(at: number | null): void {
    const { rows } = this.curve;
    const row = at === null ? rows.at(-1) : rows[at];
    this.lines.forEach(({ words }, line) => say(this.#values[line] ?? this.host, words(row?.[line + 1] ?? null)));
    const [first, last] = [rows[0], rows.at(-1)];
    const courses = this.lines.map(({ name, words }, line) => `${name} from ${words(first?.[line + 1] ?? null)} to ${words(last?.[line + 1] ?? null)}`);
    this.#picture.setAttribute('aria-label', `${this.title}, ${this.along} ${first?.[0] ?? 0} to ${last?.[0] ?? 0}: ${courses.join('; ')}.`);
  }

  #tabulate(): void {
    if (this.#details.open) {
      const heads = [this.along, ...this.lines.map(({ name }) => name)];
      const rows = this.curve.sample(12).map(([x, ...values]) => [String(x), ...this.lines.map(({ words }, at) => words(values[at] ?? null))]);
      this.#details.replaceChildren(this.#details.children[0] ?? '', table(this.title, heads, rows));
    }
  }

  #fit(): void {
    const width = this.#picture.clientWidth;
    if (this.#plot !== null && width > 0 && width !== this.#plot.width) {
      this.#plot.setSize({ width, height: HEIGHT });
    }
  }

  #options(): uPlot.Options {
    const ink = (): string => getComputedStyle(this.host).color;
    const faint = (): string => getComputedStyle(this.#picture).outlineColor;
    const axis = { stroke: ink, grid: { stroke: faint, width: 1 }, ticks: { stroke: faint, width: 1 }, font: '12px system-ui' };
    const values = ({ tick }: Line) => (_: uPlot, splits: (number | null)[]) => splits.map((value) => (value === null ? '' : tick(value)));
    return {
      width: 300,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: {
        x: { time: false },
        ...Object.fromEntries(this.lines.map(({ scale }) => [scale, { range: scale === 'share' ? [0, 1] : zeroUp }])),
      },
      series: [
        {},
        ...this.lines.map(({ name, scale }, at) => ({
          label: name,
          scale,
          width: 2,
          dash: [...(DASHES[at] ?? [])],
          stroke: () => getComputedStyle(this.#swatches[at] ?? this.host).borderTopColor,
          points: { show: (plot: uPlot) => (plot.data[0].length < 25), size: at === 0 ? 6 : 8, width: at === 0 ? 4 : 2 },
          spanGaps: true,
        })),
      ],
      axes: [
        { ...axis, size: 30, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 100000] },
        ...this.lines.map((line, at) => ({
          ...axis,
          scale: line.scale,
          side: at === 0 ? 3 : 1,
          size: 58,
          ...(at === 0 ? {} : { grid: { show: false } }),
          values: values(line),
        })),
      ],
      hooks: { setCursor: [(plot) => this.#words(plot.cursor.idx ?? null)] },
    };
  }
}

/** From zero to a little above the largest value. */
function zeroUp(_: uPlot, __: number, high: number | null): uPlot.Range.MinMax {
  return [0, (high ?? 1) * 1.08 || 1];
}
