import { expect, it } from 'vitest';
import { Chooser, type Trial } from '../../../src/engine/gpu/calibrate';
import type { Device, Launch } from '../../../src/engine/gpu/device';

it('tries the shape with the most to do first, each trial with its own number of examples', async () => {
  const log: string[] = [];
  let examples = 0;
  const queue = {
    writeBuffer: (_: GPUBuffer, _at: number, data: Uint32Array) => (examples = data[0]),
    onSubmittedWorkDone: () => new Promise((resolve) => setImmediate(resolve)),
  };
  const run = (launches: readonly Launch[], n: number): void => {
    log.push(`${launches[0].group} with ${n} of ${examples}`);
  };
  const chooser = new Chooser({ gpu: { queue }, run } as unknown as Device, {});
  const trial = (group: number, n: number, operations: number): Trial => ({
    shape: `shape ${group}`,
    candidates: [{ name: 'only', build: () => Promise.resolve([{ group } as Launch]) }],
    step: {} as GPUBuffer,
    n,
    operations,
  });
  const found = await Promise.all([trial(1, 4, 10), trial(2, 64, 100), trial(3, 8, 20)].map((one) => chooser.choose(one)));
  expect(found.map(([{ group }]) => group)).toEqual([1, 2, 3]);
  const order = log.filter((entry, i) => entry !== log[i - 1]);
  expect(order).toEqual(['2 with 64 of 64', '3 with 8 of 8', '1 with 4 of 4']);
  expect(Object.keys(chooser.chosen)).toEqual(['shape 2', 'shape 3', 'shape 1']);
});
