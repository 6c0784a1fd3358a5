import { expect, it } from 'vitest';
import { describeOnGpu } from './gpu';

describeOnGpu('the adapter', () => {
  it('gives a device with eight storage buffers a stage', async () => {
    const adapter = await navigator.gpu.requestAdapter();
    const device = await adapter!.requestDevice();
    expect(device.limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    device.destroy();
  });
});
