/** Small things the page remembers from one visit to the next; a browser that forbids storage only forgets them. */

export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // forgotten, then
  }
}
