/** The WebGPU engine against PyTorch. */
import { openGpu } from '../../src/engine/gpu/engine';
import { Refused } from '../../src/refused';
import { describeOnGpu } from '../gpu';
import { parity } from './parity';

describeOnGpu('the WebGPU engine', () =>
  parity(async () => {
    const adapter = await navigator.gpu.requestAdapter();
    if (adapter === null) throw new Refused('no_webgpu', 'There is no adapter.', 'install a Vulkan driver');
    return openGpu('asked for by a test', adapter);
  }),
);
