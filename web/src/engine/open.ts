/** Which engine a tab gets: WebGPU where a graphics processor answers, else the CPU, and why. */
import type { Calibration, Engine } from './types';
import { part } from '../part';
import { Refused } from '../refused';

/** `force` takes an engine whatever the device; `before`: what an earlier engine's `calibration` gave. */
export async function openEngine(force?: 'webgpu' | 'cpu', before?: Calibration): Promise<Engine> {
  if (force === 'cpu') return cpu('The CPU was asked for.');
  const adapter = await (navigator.gpu as GPU | undefined)
    ?.requestAdapter({ powerPreference: 'high-performance' })
    .catch(() => null);
  if (!adapter) {
    const why =
      globalThis.isSecureContext === false
        ? 'WebGPU needs HTTPS or localhost'
        : 'this browser offers no WebGPU adapter';
    if (force !== 'webgpu') return cpu(`No WebGPU: ${why}.`);
    throw new Refused(
      'no_webgpu',
      `WebGPU was asked for, but ${why}.`,
      'Use a browser with WebGPU over HTTPS, or leave the choice of engine to the page.',
    );
  }
  const { isSoftware, openGpu } = await part(import('./gpu/engine'));
  const { vendor, architecture, description } = adapter.info;
  const name = [vendor, architecture, description].filter(Boolean).join(' ') || 'unnamed';
  if (!isSoftware(adapter.info)) {
    const gpu = openGpu(`A WebGPU adapter answers: ${name}.`, adapter, before);
    return force === 'webgpu' ? gpu : gpu.catch((error: unknown) => cpu(`WebGPU failed (${name}): ${String(error)}`));
  }
  if (force === 'webgpu') return openGpu(`WebGPU was asked for; the adapter (${name}) is software.`, adapter, before);
  return cpu(`The WebGPU adapter (${name}) is software, and slower than the CPU itself.`);
}

async function cpu(reason: string): Promise<Engine> {
  const { openCpu } = await part(import('./cpu/engine'));
  return openCpu(reason);
}
