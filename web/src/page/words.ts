/** Numbers as people read them. */
import type { NodeStatus } from '../messages';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** `421642` → `421,642`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** `one example`, `600 examples`. */
export function counted(value: number, thing: string, things = `${thing}s`): string {
  return value === 1 ? `one ${thing}` : `${count(value)} ${things}`;
}

/** Decimal units: `1686568` → `1.7 MB`. */
export function bytes(value: number): string {
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** A share of one: `0.9317` → `93.2 %`. */
export function percent(share: number | null): string {
  return share === null ? '–' : `${(100 * share).toFixed(1)} %`;
}

/** A loss or another small figure, to three digits. */
export function figure(value: number | null): string {
  if (value === null || !Number.isFinite(value)) {
    return '–';
  }
  return Math.abs(value) >= 999.5 ? count(value) : value.toPrecision(3).replace('e', '·10^');
}

/** `3725` → `1 h 2 min`, `65` → `1 min 5 s`; nothing below zero. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, min, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h} h ${min} min` : min > 0 ? `${min} min ${s} s` : `${s} s`;
}

/** The `most` largest values with their places, in the order of their places. */
export function largest(values: readonly number[], most: number): [place: number, value: number][] {
  const all = values.map((value, place): [number, number] => [place, value]);
  return all.length <= most ? all : all.sort((a, b) => b[1] - a[1]).slice(0, most).sort((a, b) => a[0] - b[0]);
}

/** What left this tab, in bytes and in words. `parameters`: of the model, where known. */
export function sentence(status: NodeStatus, parameters: number | null): string {
  const weights = parameters === null ? 'the model’s weights' : `the ${count(parameters)} weights`;
  const times = status.roundsGiven > 1 ? ` in ${count(status.roundsGiven)} rounds` : '';
  const own = counted(status.examples + status.heldOut, 'example');
  const stay = `Your ${own} stayed here; what moved can still tell something about them.`;
  return `Sent ${bytes(status.bytesUp)} of updates${times} since this page was opened: how ${weights} moved, with counts and scores. ${stay}`;
}
