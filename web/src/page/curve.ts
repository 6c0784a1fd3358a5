/** The points of a chart: several values over one x, ascending, thinned when they become too many to see. */

export type Row = readonly [x: number, ...values: (number | null)[]];

export class Curve {
  #rows: Row[] = [];

  constructor(private readonly capacity = 1200) {}

  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** Adds a row; those at or after its x go, since a node that goes on from a checkpoint walks some steps again. */
  push(row: Row): void {
    while ((this.#rows.at(-1)?.[0] ?? -Infinity) >= row[0]) {
      this.#rows.pop();
    }
    this.#rows.push(row);
    if (this.#rows.length > this.capacity) {
      const last = this.#rows.length - 1;
      this.#rows = this.#rows.filter((_, at) => at % 2 === 0 || at === last);
    }
  }

  replace(rows: readonly Row[]): void {
    this.#rows = [...rows];
  }

  /** Column by column, as charts want them: the x first. */
  columns(width: number): [number[], ...(number | null)[][]] {
    const column = (at: number): (number | null)[] => this.#rows.map((row) => row[at] ?? null);
    return [this.#rows.map(([x]) => x), ...Array.from({ length: width }, (_, at) => column(at + 1))];
  }

  /** At most `many` rows at equal distances, the first and the last among them. */
  sample(many: number): readonly Row[] {
    const all = this.#rows;
    return all.length <= many ? all : Array.from({ length: many }, (_, at) => all[Math.round((at * (all.length - 1)) / (many - 1))] as Row);
  }
}

/** Steps of one round after another on one axis: where the step of this round lies on the node's way with its task. */
export class Odometer {
  #task: string | null = null;
  #round: number | null = null;
  #before = 0;
  #last = 0;

  /** Whether this is another task than before; its way begins at zero. */
  begins(task: string): boolean {
    const other = this.#task !== null && this.#task !== task;
    if (other) {
      [this.#round, this.#before, this.#last] = [null, 0, 0];
    }
    this.#task = task;
    return other;
  }

  at(round: number, step: number): number {
    if (round !== this.#round) {
      this.#before += this.#last;
      this.#round = round;
    }
    this.#last = step;
    return this.#before + step;
  }
}
