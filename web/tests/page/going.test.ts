import { afterEach, expect, it, vi } from 'vitest';
import type { Command } from '../../src/messages';
import { Channel } from '../../src/page/channel';
import { going } from '../../src/page/going';

afterEach(() => vi.unstubAllGlobals());

/** A page with what `going` uses of it: what was sent, and how often it was loaded anew. */
function page() {
  const [events, sent, reload] = [new EventTarget(), [] as Command[], vi.fn()];
  vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }));
  vi.stubGlobal('addEventListener', events.addEventListener.bind(events));
  vi.stubGlobal('location', { reload });
  going(new Channel((command) => sent.push(command)));
  const happen = (type: string, persisted = false) => events.dispatchEvent(Object.assign(new Event(type), { persisted }));
  return { happen, sent, reload };
}

it('says that it goes, and loads anew when the browser brings it back as it was', () => {
  const { happen, sent, reload } = page();
  happen('pagehide');
  expect(sent).toEqual([{ type: 'close' }]);
  happen('pageshow', true);
  expect(reload).toHaveBeenCalledOnce();
});

it('does not load anew after its first load', () => {
  const { happen, reload } = page();
  happen('pageshow');
  expect(reload).not.toHaveBeenCalled();
});
