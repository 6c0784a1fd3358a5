/** An engine is held against PyTorch: the same weights, batches and steps must give the same losses and weights. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chainOf } from '../../src/engine/catalogue';
import type { Engine, StepScore, Weights } from '../../src/engine/types';
import { parseSafetensors } from '../../src/tensors/safetensors';
import { batchesOf, type Case, distance, examplesOf, fileOf, norm, sketch, vectors, weightsOf } from './vectors';

/** Tests, for the body of a `describe`. */
export function parity(open: () => Promise<Engine>): void {
  let engine: Engine;
  beforeAll(async () => {
    engine = await open();
  });
  afterAll(() => engine.destroy());

  for (const entry of vectors.cases) {
    const { model, descent } = entry;
    const how = descent.optimizer === 'adam' ? 'Adam' : descent.proximal > 0 ? 'SGD and a proximal term' : 'SGD';
    const tolerance = descent.optimizer === 'adam' ? 1e-3 : 1e-4;

    it(`trains ${model} by ${how} as PyTorch does`, async () => {
      const { scores, given, final } = await train(engine, entry);
      expect(scores.map(({ correct }) => correct)).toEqual(entry.correct);
      scores.forEach(({ loss }, i) => {
        expect(Math.abs(loss / entry.losses[i] - 1), `loss of step ${i + 1}`).toBeLessThan(1e-4);
      });
      expect([...final.keys()]).toEqual(Object.keys(entry.tensors));
      for (const [name, wanted] of Object.entries(entry.tensors)) {
        const [before, after] = [given.get(name)!.data, final.get(name)!.data];
        const moved = Float64Array.from(after, (value, i) => value - before[i]);
        const off = distance(sketch(moved, wanted.sketch.length), wanted.sketch);
        expect(off / wanted.norm, `${name}, by its sketch`).toBeLessThan(tolerance);
        // Weights move little in a few steps: held against how far they moved, a wrong gradient shows.
        expect(off / wanted.moved, `how ${name} moved, by its sketch`).toBeLessThan(10 * tolerance);
        expect(Math.abs(norm(moved) / wanted.moved - 1), `how far ${name} moved`).toBeLessThan(10 * tolerance);
      }
      if (entry.file === null) return;
      const whole = parseSafetensors(fileOf(entry.file));
      expect(new Set(whole.keys())).toEqual(new Set(final.keys()));
      for (const [name, { shape, data }] of whole) {
        expect(final.get(name)!.shape).toEqual(shape);
        expect(distance(final.get(name)!.data, data) / norm(data), name).toBeLessThan(tolerance);
      }
    });
  }
}

async function train(
  engine: Engine,
  entry: Case,
): Promise<{ scores: StepScore[]; given: Weights; final: Weights }> {
  const chain = chainOf(entry.model, entry.options, entry.shape, entry.classes);
  const given = weightsOf(chain);
  const trainer = await engine.trainer(chain, given, examplesOf(chain), entry.descent);
  for (const batch of batchesOf(entry.losses.length, entry.descent.batchSize)) trainer.step(batch);
  const scores = await trainer.drain();
  const final = await trainer.weights();
  trainer.destroy();
  return { scores, given, final };
}
