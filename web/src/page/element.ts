/** Plain DOM: an element of the page by its id, and new ones. */

type Kind<T extends Element> = abstract new () => T;

/** The element with this id, which index.html promises to be of this kind. */
export function found<T extends Element>(id: string, kind: Kind<T>): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) {
    throw new TypeError(`index.html has no ${kind.name} with the id ${id}`);
  }
  return element;
}

/** The commonest kinds by name. */
export const box = (id: string): HTMLElement => found(id, HTMLElement);
export const button = (id: string): HTMLButtonElement => found(id, HTMLButtonElement);
export const input = (id: string): HTMLInputElement => found(id, HTMLInputElement);

type Attributes = Readonly<Record<string, string | number | boolean>>;

/** `<tag …attributes>…children</tag>`; `class` goes by that name, `true` gives an empty attribute, `false` none. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  element.append(...children);
  return element;
}

/** A table with a header row; the first cell of each row heads it. */
export function table(caption: string, heads: readonly string[], rows: readonly (readonly string[])[]): HTMLElement {
  const head = make('tr', {}, ...heads.map((text) => make('th', { scope: 'col' }, text)));
  const body = rows.map(([first = '', ...rest]) =>
    make('tr', {}, make('th', { scope: 'row' }, first), ...rest.map((text) => make('td', {}, text))),
  );
  const whole = make('table', {}, make('caption', { class: 'unseen' }, caption), make('thead', {}, head));
  whole.append(make('tbody', {}, ...body));
  return make('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': caption }, whole);
}

/** Sets the text only where it differs, so that a live region speaks of changes alone. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

const sheets: Record<string, Promise<unknown>> = {};

/** Adds the style sheet that a panel brings, and waits for it; without one the panel is plain, but there. */
export function styled(href: string): Promise<unknown> {
  return (sheets[href] ??= new Promise((resolve) => {
    const link = make('link', { rel: 'stylesheet', href });
    link.onload = link.onerror = resolve;
    document.head.append(link);
  }));
}
