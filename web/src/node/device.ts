/** The engine at hand. Browsers take devices away: after a driver's reset, say. Then another is opened. */
import type { Engine } from '../engine/types';
import { Refused } from '../refused';
import type { Parts } from './parts';
import type { Teller } from './teller';

export class Device {
  private gone = new AbortController();

  private constructor(
    private readonly parts: Pick<Parts, 'openEngine'>,
    private readonly server: string,
    private readonly tell: Teller,
    private readonly force: 'webgpu' | 'cpu' | undefined,
    private held: Engine,
  ) {
    this.hold(held);
  }

  static async open(
    parts: Pick<Parts, 'openEngine'>,
    server: string,
    tell: Teller,
    force?: 'webgpu' | 'cpu',
  ): Promise<Device> {
    return new Device(parts, server, tell, force, await parts.openEngine(force));
  }

  get engine(): Engine {
    return this.held;
  }

  /** Aborted, with the refusal as its reason, when the engine at hand is lost. */
  get lost(): AbortSignal {
    return this.gone.signal;
  }

  /** Opens another engine for the one that is lost: the CPU's where WebGPU does not come back. */
  async reopen(): Promise<void> {
    this.tell.trouble(this.lost.reason);
    this.held.destroy();
    this.hold(await this.parts.openEngine(this.force).catch(() => this.parts.openEngine('cpu')));
  }

  private hold(engine: Engine): void {
    const gone = new AbortController();
    this.held = engine;
    this.gone = gone;
    this.tell.report({ type: 'ready', engine: engine.report, server: this.server });
    void engine.lost.then((why) => {
      const mend = 'nothing needs doing: the work goes on from its last checkpoint on a new device';
      gone.abort(new Refused('device_lost', `The graphics device was lost (${why}).`, mend));
    });
  }
}
