/** Our own engine, as a tab runs it: examples handed over once, a step names those of its batch. */
import { chainOf } from '../../../web/src/engine/catalogue';
import { openEngine } from '../../../web/src/engine/open';
import { offer } from './measured';
import { batches } from './contender';

offer(async (workload, backend) => {
  if (backend !== 'webgpu' && backend !== 'cpu') throw new Error(`there is no backend ${backend}`);
  const { model, hidden, x, y, classes, weights, learningRate, batchSize } = workload;
  const engine = await openEngine(backend);
  const { kind, adapter, kernels, matmulGflops } = engine.report;
  if (kind !== backend) throw new Error(`asked for ${backend}, got ${kind}: ${engine.report.reason}`);
  const chain = chainOf(model, { hidden }, x.shape.slice(1), classes);
  const descent = { optimizer: 'sgd', learningRate, momentum: 0, weightDecay: 0, proximal: 0, batchSize } as const;
  const trainer = await engine.trainer(chain, weights, { x: x.data, y }, descent);
  const orders = Array.from({ length: batches(workload) }, (_, b) =>
    Uint32Array.from({ length: batchSize }, (_, i) => b * batchSize + i),
  );
  const where = Object.values(adapter).filter(Boolean).join(' ') || kernels.map(({ variant }) => variant).join(', ');
  return {
    about: `${where}; ${matmulGflops.toFixed(1)} GFLOP/s`,
    async steps(first, count) {
      for (let i = first; i < first + count; i++) trainer.step(orders[i % orders.length]);
      const scores = await trainer.drain();
      if (scores.length !== count) throw new Error(`${count} steps gave ${scores.length} scores`);
      return scores[count - 1].loss;
    },
  };
});
