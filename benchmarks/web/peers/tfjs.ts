/** TensorFlow.js: fused layers, its own SGD, batches on the device, channels last. */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-webgl';
import '@tensorflow/tfjs-backend-webgpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url';
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';
import threaded from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url';
import { batches, batchOf, type Workload } from '../page/contender';
import { offer } from '../page/measured';

type Params = Readonly<Record<string, tf.Variable>>;
type Logits = (params: Params, x: tf.Tensor4D) => tf.Tensor2D;

const dense = (a: tf.Tensor2D, params: Params, name: string, activation: 'relu' | 'linear'): tf.Tensor2D =>
  tf.fused.matMul({ a, b: params[`${name}.weight`], bias: params[`${name}.bias`], activation }) as tf.Tensor2D;

const block = (x: tf.Tensor4D, params: Params, name: string): tf.Tensor4D => {
  const filter = params[`${name}.weight`] as tf.Variable<tf.Rank.R4>;
  const bias = params[`${name}.bias`];
  return tf.maxPool(tf.fused.conv2d({ x, filter, strides: 1, pad: 'same', bias, activation: 'relu' }), 2, 2, 'valid');
};

const flat = (x: tf.Tensor4D): tf.Tensor2D => tf.reshape(x, [x.shape[0], -1]);

const MODELS: Readonly<Record<string, Logits>> = {
  mlp: (params, x) => dense(dense(flat(x), params, 'hidden', 'relu'), params, 'output', 'linear'),
  mnist_cnn: (params, x) => {
    const y = block(block(x, params, 'conv1'), params, 'conv2');
    return dense(dense(flat(y), params, 'hidden', 'relu'), params, 'output', 'linear');
  },
};

/** PyTorch's layouts to those of TensorFlow: filters [h, w, in, out], dense ones [in, out], channels flattened last. */
function load({ weights, model }: Workload): Params {
  const filters = weights.get('conv2.weight')?.shape[0] ?? 0;
  return Object.fromEntries(
    [...weights].map(([name, { shape, data }]) => {
      const value = tf.tidy(() => {
        const tensor = tf.tensor(data, [...shape]);
        if (shape.length === 4) return tf.transpose(tensor, [2, 3, 1, 0]);
        if (shape.length !== 2) return tensor;
        if (model !== 'mnist_cnn' || name !== 'hidden.weight') return tf.transpose(tensor);
        const side = Math.sqrt(shape[1] / filters);
        const images = tf.transpose(tf.reshape(tensor, [shape[0], filters, side, side]), [2, 3, 1, 0]);
        return tf.reshape(images, [shape[1], shape[0]]);
      });
      return [name, tf.variable(value)];
    }),
  );
}

offer(async (workload, backend) => {
  setWasmPaths({
    'tfjs-backend-wasm.wasm': plain,
    'tfjs-backend-wasm-simd.wasm': simd,
    'tfjs-backend-wasm-threaded-simd.wasm': threaded,
  });
  if (!(await tf.setBackend(backend))) throw new Error(`tfjs has no ${backend} here`);
  await tf.ready();
  const { model, batchSize, classes, learningRate, x } = workload;
  const [, , height, width] = x.shape;
  const params = load(workload);
  const optimizer = tf.train.sgd(learningRate);
  const data = Array.from({ length: batches(workload) }, (_, i) => {
    const { x, hot } = batchOf(workload, i);
    return { x: tf.tensor4d(x, [batchSize, height, width, 1]), hot: tf.tensor2d(hot, [batchSize, classes]) };
  });
  return {
    about: `${tf.getBackend()}, tfjs-core ${tf.version_core}`,
    async steps(first, count) {
      let last: tf.Scalar | null = null;
      for (let i = first; i < first + count; i++) {
        last?.dispose();
        const { x, hot } = data[i % data.length];
        const loss = (): tf.Scalar => tf.losses.softmaxCrossEntropy(hot, MODELS[model](params, x));
        last = optimizer.minimize(loss, true);
      }
      if (last === null) throw new Error('no step was asked for');
      const [value] = await last.data();
      last.dispose();
      return value;
    },
  };
});
