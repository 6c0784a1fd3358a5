import { afterAll, beforeAll, expect, it } from 'vitest';
import { Chooser, type Trial } from '../../../src/engine/gpu/calibrate';
import { Device, type Launch } from '../../../src/engine/gpu/device';
import { Network } from '../../../src/engine/gpu/network';
import { GpuTrainer } from '../../../src/engine/gpu/trainer';
import type { Chain, Descent, Examples, Weights } from '../../../src/engine/types';
import { describeOnGpu } from '../../gpu';
import { conv, linear, pool } from './chains';
import { draw, examples, Reference } from './reference';

/** Takes the variant of that number wherever a kernel has several. */
class Insisting extends Chooser {
  readonly names = new Set<string>();

  constructor(
    device: Device,
    private readonly number: number,
  ) {
    super(device, {});
  }

  override choose({ candidates }: Trial): Promise<Launch[]> {
    const candidate = candidates[Math.min(this.number, candidates.length - 1)];
    this.names.add(candidate.name);
    return candidate.build();
  }
}

// A software device compiles barriers slowly: here are only the shapes that matter to them, and time.
const SHARED = 'tiles in workgroup memory';
const SLOWLY = 300_000;
const FEW: readonly (readonly [string, Chain, readonly number[]])[] = [
  [
    'more than 64 rows, and more than 64 channels, of convolutions and of a linear layer',
    {
      inputShape: [1, 5, 3],
      classes: 66,
      layers: [conv('a', 1, 3, [5, 3]), conv('b', 3, 5, [5, 3]), linear('c', 75, 66)],
    },
    [17, 1],
  ],
];

// One step so long that the difference of the weights is the gradient, to the last digits.
const RATE = 4096;
const DESCENT: Descent = {
  optimizer: 'sgd',
  learningRate: RATE,
  momentum: 0,
  weightDecay: 0,
  proximal: 0,
  batchSize: 17,
};

const CHAINS: readonly (readonly [string, Chain, readonly number[]])[] = [
  [
    '257 to 65 to 3',
    { inputShape: [257], classes: 3, layers: [linear('a', 257, 65, true), linear('b', 65, 3)] },
    [17, 1],
  ],
  [
    'convolutions on odd sides',
    {
      inputShape: [3, 9, 7],
      classes: 3,
      layers: [
        conv('a', 3, 5, [9, 7]),
        conv('b', 5, 17, [9, 7]),
        pool(17, 9, 7),
        conv('c', 17, 6, [4, 3], 5, false),
        linear('d', 72, 3),
      ],
    },
    [3],
  ],
  [
    '3 to 1 to 17 to 2',
    { inputShape: [3], classes: 2, layers: [linear('a', 3, 1, true), linear('b', 1, 17), linear('c', 17, 2)] },
    [3],
  ],
  [
    'a convolution of one pixel and of 17 in a row',
    {
      inputShape: [1, 1, 17],
      classes: 2,
      layers: [conv('a', 1, 3, [1, 17]), conv('b', 3, 1, [1, 17], 3, false), linear('c', 17, 2)],
    },
    [5],
  ],
];

describeOnGpu('each kernel', () => {
  let device: Device;
  beforeAll(async () => {
    const adapter = await navigator.gpu.requestAdapter();
    if (adapter === null) throw new Error('no adapter');
    device = new Device(await adapter.requestDevice());
  });
  afterAll(() => device.destroy());

  async function compare(
    chain: Chain,
    weights: Weights,
    data: Examples,
    batch: readonly number[],
    software: boolean,
    number: number,
  ): Promise<Insisting> {
    const reference = new Reference(chain, weights);
    const chooser = new Insisting(device, number);
    const network = new Network(device, chooser, software, chain, 17, data.y.length);
    const trainer = await GpuTrainer.create(network, weights, data, DESCENT);
    trainer.step(Uint32Array.from(batch));
    const want = reference.gradients(data, batch);
    const [score] = await trainer.drain();
    expect(Math.abs(score.loss / want.loss - 1)).toBeLessThan(1e-5);
    expect(score.correct).toBe(want.correct);
    const after = await trainer.weights();
    for (const [name, { data: before }] of weights) {
      const gradient = want.gradients.get(name) ?? new Float64Array();
      const got = after.get(name)?.data ?? new Float32Array();
      const norm = Math.hypot(...gradient);
      const error = Math.hypot(...gradient.map((g, i) => g - (before[i] - got[i]) / RATE));
      expect(error, name).toBeLessThan(1e-5 * norm + 1e-9);
      expect(got.length, name).toBe(gradient.length);
    }
    trainer.destroy();
    return chooser;
  }

  const sets: readonly (readonly [boolean, number, string])[] = [
    [true, 0, 'large tiles of registers'],
    [true, 1, 'small tiles of registers'],
    [false, 0, SHARED],
    [false, 2, 'one vector an invocation, sums in parts'],
  ];
  for (const [software, number, what] of sets) {
    for (const [name, chain, sizes] of what === SHARED ? FEW : CHAINS) {
      it(
        `gives the reference's loss and gradients with ${what}: ${name}`,
        async () => {
          const data = examples(chain, 19, 5);
          for (const size of sizes) {
            const batch = Array.from({ length: size }, (_, i) => (i * 7 + 2) % 19);
            const { names } = await compare(chain, draw(chain, 4), data, batch, software, number);
            expect([...names].join()).toMatch(what === SHARED ? /^tiled 64x64$/ : /registers/);
          }
        },
        SLOWLY,
      );
    }
  }

  it('sends the gradient of a tie to the first of the largest, as PyTorch does', async () => {
    // Equal pixels in the first channel tie; the second, whose weight is nought, tells by its gradient which one won.
    const chain: Chain = {
      inputShape: [2, 5, 4],
      classes: 2,
      layers: [conv('a', 2, 1, [5, 4], 1), pool(1, 5, 4), linear('b', 4, 2)],
    };
    const weights = new Map(draw(chain, 1));
    weights.set('a.weight', { shape: [1, 2, 1, 1], data: Float32Array.of(1, 0) });
    const data = examples(chain, 3, 9);
    for (let i = 0; i < 3; i++) data.x.fill(0.5, i * 40, i * 40 + 20);
    for (let tie = 0; tie < 4; tie++) {
      data.x[tie < 2 ? tie : tie + 2] = 0.25; // Moves the first of one window.
      await compare(chain, weights, data, [0, 1, 2], true, 0);
    }
  });
});
