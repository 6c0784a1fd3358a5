/** The engine at hand. Browsers take devices away: after a driver's reset, say. Then another is opened. */
import type { Calibration, Engine } from '../engine/types';
import { Refused } from '../refused';
import type { Keyring } from './keyring';
import type { Parts } from './parts';
import type { Teller } from './teller';

export class Device {
  private gone = new AbortController();

  private constructor(
    private readonly parts: Pick<Parts, 'openEngine'>,
    private readonly server: string,
    private readonly tell: Teller,
    private readonly again: () => Promise<Engine>,
    private held: Engine,
  ) {
    this.hold(held);
  }

  static async open(
    parts: Pick<Parts, 'openEngine'>,
    server: string,
    tell: Teller,
    keyring: Keyring,
    force?: 'webgpu' | 'cpu',
  ): Promise<Device> {
    const open = (): Promise<Engine> => openMeasured(parts, keyring, force);
    return new Device(parts, server, tell, open, await open());
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
    this.hold(await this.again().catch(() => this.parts.openEngine('cpu')));
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

/** Opens an engine with the kernels that were found the fastest on this adapter before, and keeps what it found. */
async function openMeasured(
  parts: Pick<Parts, 'openEngine'>,
  keyring: Keyring,
  force?: 'webgpu' | 'cpu',
): Promise<Engine> {
  const gpu = force === 'cpu' ? undefined : (globalThis.navigator?.gpu as GPU | undefined);
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  const before = adapter ? await keyring.get<Calibration>(kernelsKey(adapter.info)) : undefined;
  const engine = await parts.openEngine(force, before);
  const found = engine.calibration?.();
  if (found !== undefined && engine.report.kind === 'webgpu') {
    await keyring.put(kernelsKey(engine.report.adapter), found).catch(() => undefined); // measured anew next time
  }
  return engine;
}

const kernelsKey = ({ vendor, architecture }: { readonly vendor?: string; readonly architecture?: string }): string =>
  `kernels ${vendor} ${architecture}`;
