/** jax-js as its guide asks for: one jitted function that gives the loss and the new weights, batches on the device. */
import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import type { Device } from '@jax-js/jax';
import { batches, batchOf, type Workload } from '../page/contender';
import { offer } from '../page/measured';

type Params = Record<string, np.Array>;
type Logits = (params: Params, x: np.Array) => np.Array;

/** Steps between two waits: without any, its queue of pending operations grows; at each, it idles. */
const WAIT_EVERY = 8;

const dense = (x: np.Array, params: Params, name: string): np.Array =>
  np.matmul(x, params[`${name}.weight`]).add(params[`${name}.bias`]);

/** [n, h, w, c] convolved by 3 × 3 with its size kept, ReLU, the maximum of each 2 × 2. A product of patches, since
 *  `lax.conv` of 0.1.25 took half as much CPU time again on software WebGPU, and twenty times as much on wasm. */
function block(x: np.Array, params: Params, name: string): np.Array {
  const weight = params[`${name}.weight`];
  const [outputs, inputs] = weight.shape;
  const [n, h, w] = x.shape;
  const padded = np.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]);
  const taps = Array.from({ length: 9 }, (_, i) => [Math.floor(i / 3), i % 3]);
  const views = taps.map(([down, right]) => padded.ref.slice([], [down, down + h], [right, right + w], []));
  padded.dispose();
  const patches = np.concatenate(views, 3).reshape([n * h * w, 9 * inputs]);
  const filter = weight.transpose([2, 3, 1, 0]).reshape([9 * inputs, outputs]);
  const y = nn.relu(np.matmul(patches, filter).add(params[`${name}.bias`]));
  return np.max(np.max(y.reshape([n, h / 2, 2, w / 2, 2, outputs]), 4), 2);
}

const flat = (x: np.Array): np.Array => x.reshape([x.shape[0], -1]);

const MODELS: Readonly<Record<string, Logits>> = {
  mlp: (params, x) => dense(nn.relu(dense(flat(x), params, 'hidden')), params, 'output'),
  mnist_cnn: (params, x) => {
    const y = block(block(x.transpose([0, 2, 3, 1]), params, 'conv1'), params, 'conv2').transpose([0, 3, 1, 2]);
    return dense(nn.relu(dense(flat(y), params, 'hidden')), params, 'output');
  },
};

/** Weights as JAX has them: dense ones [inputs, outputs], those of convolutions as in PyTorch. */
function load(workload: Workload): Params {
  return Object.fromEntries(
    [...workload.weights].map(([name, { shape, data }]) => {
      if (shape.length !== 2) return [name, np.array(data.slice()).reshape([...shape])];
      const [rows, columns] = shape;
      return [name, np.array(transposed(data, rows, columns)).reshape([columns, rows])];
    }),
  );
}

function transposed(data: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  return Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]);
}

offer(async (workload, backend) => {
  const device = backend as Device;
  if (!(await init(device)).includes(device)) throw new Error(`jax-js has no ${backend} here`);
  defaultDevice(device);
  const { model, batchSize, classes, learningRate, x } = workload;
  const logits = MODELS[model];
  const loss = (params: Params, x: np.Array, hot: np.Array): np.Array =>
    nn.logSoftmax(logits(params, x)).mul(hot).sum().mul(-1 / batchSize);
  const step = jit((params: Params, x: np.Array, hot: np.Array): [np.Array, Params] => {
    const [value, gradients] = valueAndGrad(loss)(tree.ref(params), x, hot) as [np.Array, Params];
    return [value, tree.map((w: np.Array, g: np.Array) => w.sub(g.mul(learningRate)), params, gradients) as Params];
  });
  const data = Array.from({ length: batches(workload) }, (_, i) => {
    const batch = batchOf(workload, i);
    return {
      x: np.array(batch.x).reshape([batchSize, ...x.shape.slice(1)]),
      hot: np.array(batch.hot).reshape([batchSize, classes]),
    };
  });
  let params = load(workload);
  await blockUntilReady(data.map(({ x, hot }) => [x, hot]));
  return {
    about: backend,
    async steps(first, count) {
      let last: np.Array | undefined;
      for (let i = first; i < first + count; i++) {
        last?.dispose();
        const batch = data[i % data.length];
        [last, params] = step(params, batch.x.ref, batch.hot.ref);
        if ((i + 1 - first) % WAIT_EVERY === 0) await blockUntilReady(last);
      }
      if (last === undefined) throw new Error('no step was asked for');
      await blockUntilReady(params);
      return (await last.data())[0];
    },
  };
});
