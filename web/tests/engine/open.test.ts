import { afterEach, describe, expect, it, vi } from 'vitest';
import { openEngine } from '../../src/engine/open';

vi.mock('../../src/engine/cpu/engine', () => ({
  openCpu: (reason: string) => Promise.resolve({ report: { kind: 'cpu', reason } }),
}));

const answer = (adapter: unknown): void => {
  vi.stubGlobal('navigator', { gpu: { requestAdapter: () => Promise.resolve(adapter) } });
};

describe('the choice of an engine', () => {
  afterEach(() => vi.unstubAllGlobals());

  it('is the CPU where WebGPU exists but no adapter answers, and says so', async () => {
    answer(null);
    expect((await openEngine()).report).toEqual({ kind: 'cpu', reason: expect.stringContaining('no WebGPU adapter') });
  });

  it('is the CPU where the browser has no WebGPU at all, or where asking for an adapter fails', async () => {
    vi.stubGlobal('navigator', {});
    expect((await openEngine()).report.kind).toBe('cpu');
    vi.stubGlobal('navigator', { gpu: { requestAdapter: () => Promise.reject(new Error('blocked')) } });
    expect((await openEngine()).report.kind).toBe('cpu');
  });

  it('names HTTPS as the reason where the page is not secure', async () => {
    vi.stubGlobal('navigator', {});
    vi.stubGlobal('isSecureContext', false);
    expect((await openEngine()).report.reason).toContain('HTTPS');
  });

  it('is the CPU where the adapter is software, and names it', async () => {
    answer({
      info: { isFallbackAdapter: false, vendor: 'google', architecture: 'swiftshader', device: '', description: '' },
    });
    expect((await openEngine()).report.reason).toMatch(/google swiftshader.*software/);
  });

  it('is the CPU where WebGPU cannot be opened, and says why; unless WebGPU was asked for', async () => {
    const info = { isFallbackAdapter: false, vendor: 'nvidia', architecture: 'ampere', device: '', description: '' };
    answer({ info, limits: {}, requestDevice: () => Promise.reject(new Error('out of handles')) });
    expect((await openEngine()).report).toEqual({
      kind: 'cpu',
      reason: expect.stringMatching(/WebGPU failed.*nvidia ampere.*out of handles/),
    });
    await expect(openEngine('webgpu')).rejects.toThrow('out of handles');
  });

  it('is the CPU where that is asked for, whatever there is', async () => {
    answer({
      info: { isFallbackAdapter: false, vendor: 'nvidia', architecture: 'ampere', device: '', description: '' },
    });
    expect((await openEngine('cpu')).report).toEqual({ kind: 'cpu', reason: 'The CPU was asked for.' });
  });

  it('refuses WebGPU that was asked for and is not there, with a mend', async () => {
    answer(null);
    await expect(openEngine('webgpu')).rejects.toMatchObject({
      code: 'no_webgpu',
      mend: expect.stringContaining('HTTPS'),
    });
  });
});
