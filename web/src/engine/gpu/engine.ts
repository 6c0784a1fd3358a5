/** The engine on WebGPU: one device, its kernels chosen by trial, trainers and scores on it. */
import type { Calibration, Chain, Descent, Engine, EngineReport, Examples, Score, Weights } from '../types';
import { Chooser } from './calibrate';
import { Device } from './device';
import { Network } from './network';
import { pack, vectors } from './plan';
import { GpuTrainer } from './trainer';

/** Asked for as far as the adapter has them; the rest is WebGPU's own least. */
const LIMITS = ['maxStorageBufferBindingSize', 'maxBufferSize'] as const;
/** Examples scored at once. */
const CHUNK = 128;
/** A side of the product that every device is measured by. */
const SIDE = 512;

/** Whether an adapter only imitates a graphics processor. */
export function isSoftware({ isFallbackAdapter, vendor, architecture, description }: GPUAdapterInfo): boolean {
  return (
    isFallbackAdapter ||
    /swiftshader|llvmpipe|lavapipe|\bcpu\b|software/i.test(`${vendor} ${architecture} ${description}`)
  );
}

/** `before`: what `calibration` gave on the same kind of adapter, so that nothing is tried again. */
export async function openGpu(reason: string, adapter: GPUAdapter, before: Calibration = {}): Promise<Engine> {
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const device = new Device(await adapter.requestDevice({ requiredLimits }));
  const engine = new GpuEngine(device, reason, adapter.info, before);
  try {
    await engine.measure();
    return engine;
  } catch (error) {
    engine.destroy();
    throw error;
  }
}

class GpuEngine implements Engine {
  readonly lost: Promise<string>;
  private readonly chooser: Chooser;
  private readonly software: boolean;
  private matmulGflops = 0;

  constructor(
    private readonly device: Device,
    private readonly reason: string,
    private readonly info: GPUAdapterInfo,
    before: Calibration,
  ) {
    this.lost = device.lost;
    this.software = isSoftware(info);
    this.chooser = new Chooser(device, before);
  }

  get report(): EngineReport {
    const { vendor, architecture, device, description } = this.info;
    const { limits } = this.device.gpu;
    return {
      kind: 'webgpu',
      reason: this.reason,
      adapter: { vendor, architecture, device, description },
      limits: Object.fromEntries(
        [...LIMITS, 'maxStorageBuffersPerShaderStage' as const].map((name) => [name, limits[name]]),
      ),
      kernels: Object.entries(this.chooser.chosen).map(([shape, choice]) => ({ shape, ...choice })),
      matmulGflops: this.matmulGflops,
    };
  }

  calibration(): Calibration {
    return { ...this.chooser.chosen };
  }

  /** Has the kernel for a square product chosen: its trial is what tells this device's speed. */
  async measure(): Promise<void> {
    const layer = { kind: 'linear', name: 'square', inputs: SIDE, outputs: SIDE, relu: false } as const;
    const network = this.network({ inputShape: [SIDE], classes: SIDE, layers: [layer] }, SIDE, 1);
    try {
      await network.forward();
      this.device.check();
      [this.matmulGflops] = Object.values(this.chooser.chosen).map(({ gflops }) => gflops);
    } finally {
      network.destroy();
    }
  }

  async trainer(chain: Chain, weights: Weights, examples: Examples, descent: Descent): Promise<GpuTrainer> {
    this.device.alive();
    const stored = examples.y.length;
    if (stored === 0) throw new RangeError('There are no examples to train on');
    if (examples.y.some((label) => label >= chain.classes))
      throw new RangeError(`A label is beyond the ${chain.classes} classes`);
    const network = this.network(chain, descent.batchSize, stored);
    try {
      const trainer = await GpuTrainer.create(network, weights, examples, descent);
      await this.device.gpu.queue.onSubmittedWorkDone();
      this.device.check();
      return trainer;
    } catch (error) {
      network.destroy(false);
      this.device.alive();
      throw error;
    }
  }

  async score(chain: Chain, weights: Weights, { x, y }: Examples): Promise<Score> {
    const logits = await this.logits(chain, weights, x, y.length);
    let loss = 0;
    let correct = 0;
    y.forEach((label, i) => {
      const row = logits.subarray(i * chain.classes, (i + 1) * chain.classes);
      const most = row.reduce((a, b) => Math.max(a, b));
      loss += Math.log(row.reduce((sum, v) => sum + Math.exp(v - most), 0)) + most - row[label];
      correct += row.indexOf(most) === label ? 1 : 0;
    });
    return { loss: loss / y.length, accuracy: correct / y.length, examples: y.length };
  }

  /** [n, classes], computed in chunks that are all enqueued before the first is read. */
  private async logits(chain: Chain, weights: Weights, x: Float32Array, n: number): Promise<Float32Array> {
    this.device.alive();
    const { classes, inputShape } = chain;
    const inputs = inputShape.reduce((a, b) => a * b, 1);
    const size = Math.min(CHUNK, n);
    if (n === 0) return new Float32Array();
    const network = this.network(chain, size, size);
    try {
      const { queue } = this.device.gpu;
      const forward = await network.forward();
      queue.writeBuffer(network.parameters, 0, pack(network.plan, weights));
      const stride = vectors(classes) * 4;
      const out = new Float32Array(n * classes);
      const chunks = Array.from({ length: Math.ceil(n / size) }, (_, i) => i * size).map(async (start) => {
        const count = Math.min(size, n - start);
        const numbers = Uint32Array.from({ length: count }, (_, i) => i);
        queue.writeBuffer(network.examples, 0, x.slice(start * inputs, (start + count) * inputs));
        queue.writeBuffer(network.step, 0, Uint32Array.of(count, 0, 0, 0, ...numbers));
        this.device.run(forward, count);
        const [rows] = await this.device.read([
          { buffer: network.activations[chain.layers.length], bytes: count * stride * 4 },
        ]);
        for (let i = 0; i < count; i++) out.set(rows.subarray(i * stride, i * stride + classes), (start + i) * classes);
      });
      await Promise.all(chunks);
      this.device.check();
      network.destroy();
      return out;
    } catch (error) {
      network.destroy(false);
      throw error;
    }
  }

  private network(chain: Chain, batch: number, stored: number): Network {
    return new Network(this.device, this.chooser, this.software, chain, batch, stored);
  }

  destroy(): void {
    this.device.destroy();
  }
}
