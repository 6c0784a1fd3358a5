import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Device } from '../../../src/engine/gpu/device';
import { isSoftware, openGpu } from '../../../src/engine/gpu/engine';
import { openEngine } from '../../../src/engine/open';
import type { Calibration, Chain, Descent, Engine } from '../../../src/engine/types';
import { Refused } from '../../../src/refused';
import { describeOnGpu } from '../../gpu';
import { conv, linear, pool } from './chains';
import { draw, examples, Reference } from './reference';

const CHAIN: Chain = {
  inputShape: [1, 5, 7],
  classes: 3,
  layers: [conv('a', 1, 3, [5, 7]), pool(3, 5, 7), linear('b', 18, 3)],
};
const DESCENT: Descent = {
  optimizer: 'adam',
  learningRate: 1e-2,
  momentum: 0,
  weightDecay: 0.01,
  proximal: 0.1,
  batchSize: 4,
};
const batch = (i: number): Uint32Array => Uint32Array.of(i % 9, (i + 4) % 9, (i * 5) % 9);

async function adapterOf(): Promise<GPUAdapter> {
  const adapter = await navigator.gpu.requestAdapter();
  if (adapter === null) throw new Error('no adapter');
  return adapter;
}

/** An adapter whose device the test holds, and can lose. */
async function hold(): Promise<{ adapter: GPUAdapter; device: () => GPUDevice; lose: (message: string) => void }> {
  const adapter = await adapterOf();
  let lose: (info: GPUDeviceLostInfo) => void = () => undefined;
  const lost = new Promise<GPUDeviceLostInfo>((resolve) => (lose = resolve));
  const held: GPUDevice[] = [];
  const requestDevice = async (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> => {
    const device = await adapter.requestDevice(descriptor);
    Object.defineProperty(device, 'lost', { value: lost });
    held.push(device);
    return device;
  };
  return {
    adapter: { limits: adapter.limits, info: adapter.info, requestDevice } as unknown as GPUAdapter,
    device: () => held[0],
    lose: (message) => lose({ reason: 'unknown', message } as GPUDeviceLostInfo),
  };
}

describe('an adapter', () => {
  const info = {
    isFallbackAdapter: false,
    vendor: 'nvidia',
    architecture: 'ampere',
    device: '',
    description: '',
  } as GPUAdapterInfo;

  it('is software where it says so, or where its name is that of a software one', () => {
    expect(isSoftware(info)).toBe(false);
    expect(isSoftware({ ...info, isFallbackAdapter: true })).toBe(true);
    expect(isSoftware({ ...info, architecture: 'swiftshader' })).toBe(true);
    expect(isSoftware({ ...info, description: 'llvmpipe (LLVM 15.0.6, 256 bits)' })).toBe(true);
    expect(isSoftware({ ...info, description: 'Microsoft Basic Render Driver (software)' })).toBe(true);
  });
});

describeOnGpu('the engine on WebGPU', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine('webgpu');
  });
  afterAll(() => engine.destroy());

  it('says what it runs on, why, and how fast', () => {
    const { report } = engine;
    expect(report.kind).toBe('webgpu');
    expect(report.reason).toMatch(/asked for.*software/);
    expect(report.adapter.vendor).not.toBe('');
    expect(report.limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(2 ** 27);
    expect(report.matmulGflops).toBeGreaterThan(0.001);
    expect(report.kernels.some(({ shape }) => shape.includes('512 to 512'))).toBe(true);
  });

  it('scores like the reference, in more than one chunk', async () => {
    const data = examples(CHAIN, 131, 2);
    const weights = draw(CHAIN, 1);
    const all = Uint32Array.from({ length: 131 }, (_, i) => i);
    const want = new Reference(CHAIN, weights).gradients(data, all);
    const score = await engine.score(CHAIN, weights, data);
    expect(score.loss).toBeCloseTo(want.loss, 5);
    expect(score.accuracy).toBe(want.correct / 131);
    expect(score.examples).toBe(131);
  });

  it('goes on from a state as if it had never stopped, to the last bit', async () => {
    const data = examples(CHAIN, 9, 2);
    const straight = await engine.trainer(CHAIN, draw(CHAIN, 1), data, DESCENT);
    const first = await engine.trainer(CHAIN, draw(CHAIN, 1), data, DESCENT);
    const second = await engine.trainer(CHAIN, draw(CHAIN, 7), data, DESCENT);
    for (let i = 0; i < 12; i++) straight.step(batch(i));
    for (let i = 0; i < 5; i++) first.step(batch(i));
    const state = await first.state();
    expect(state.steps).toBe(5);
    expect([...state.tensors.keys()]).toContain('exp_avg_sq/a.weight');
    expect([...state.tensors.keys()]).toContain('start/b.bias');
    await second.restore(state);
    for (let i = 5; i < 12; i++) second.step(batch(i));
    expect((await straight.drain()).slice(5)).toEqual(await second.drain());
    expect(await second.weights()).toEqual(await straight.weights());
    for (const trainer of [straight, first, second]) trainer.destroy();
  });

  it('refuses a state whose tensors are others, and changes nothing', async () => {
    const data = examples(CHAIN, 9, 2);
    const trainer = await engine.trainer(CHAIN, draw(CHAIN, 1), data, DESCENT);
    const before = await trainer.state();
    const tensors = new Map(before.tensors);
    tensors.delete('exp_avg/a.weight');
    await expect(trainer.restore({ ...before, steps: 3, tensors })).rejects.toThrow(TypeError);
    const weights = new Map(before.weights).set('a.weight', { shape: [3, 9], data: new Float32Array(27) });
    await expect(trainer.restore({ ...before, steps: 3, weights })).rejects.toThrow('a.weight should be [3,1,3,3]');
    expect(await trainer.state()).toEqual(before);
    trainer.destroy();
  });

  it('gives the scores of more steps than it keeps on the device, in order', async () => {
    const chain: Chain = { inputShape: [2], classes: 2, layers: [linear('a', 2, 2)] };
    const descent: Descent = { ...DESCENT, optimizer: 'sgd', proximal: 0, batchSize: 1 };
    const data = { x: Float32Array.of(1, 0, 0, 1), y: Uint32Array.of(0, 1) };
    const reference = new Reference(chain, draw(chain, 3));
    const trainer = await engine.trainer(chain, draw(chain, 3), data, descent);
    const want = Array.from({ length: 1100 }, (_, i) => {
      trainer.step(Uint32Array.of(i % 2));
      return reference.step(data, [i % 2], descent).loss;
    });
    const got = (await trainer.drain()).map(({ loss }) => loss);
    expect(got.length).toBe(1100);
    got.forEach((loss, i) => expect(Math.abs(loss - want[i])).toBeLessThan(1e-4));
    expect(await trainer.drain()).toEqual([]);
    trainer.destroy();
  });

  it('refuses what cannot be: foreign labels, batches too large, examples beyond the last, models beyond the device', async () => {
    const data = examples(CHAIN, 9, 2);
    await expect(engine.trainer(CHAIN, draw(CHAIN, 1), { ...data, y: data.y.map(() => 3) }, DESCENT)).rejects.toThrow(
      'beyond the 3 classes',
    );
    const trainer = await engine.trainer(CHAIN, draw(CHAIN, 1), data, DESCENT);
    expect(() => trainer.step(Uint32Array.of(0, 1, 2, 3, 4))).toThrow('1 to 4 examples');
    expect(() => trainer.step(Uint32Array.of(9))).toThrow('beyond the 9');
    expect(trainer.memoryBytes).toBeGreaterThan(0);
    trainer.destroy();
    const vast: Chain = {
      inputShape: [100_000],
      classes: 3,
      layers: [linear('a', 100_000, 100_000), linear('b', 100_000, 3)],
    };
    const none = { x: new Float32Array(100_000), y: Uint32Array.of(0) };
    await expect(engine.trainer(vast, new Map(), none, DESCENT)).rejects.toMatchObject({
      code: 'too_large',
      mend: expect.stringContaining('smaller model'),
    });
  });

  it('tries each class of shapes once: given the calibration of an earlier opening, none at all', async () => {
    const data = examples(CHAIN, 9, 2);
    const run = vi.spyOn(Device.prototype, 'run');
    const open = async (before?: Calibration): Promise<{ engine: Engine; ran: number }> => {
      run.mockClear();
      const opened = await openGpu('once more', await adapterOf(), before);
      (await opened.trainer(CHAIN, draw(CHAIN, 1), data, DESCENT)).destroy();
      return { engine: opened, ran: run.mock.calls.length };
    };
    let now = 0; // However busy the machine, there is time for all trials.
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 5));
    const first = await open();
    clock.mockRestore();
    expect(first.ran).toBeGreaterThan(0);
    const kept: Calibration = JSON.parse(JSON.stringify(first.engine.calibration?.()));
    const second = await open(kept);
    expect(second.ran).toBe(0);
    run.mockRestore();
    expect(second.engine.calibration?.()).toEqual(kept);
    expect(second.engine.report.matmulGflops).toBe(first.engine.report.matmulGflops);
    first.engine.destroy();
    second.engine.destroy();
  });

  it('takes no score from a device that could not allocate, and has forgotten the fault by the next trainer', async () => {
    const { adapter, device } = await hold();
    const faulty = await openGpu('held', adapter);
    const data = examples(CHAIN, 9, 2);
    const create = device().createBuffer.bind(device());
    const invalid = vi.spyOn(device(), 'createBuffer');
    invalid.mockImplementation((wanted) => create({ ...wanted, usage: wanted.usage | 0x8000 }));
    const problem = expect.stringContaining('reported an error');
    await expect(faulty.score(CHAIN, draw(CHAIN, 1), data)).rejects.toMatchObject({ code: 'internal', problem });
    invalid.mockImplementation((wanted) => create(wanted.usage & 0x80 ? { ...wanted, usage: 0x8000 } : wanted));
    await expect(faulty.score(CHAIN, draw(CHAIN, 1), data)).rejects.toMatchObject({ code: 'internal', problem });
    invalid.mockRestore();
    expect(await faulty.score(CHAIN, draw(CHAIN, 1), data)).toEqual(await engine.score(CHAIN, draw(CHAIN, 1), data));
    const trainer = await faulty.trainer(CHAIN, draw(CHAIN, 1), data, DESCENT);
    trainer.step(batch(0));
    expect(await trainer.drain()).toHaveLength(1);
    faulty.destroy();
  });

  it('rejects everything once its device is lost, and says so', async () => {
    const { adapter, lose } = await hold();
    const mortal = await openGpu('held', adapter);
    const data = examples(CHAIN, 9, 2);
    const trainer = await mortal.trainer(CHAIN, draw(CHAIN, 1), data, DESCENT);
    lose('the driver was reset');
    expect(await mortal.lost).toBe('the driver was reset');
    const gone = { code: 'device_lost', problem: expect.stringContaining('the driver was reset') };
    expect(() => trainer.step(batch(0))).toThrow(Refused);
    await expect(trainer.drain()).rejects.toMatchObject(gone);
    await expect(trainer.weights()).rejects.toMatchObject(gone);
    await expect(trainer.state()).rejects.toMatchObject(gone);
    await expect(mortal.score(CHAIN, draw(CHAIN, 1), data)).rejects.toMatchObject(gone);
    await expect(mortal.trainer(CHAIN, draw(CHAIN, 1), data, DESCENT)).rejects.toMatchObject(gone);
    mortal.destroy();
  });

  it('passes an error of the device on to the next drain', async () => {
    const { adapter, device } = await hold();
    const faulty = await openGpu('held', adapter);
    const trainer = await faulty.trainer(CHAIN, draw(CHAIN, 1), examples(CHAIN, 9, 2), DESCENT);
    device().createBuffer({ size: 4, usage: 0xffff });
    trainer.step(batch(0));
    await expect(trainer.drain()).rejects.toMatchObject({
      code: 'internal',
      problem: expect.stringContaining('reported an error'),
    });
    trainer.step(batch(1));
    expect(await trainer.drain()).toHaveLength(2); // The first step's score was not lost.
    faulty.destroy();
  });
});
