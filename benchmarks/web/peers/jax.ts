/** jax-js as its guide asks for: one jitted function that gives the loss and the new weights, batches on the device. */
import { blockUntilReady, type Device, defaultDevice, init, jit, lax, nn, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import { batches, batchOf, weight, type Workload } from '../page/contender';
import { offer } from '../page/measured';

type Params = Record<string, np.Array>;
type Logits = (params: Params, x: np.Array) => np.Array;

/** Steps between two waits: without any, its queue of pending operations grows; at each, it idles. */
const WAIT_EVERY = 8;

const dense = (x: np.Array, params: Params, name: string): np.Array =>
  np.matmul(x, params[`${name}.weight`]).add(params[`${name}.bias`]);

/** [n, c, h, w] convolved at stride 1 with its size kept, ReLU, the maximum of each 2 × 2. */
function block(x: np.Array, params: Params, name: string): np.Array {
  const bias = params[`${name}.bias`];
  const y = nn.relu(lax.conv(x, params[`${name}.weight`], [1, 1], 'SAME').add(bias.reshape([1, bias.shape[0], 1, 1])));
  const [n, c, h, w] = y.shape;
  return np.max(np.max(y.reshape([n, c, h / 2, 2, w / 2, 2]), 5), 3);
}

const MODELS: Readonly<Record<string, Logits>> = {
  mlp: (params, x) => dense(nn.relu(dense(x.reshape([x.shape[0], -1]), params, 'hidden')), params, 'output'),
  mnist_cnn: (params, x) => {
    const y = block(block(x, params, 'conv1'), params, 'conv2');
    return dense(nn.relu(dense(y.reshape([y.shape[0], -1]), params, 'hidden')), params, 'output');
  },
};

/** Weights as JAX has them: dense ones [inputs, outputs], those of convolutions as in PyTorch. */
function load(workload: Workload): Params {
  return Object.fromEntries(
    [...workload.weights].map(([name, { shape, data }]) => {
      const tensor = np.array(data.slice()).reshape([...shape]);
      return [name, shape.length === 2 ? np.array(transposed(data, shape[0], shape[1])).reshape([shape[1], shape[0]]) : tensor];
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
    return { x: np.array(batch.x as Float32Array<ArrayBuffer>).reshape([batchSize, ...x.shape.slice(1)]), hot: np.array(batch.hot as Float32Array<ArrayBuffer>).reshape([batchSize, classes]) };
  });
  let params = load(workload);
  await blockUntilReady(data.map(({ x, hot }) => [x, hot]));
  return {
    about: `${backend}, ${weight(workload, 'hidden.weight').shape.join(' x ')}`,
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
