import { describe } from 'vitest';
import { cpuOn, openCpu } from '../../src/engine/cpu/engine';
import { PLAIN } from '../../src/engine/cpu/memory';
import { parity } from './parity';

describe('the CPU engine', () => parity(() => openCpu('a test')));
describe('the CPU engine without SIMD', () => parity(async () => cpuOn(PLAIN, 'a test')));
