/** "My files": a zone to drop them on, and two buttons for those who do not drag. */
import type { LocalFile } from '../messages';
import type { Choice } from './choice';
import { dropped, picked } from './dropped';
import { box, button, input, make, say } from './element';
import markup from './files.html?raw';
import { counted } from './words';

/** Fills the panel. What is given last becomes `choice.source`. */
export function files(choice: Choice): () => void {
  box('from-files').innerHTML = markup;
  const zone = box('zone');
  let held: readonly LocalFile[] = [];

  const offer = (): void => choice.set({ source: held.length > 0 ? { kind: 'files', files: held } : null });

  function given(some: readonly LocalFile[]): void {
    if (some.length > 0) {
      held = some;
      const names = held.slice(0, 3).map(({ path }) => path);
      say(box('given'), `${counted(held.length, 'file')}: ${names.join(', ')}${held.length > 3 ? ' …' : ''}`);
      offer();
    }
  }

  for (const name of ['files', 'folder']) {
    button(`pick-${name}`).addEventListener('click', () => input(name).click());
    input(name).addEventListener('change', () => {
      given(picked(input(name).files));
      input(name).value = ''; // the same files may be picked again once mended
    });
  }
  zone.addEventListener('dragover', () => zone.classList.add('over'));
  zone.addEventListener('dragleave', () => zone.classList.remove('over'));
  zone.addEventListener('drop', (event) => {
    zone.classList.remove('over');
    if (event.dataTransfer !== null) {
      dropped(event.dataTransfer).then(given, unread);
    }
  });
  return offer;
}

function unread(): void {
  const words = [make('strong', {}, 'The folder could not be read.'), ' Choose it with the button.'];
  box('data-trouble').replaceChildren(make('p', { class: 'notice', 'data-tone': 'bad' }, ...words));
}
