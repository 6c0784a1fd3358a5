/** The models that this node trains, as the server's catalogue (`resources/models`) builds them: the same ids, options,
 *  tensor names and shapes. */
import { Refused } from '../refused';
import type { Chain, Conv, Layer, Linear, Pool } from './types';

/** A whole number that a model can be built with. */
interface Option {
  readonly preset: number;
  readonly largest: number;
}

interface Family {
  readonly options: Readonly<Record<string, Option>>;
  /** For images, the smallest height and width; null: examples of any shape, flattened. */
  readonly minSide: number | null;
  layers(shape: readonly number[], hidden: number, classes: number): Layer[];
}

const linear = (name: string, inputs: number, outputs: number, relu = true): Linear => ({
  kind: 'linear',
  name,
  inputs,
  outputs,
  relu,
});

const logits = (inputs: number, classes: number): Linear => linear('output', inputs, classes, false);

/** Convolutions with ReLU on images of one size, then a pooling. */
function block(names: readonly string[], [channels, height, width]: Image, outputs: number, kernel: number): Layer[] {
  const convs = names.map(
    (name, i): Conv => ({
      kind: 'conv',
      name,
      inputs: i === 0 ? channels : outputs,
      outputs,
      height,
      width,
      kernel,
      relu: true,
    }),
  );
  const pool: Pool = { kind: 'pool', channels: outputs, height, width };
  return [...convs, pool];
}

type Image = readonly [channels: number, height: number, width: number];

const half = (side: number, times = 1): number => Math.floor(side / 2 ** times);

/** Two convolutions, each pooled, and a hidden layer: the plan of `mnist_cnn` and of the FedAvg paper's CNN. */
const twoConvs = (kernel: number): Family['layers'] => (shape, hidden, classes) => {
  const [channels, height, width] = shape as Image;
  return [
    ...block(['conv1'], [channels, height, width], 32, kernel),
    ...block(['conv2'], [32, half(height), half(width)], 64, kernel),
    linear('hidden', 64 * half(height, 2) * half(width, 2), hidden),
    logits(hidden, classes),
  ];
};

/** Three blocks of two convolutions; the names are their places in PyTorch's Sequential, where ReLU counts, too. */
const sixConvs: Family['layers'] = (shape, hidden, classes) => {
  const [channels, height, width] = shape as Image;
  const widths = [32, 64, 128];
  const blocks = widths.flatMap((outputs, i) =>
    block(
      [`features.${5 * i}`, `features.${5 * i + 2}`],
      [widths[i - 1] ?? channels, half(height, i), half(width, i)],
      outputs,
      3,
    ),
  );
  const features = 128 * half(height, 3) * half(width, 3);
  return [...blocks, linear('hidden', features, hidden), logits(hidden, classes)];
};

const FAMILIES: Readonly<Record<string, Family>> = {
  mlp: {
    options: { hidden: { preset: 64, largest: 8192 } },
    minSide: null,
    layers: (shape, hidden, classes) => [linear('hidden', sizeOf(shape), hidden), logits(hidden, classes)],
  },
  mnist_cnn: { options: { hidden: { preset: 128, largest: 4096 } }, minSide: 4, layers: twoConvs(3) },
  cifar10_cnn: { options: { hidden: { preset: 128, largest: 4096 } }, minSide: 8, layers: sixConvs },
  mcmahan_cnn: { options: {}, minSide: 4, layers: (shape, _, classes) => twoConvs(5)(shape, 512, classes) },
  mcmahan_2nn: {
    options: { hidden: { preset: 200, largest: 8192 } },
    minSide: null,
    layers: (shape, hidden, classes) => [
      linear('hidden1', sizeOf(shape), hidden),
      linear('hidden2', hidden, hidden),
      logits(hidden, classes),
    ],
  },
  logistic: { options: {}, minSide: null, layers: (shape, _, classes) => [logits(sizeOf(shape), classes)] },
};

/** Values of a tensor of that shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** The ids of all models. */
export const MODELS: readonly string[] = Object.keys(FAMILIES);

/** The model as a chain of layers; `inputShape`: of one example, channels first. Refuses what cannot be built. */
export function chainOf(
  modelId: string,
  options: Readonly<Record<string, number>>,
  inputShape: readonly number[],
  classes: number,
): Chain {
  const family = Object.hasOwn(FAMILIES, modelId) ? FAMILIES[modelId] : undefined;
  if (family === undefined) {
    const mend = `choose a task with one of ${MODELS.join(', ')}, or join it with the Python node.`;
    throw new Refused('not_found', `This tab cannot build the model ${JSON.stringify(modelId)}.`, mend);
  }
  if (inputShape.length === 0 || !inputShape.every((side) => whole(side, 1))) {
    throw invalid(`data.input_shape: [${inputShape}] is no shape.`, 'give positive sizes, e.g. [1, 28, 28].');
  }
  const { minSide } = family;
  if (minSide !== null && !(inputShape.length === 3 && Math.min(...inputShape.slice(1)) >= minSide)) {
    throw invalid(
      `model.id: ${modelId} cannot take inputs of shape [${inputShape}].`,
      `give it [channels, height, width] with sides of ${minSide} or more, or choose a model such as mlp.`,
    );
  }
  if (!whole(classes, 2)) {
    throw invalid(`data.num_classes: ${classes} is no number of classes.`, 'give at least 2 classes.');
  }
  return { inputShape, classes, layers: family.layers(inputShape, hiddenOf(modelId, family, options), classes) };
}

/** The shapes of the model's tensors by name: of each layer its weight, then its bias, as in PyTorch's state. */
export function layoutOf(chain: Chain): ReadonlyMap<string, readonly number[]> {
  const layout = new Map<string, readonly number[]>();
  for (const layer of chain.layers) {
    if (layer.kind === 'pool') continue;
    const { name, inputs, outputs } = layer;
    const kernel = layer.kind === 'conv' ? [layer.kernel, layer.kernel] : [];
    layout.set(`${name}.weight`, [outputs, inputs, ...kernel]);
    layout.set(`${name}.bias`, [outputs]);
  }
  return layout;
}

function hiddenOf(modelId: string, family: Family, options: Readonly<Record<string, number>>): number {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(family.options, name)) {
      const known = Object.keys(family.options).join(', ') || 'none';
      throw invalid(`model.options.${name}: ${modelId} has no such option.`, `its options are: ${known}.`);
    }
  }
  const hidden = family.options.hidden;
  if (hidden === undefined) return 0;
  const value = options.hidden ?? hidden.preset;
  if (!whole(value, 1) || value > hidden.largest) {
    throw invalid(`model.options.hidden: ${value} is out of range.`, `give a whole number, 1 to ${hidden.largest}.`);
  }
  return value;
}

const whole = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;

const invalid = (problem: string, mend: string): Refused => new Refused('invalid_spec', problem, mend);
