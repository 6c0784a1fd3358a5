import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { shaders } from './plugins/shaders.ts';

// The kernels run on Dawn, which needs a Vulkan driver; Chromium brings a software one.
const drivers = [process.env.VK_ICD_FILENAMES, '/usr/lib/chromium/vk_swiftshader_icd.json'];
const driver = drivers.find((path) => path !== undefined && existsSync(path));

export default defineConfig({
  plugins: [shaders],
  test: {
    include: ['tests/**/*.test.ts'],
    setupFiles: ['tests/gpu.setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    teardownTimeout: 3000,
    env: driver === undefined ? {} : { VK_ICD_FILENAMES: driver },
  },
});
