/** What the person has chosen, which several panels depend on: a task, and a source of examples. */
import type { Source, TaskCard } from '../messages';

export class Choice {
  task: TaskCard | null = null;
  source: Source | null = { kind: 'digits' };
  readonly #listeners: (() => void)[] = [];

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  set(change: { readonly task?: TaskCard | null; readonly source?: Source | null }): void {
    Object.assign(this, change);
    this.#listeners.forEach((listener) => listener());
  }
}

/** The names of the task's classes; their numbers where it names none, of digits where there is no task. */
export function namesOf(task: TaskCard | null): readonly string[] {
  return task?.classNames ?? Array.from({ length: task?.classes ?? 10 }, (_, label) => String(label));
}
