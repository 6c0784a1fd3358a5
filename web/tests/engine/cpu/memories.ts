/** Both memories, each with its inner loop: tests of kernels run on either. */
import { openMemories, PLAIN } from '../../../src/engine/cpu/memory';

const simd = await openMemories();

export const MEMORIES = [
  ['with SIMD', simd],
  ['on typed arrays', PLAIN],
] as const;
