/** A placeholder until the CPU engine is here. */
import type { Engine } from '../types';
import { Refused } from '../../refused';

export function openCpu(reason: string): Promise<Engine> {
  return Promise.reject(new Refused('internal', `There is no CPU engine yet. ${reason}`, 'Use a browser with WebGPU.'));
}
