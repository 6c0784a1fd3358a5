// WebGPU in Node: Dawn as a package.
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
if (navigator.gpu === undefined) {
  Object.defineProperty(navigator, 'gpu', { value: create([]), configurable: true });
}
