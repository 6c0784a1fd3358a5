/** The curves' code comes with the first report that there is something to draw of, and hears all that was told before. */
import type { Report, Trouble } from '../messages';
import { part } from '../part';
import { Refused } from '../refused';
import { Channel } from './channel';

const DRAWN = ['status', 'step', 'rounds'] as const;

/** `load` brings the code. Where it cannot be had, the next such report tries again. */
export function drawn(
  channel: Channel,
  load: () => Promise<{ readonly charts: (channel: Channel) => void }>,
  onTrouble: (trouble: Trouble) => void,
): void {
  const told = new Channel(channel.send);
  const before: Report[] = [];
  let there = false;
  let loading: Promise<void> | null = null;
  const hear = (report: Report): void => {
    if (there) {
      return told.tell(report);
    }
    before.push(report);
    if (report.type !== 'status') {
      loading ??= part(load()).then(
        ({ charts }) => {
          charts(told);
          there = true;
          before.splice(0).forEach((earlier) => told.tell(earlier));
        },
        (error: unknown) => {
          loading = null;
          if (!(error instanceof Refused)) {
            throw error;
          }
          onTrouble(error.trouble);
        },
      );
    }
  };
  DRAWN.forEach((type) => channel.on(type, hear));
}
