/** The WebGPU engine against PyTorch. */
import { openGpu } from '../../src/engine/gpu/engine';
import type { Calibration } from '../../src/engine/types';
import { Refused } from '../../src/refused';
import { describeOnGpu } from '../gpu';
import { parity } from './parity';

/** For convolutions the small tiles, which compile in a third of the time; the large ones are held against a reference
 *  in the tests of the kernels, and of training. */
const small = new Proxy<Calibration>(
  {},
  {
    get: (_, shape) => {
      if (!String(shape).includes(' conv')) return undefined;
      return { variant: String(shape).startsWith('weights') ? 'registers 1x4' : 'registers 4x4', gflops: 1 };
    },
  },
);

describeOnGpu('the WebGPU engine', () =>
  parity(async () => {
    const adapter = await navigator.gpu.requestAdapter();
    if (adapter === null) throw new Refused('no_webgpu', 'There is no adapter.', 'install a Vulkan driver');
    return openGpu('asked for by a test', adapter, small);
  }),
);
