/** The page's end of the wire to its worker: commands go out, reports are told to whoever listens for their type. */
import type { Command, Report } from '../messages';

type Of<T extends Report['type']> = Extract<Report, { type: T }>;

export class Channel {
  readonly #listeners = new Map<string, ((report: Report) => void)[]>();

  /** `send` posts a command to the worker. */
  constructor(readonly send: (command: Command) => void) {}

  on<T extends Report['type']>(type: T, listener: (report: Of<T>) => void): void {
    const all = this.#listeners.get(type) ?? [];
    this.#listeners.set(type, [...all, (report) => listener(report as Of<T>)]);
  }

  tell(report: Report): void {
    this.#listeners.get(report.type)?.forEach((listener) => listener(report));
  }
}
