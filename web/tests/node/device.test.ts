/** What a device is said to be able to do, and what is remembered of it. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { capabilitiesOf, METHODS } from '../../src/node/capabilities';
import { Device } from '../../src/node/device';
import { Teller } from '../../src/node/teller';
import { keyringInMemory, StandIns } from './standins';

describe('capabilities', () => {
  const browser = { userAgent: 'Agent/1', deviceMemory: 8, hardwareConcurrency: 4 };
  const engine = { reason: 'r', limits: {}, kernels: [], matmulGflops: 12 };

  it('name an adapter as an accelerator, and a CPU as none', () => {
    const adapter = { vendor: 'acme', architecture: 'gen-3', description: 'x'.repeat(100) };
    const told = capabilitiesOf({ ...engine, kind: 'webgpu', adapter }, ['mlp'], browser);
    expect(told).toMatchObject({ runtime: 'browser', memory_bytes: 8 * 2 ** 30, matmul_gflops: 12, model_ids: ['mlp'] });
    expect(told.device).toMatch(/^webgpu: acme gen-3 x+$/);
    expect(String(told.device)).toHaveLength(80);
    expect(capabilitiesOf({ ...engine, kind: 'cpu', adapter: {} }, [], browser).device).toBe('cpu');
  });

  it('hold every method of the server but scaffold and those of adapters', async () => {
    const { readFileSync } = await import('node:fs');
    const source = readFileSync(new URL('../../../federation/aggregation/methods.py', import.meta.url), 'utf8');
    const names = [...source.matchAll(/Method\(\s*"([a-z_]+)"/g)].map(([, name]) => name);
    const others = ['scaffold', 'lora_exact', 'lora_stack', 'ffa'];
    expect(names).toEqual(expect.arrayContaining(others));
    expect([...METHODS].sort()).toEqual(names.filter((name) => !others.includes(name)).sort());
  });
});

describe('the kernels of a device', () => {
  afterEach(() => vi.unstubAllGlobals());

  it('are tried once for each adapter, and remembered', async () => {
    const info = { vendor: 'acme', architecture: 'gen-3' };
    vi.stubGlobal('navigator', { gpu: { requestAdapter: async () => ({ info }) } });
    const found = { wide: { variant: 'tiled', gflops: 3 } };
    const given: unknown[] = [];
    const parts = new StandIns();
    const openEngine = async (force?: 'webgpu' | 'cpu', before?: unknown) => {
      given.push(before);
      const engine = await parts.openEngine(force);
      return { ...engine, report: { ...engine.report, kind: 'webgpu' as const, adapter: info }, calibration: () => found };
    };
    const keyring = keyringInMemory();
    const open = () => Device.open({ openEngine }, 'a', new Teller(() => undefined), keyring);
    await open();
    await open();
    info.architecture = 'gen-4';
    await open();
    expect(given).toEqual([undefined, found, undefined]);
  });
});
