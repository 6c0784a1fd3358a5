/** Tests of kernels call this in place of `describe`: without an adapter they are skipped, in CI they fail. */
import { describe, it } from 'vitest';

const found = (await navigator.gpu.requestAdapter()) !== null;
const why = 'no WebGPU adapter: install chromium and libvulkan1, or set VK_ICD_FILENAMES';

export function describeOnGpu(name: string, tests: () => void): void {
  if (found) {
    describe(name, tests);
  } else if (process.env.CI === 'true') {
    it(name, () => {
      throw new Error(why);
    });
  } else {
    describe.skip(`${name} (${why})`, tests);
  }
}
