/** A WebGPU device with what every user of it needs: pooled buffers, cached pipelines, read-back, honest errors. */
import { Refused } from '../../refused';
import { fill, type Constants } from './template';

/** One dispatch; `threads` of a batch of n, `group` of them a workgroup. */
export interface Launch {
  readonly pipeline: GPUComputePipeline;
  readonly bindings: GPUBindGroup;
  readonly group: number;
  threads(n: number): number;
}

export type Binding = GPUBuffer | GPUBufferBinding;

const USAGE = 0x8c; // STORAGE | COPY_SRC | COPY_DST
/** Bytes kept for those who come next. */
const POOL = 2 ** 28;

export class Device {
  readonly lost: Promise<string>;
  private gone: string | null = null;
  private fault: Refused | null = null;
  private pooled = 0;
  private readonly pool = new Map<number, GPUBuffer[]>();
  private readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();

  constructor(readonly gpu: GPUDevice) {
    this.lost = new Promise((resolve) => {
      void gpu.lost.then(({ reason, message }) => {
        this.gone = message || reason;
        if (reason !== 'destroyed') resolve(this.gone);
      });
    });
    gpu.addEventListener('uncapturederror', ({ error }) => {
      this.fault ??= new Refused(
        'internal',
        `The graphics device reported an error: ${error.message}`,
        'Reload the page; if it comes again, use the CPU engine.',
      );
    });
  }

  /** Throws where the device is gone. */
  alive(): void {
    if (this.gone === null) return;
    throw new Refused(
      'device_lost',
      `The graphics device is gone: ${this.gone}.`,
      'Train again: a new device is asked for.',
    );
  }

  /** Throws where the device is gone, or where it reported an error that nobody has heard of yet. */
  check(): void {
    this.alive();
    const { fault } = this;
    this.fault = null;
    if (fault !== null) throw fault;
  }

  /** Storage of at least `bytes`, all zeros. */
  take(bytes: number): GPUBuffer {
    const size = Math.max(256, Math.ceil(bytes / 256) * 256);
    const used = this.pool.get(size)?.pop();
    if (used === undefined) return this.create(size);
    this.pooled -= size;
    const encoder = this.gpu.createCommandEncoder();
    encoder.clearBuffer(used);
    this.gpu.queue.submit([encoder.finish()]);
    return used;
  }

  give(buffer: GPUBuffer): void {
    if (this.pooled + buffer.size > POOL) {
      buffer.destroy();
      return;
    }
    const same = this.pool.get(buffer.size) ?? [];
    this.pool.set(buffer.size, same);
    same.push(buffer);
    this.pooled += buffer.size;
  }

  private create(size: number): GPUBuffer {
    this.gpu.pushErrorScope('out-of-memory');
    const buffer = this.gpu.createBuffer({ size, usage: USAGE });
    void this.gpu.popErrorScope().then((error) => {
      if (error === null) return;
      this.fault ??= new Refused(
        'too_large',
        'The graphics device has no memory left.',
        'Close other tabs, or choose a smaller batch or model.',
      );
    });
    return buffer;
  }

  /** A kernel bound to its buffers, which take the bindings' numbers in order; a null leaves a number out. */
  async launch(
    text: string,
    constants: Constants,
    buffers: readonly (Binding | null)[],
    group: number,
    threads: (n: number) => number,
  ): Promise<Launch> {
    const code = fill(text, constants);
    let made = this.pipelines.get(code);
    if (made === undefined) {
      const module = this.gpu.createShaderModule({ code });
      made = this.gpu.createComputePipelineAsync({ layout: 'auto', compute: { module } });
      this.pipelines.set(code, made);
    }
    const pipeline = await made;
    const entries = buffers.flatMap((buffer, binding) =>
      buffer === null ? [] : [{ binding, resource: 'buffer' in buffer ? buffer : { buffer } }],
    );
    const bindings = this.gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    return { pipeline, bindings, group, threads };
  }

  /** One command buffer of kernels, each of which sees what those before it wrote. */
  run(launches: readonly Launch[], n: number, times = 1): void {
    const encoder = this.gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < times; i++) {
      for (const { pipeline, bindings, group, threads } of launches) {
        const groups = Math.ceil(threads(n) / group);
        const across = Math.min(groups, 65535);
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindings);
        pass.dispatchWorkgroups(across, Math.ceil(groups / across));
      }
    }
    pass.end();
    this.gpu.queue.submit([encoder.finish()]);
  }

  /** What the buffers' first bytes will be once all that was submitted so far is done. */
  async read(
    parts: readonly { readonly buffer: GPUBuffer; readonly bytes: number }[],
  ): Promise<Float32Array<ArrayBuffer>[]> {
    const size = parts.reduce((sum, { bytes }) => sum + bytes, 0);
    const staging = this.gpu.createBuffer({ size, usage: 0x9 }); // MAP_READ | COPY_DST
    const encoder = this.gpu.createCommandEncoder();
    let at = 0;
    for (const { buffer, bytes } of parts) {
      encoder.copyBufferToBuffer(buffer, 0, staging, at, bytes);
      at += bytes;
    }
    this.gpu.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(1);
      this.alive();
      const all = staging.getMappedRange().slice(0);
      at = 0;
      return parts.map(({ bytes }) => new Float32Array(all, (at += bytes) - bytes, bytes / 4));
    } catch (error) {
      this.check(); // Says more.
      throw error;
    } finally {
      staging.destroy();
    }
  }

  destroy(): void {
    this.gpu.destroy();
  }
}
