/** Amounts as people read them. */

export function inWords(bytes: number): string {
  if (bytes < 1000) {
    return `${bytes} bytes`;
  }
  return bytes < 999_500 ? `${(bytes / 1e3).toPrecision(3)} kB` : `${(bytes / 1e6).toPrecision(3)} MB`;
}

export function inPercent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
