/** The page's side of a measurement: reads the workload, starts one library, and trains when it is told to. */
import type { Tensor } from '../../../web/src/engine/types';
import type { Contender, Open, Workload } from './contender';

/** What the measuring program calls. */
interface Bench {
  /** Starts the library; what it says it runs on, and the seconds that took. */
  open(workload: string, backend: string): Promise<{ readonly about: string; readonly seconds: number }>;
  /** See `Contender.steps`; the last loss and the seconds. */
  steps(first: number, count: number): Promise<{ readonly loss: number; readonly seconds: number }>;
}

declare global {
  var bench: Bench;
}

/** Puts the library under test where the measuring program finds it. */
export function offer(open: Open): void {
  let contender: Contender;
  globalThis.bench = {
    async open(name, backend) {
      const workload = await read(name);
      const started = performance.now();
      contender = await open(workload, backend);
      return { about: contender.about, seconds: (performance.now() - started) / 1000 };
    },
    async steps(first, count) {
      const started = performance.now();
      const loss = await contender.steps(first, count);
      return { loss, seconds: (performance.now() - started) / 1000 };
    },
  };
}

/** `<name>.json` says where in `<name>.bin`, which is all float32, each tensor lies. */
async function read(name: string): Promise<Workload> {
  const [head, bytes] = await Promise.all([
    fetch(`/${name}.json`).then((reply) => reply.json()),
    fetch(`/${name}.bin`).then((reply) => reply.arrayBuffer()),
  ]);
  const tensors = new Map<string, Tensor>();
  let at = 0;
  for (const [key, shape] of Object.entries(head.tensors as Record<string, number[]>)) {
    const length = shape.reduce((a, b) => a * b, 1);
    tensors.set(key, { shape, data: new Float32Array(bytes, at * 4, length) });
    at += length;
  }
  const { x, y } = Object.fromEntries(tensors);
  tensors.delete('x');
  tensors.delete('y');
  return { ...head.settings, weights: tensors, x, y: Uint32Array.from(y.data) };
}
