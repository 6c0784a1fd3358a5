import { describe, expect, it } from 'vitest';
import { chainOf, layoutOf, MODELS, sizeOf } from '../../src/engine/catalogue';
import { Refused } from '../../src/refused';
import { fileOf, vectors } from '../parity/vectors';
import { parseSafetensors } from '../../src/tensors/safetensors';

describe('the catalogue', () => {
  it.each(vectors.counts)('builds $model for $shape with as many parameters as the server', (entry) => {
    const layout = layoutOf(chainOf(entry.model, {}, entry.shape, entry.classes));
    expect([...layout.values()].reduce((sum, shape) => sum + sizeOf(shape), 0)).toBe(entry.parameters);
  });

  it('builds every model that it names, and each of them is counted', () => {
    expect(new Set(vectors.counts.map(({ model }) => model))).toEqual(new Set(MODELS));
    expect(vectors.counts).toContainEqual({ model: 'mnist_cnn', shape: [1, 28, 28], classes: 10, parameters: 421642 });
  });

  it('gives tensors the names and shapes of the files that the server writes', () => {
    const stored = vectors.cases.filter(({ file }) => file !== null);
    expect(stored.length).toBeGreaterThan(5);
    for (const { model, options, shape, classes, file } of stored) {
      const layout = layoutOf(chainOf(model, options, shape, classes));
      const found = [...parseSafetensors(fileOf(file ?? ''))].map(([name, tensor]) => [name, tensor.shape] as const);
      expect(new Map(found)).toEqual(layout);
    }
  });

  it.each([
    ['resnet', {}, [3, 32, 32], 10, 'not_found', /resnet/],
    ['constructor', {}, [3, 32, 32], 10, 'not_found', /constructor/],
    ['mlp', { depth: 2 }, [4], 2, 'invalid_spec', /model\.options\.depth/],
    ['logistic', { hidden: 2 }, [4], 2, 'invalid_spec', /model\.options\.hidden/],
    ['mlp', { hidden: 0 }, [4], 2, 'invalid_spec', /0 is out of range/],
    ['mlp', { hidden: 8193 }, [4], 2, 'invalid_spec', /1 to 8192/],
    ['cifar10_cnn', { hidden: 4097 }, [3, 8, 8], 2, 'invalid_spec', /1 to 4096/],
    ['mlp', { hidden: 1.5 }, [4], 2, 'invalid_spec', /1\.5/],
    ['mlp', {}, [], 2, 'invalid_spec', /data\.input_shape/],
    ['mlp', {}, [4, 0], 2, 'invalid_spec', /data\.input_shape/],
    ['mnist_cnn', {}, [28, 28], 2, 'invalid_spec', /cannot take inputs/],
    ['mnist_cnn', {}, [1, 28, 3], 2, 'invalid_spec', /sides of 4/],
    ['cifar10_cnn', {}, [3, 7, 8], 2, 'invalid_spec', /sides of 8/],
    ['mlp', {}, [4], 1, 'invalid_spec', /data\.num_classes/],
  ] as const)('refuses %s with %j for %j and %i classes as %s', (id, options, shape, classes, code, problem) => {
    const refusal = (() => {
      try {
        return chainOf(id, options, shape, classes);
      } catch (error) {
        return error;
      }
    })();
    expect(refusal).toBeInstanceOf(Refused);
    expect(refusal).toMatchObject({ code, message: expect.stringMatching(problem) });
  });
});
