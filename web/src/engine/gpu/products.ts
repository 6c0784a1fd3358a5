/** The three products of a layer with parameters, forward, back to its input and to its weights, each in several
 *  variants that give the same sums in another order. */
import type { Device, Launch, Binding } from './device';
import { vectors, type Place, type Stage } from './plan';
import type { Constants } from './template';
import outer from './wgsl/outer.wgsl?raw';
import prelude from './wgsl/prelude.wgsl?raw';
import product from './wgsl/product.wgsl?raw';
import sum from './wgsl/sum.wgsl?raw';
import tiled from './wgsl/tiled.wgsl?raw';

export type Pass = 'forward' | 'back' | 'weights';

/** Registers of one invocation: `rows` (pixels, or a quarter of the weights' rows) × `columns` vectors of four channels,
 *  in workgroups of `group`; 0 × 0 is the one tiled through workgroup memory. `parts`: shares of the batch summed apart. */
export interface Variant {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly group: number;
  readonly parts: number;
}

export interface Operands {
  readonly step: GPUBuffer;
  /** The pixels, with their border. */
  readonly x: Binding;
  /** The weights; for the weights' gradient, that of the output. */
  readonly w: Binding;
  readonly y: Binding;
  /** Where the result is kept only if this is above nought (the ReLU before). */
  readonly mask?: Binding | undefined;
  readonly scratch?: GPUBuffer | undefined;
}

const registers = (rows: number, columns: number, group: number, parts = 1): Variant => ({
  name: `registers ${rows}x${columns * 4}${parts > 1 ? ` in ${parts} parts` : ''}`,
  rows,
  columns,
  group,
  parts,
});
const TILED: Variant = { name: 'tiled 64x64', rows: 0, columns: 0, group: 256, parts: 1 };

/** What to try for a pass, the likeliest first. A software device pays for each load, and for barriers most of all, so
 *  it gets large tiles of registers and never the shared ones; hardware wants many invocations. */
export function variants(pass: Pass, stage: Stage, software: boolean): readonly Variant[] {
  const linear = stage.product?.layer.kind === 'linear';
  if (pass === 'weights') {
    const large = stage.product?.kernel === 1 ? registers(4, 2, 8) : registers(2, 1, 8);
    const small = [registers(1, 1, 64), ...(linear ? [] : [registers(1, 1, 64, 16)])];
    return software ? [large, registers(1, 1, 64)] : [TILED, ...small, large];
  }
  const large = registers(software && !linear ? 14 : 8, 2, 8);
  return software ? [large, registers(4, 1, 64)] : [TILED, registers(4, 1, 64), registers(1, 1, 64), large];
}

/** Channels of bordered pixels, as a kernel's constants under a letter. */
export const extent = (letter: string, place: Place): Constants => ({
  [`${letter}H`]: place.height + 2 * place.border,
  [`${letter}W`]: place.width + 2 * place.border,
  [`${letter}O`]: place.border,
});

/** Floating-point operations of one pass over one example. */
export const operations = ({ product, output }: Stage): number =>
  product === null
    ? 0
    : 2 * output.height * output.width * product.columns.filter((c) => c >= 0).length * output.channels;

export async function launches(
  device: Device,
  pass: Pass,
  stage: Stage,
  variant: Variant,
  on: Operands,
): Promise<Launch[]> {
  const { product: layer, input, output, gradient, before } = stage;
  if (layer === null) return [];
  const rows = layer.layer.kind === 'linear';
  const { height, width } = output;
  const K = layer.kernel;
  const inside = vectors(input.channels);
  const outside = vectors(output.channels);
  const pixels = rows ? 1 : width;
  const fair = Math.ceil(width / Math.ceil(width / (variant.rows || 1)));
  const TX = rows ? variant.rows : fair;
  const across = (n: number): number => (rows ? n : n * height * pixels);
  const shape = { ROWS: rows, HEIGHT: height, WIDTH: width, K, EDGE: K - 1, WG: variant.group };
  const buffers = [on.step, on.x, on.w, on.y, ...(on.mask === undefined ? [] : [on.mask])];
  const wide = variant.rows === 0;

  if (pass === 'weights') {
    const constants = { ...shape, ...extent('X', input), ...extent('D', gradient ?? output), IN: inside, OUT: outside };
    if (wide) {
      const OT = Math.ceil(outside / 16);
      const blocks = OT * Math.ceil((K * K * inside) / 16);
      const text = prelude + tiled;
      return [
        await device.launch(
          text,
          { ...constants, OT, OUTER: true, BACK: false, RELU: false, MASK: false },
          buffers,
          256,
          () => blocks * 256,
        ),
      ];
    }
    const OT = Math.ceil(outside / variant.columns);
    // Pixels taken at once, so that the sums are passed over less often.
    const U = rows ? 1 : ([4, 3, 2].find((u) => width % u === 0) ?? 1);
    const IT = Math.ceil(inside / variant.rows);
    const tile = { TI: variant.rows, TO: variant.columns, OT, IT, PARTS: variant.parts, LENGTH: layer.length / 16, U };
    const split = variant.parts > 1 && on.scratch !== undefined;
    const target = split ? on.scratch : on.y;
    const all = OT * IT * K * variant.parts;
    const first = await device.launch(
      prelude + outer,
      { ...constants, ...tile },
      [on.step, on.x, on.w, target],
      variant.group,
      () => all,
    );
    if (!split) return [first];
    const add = await device.launch(
      prelude + sum,
      { ...tile, LENGTH: layer.length / 4 },
      [on.step, target, on.y],
      64,
      () => layer.length / 4,
    );
    return [first, add];
  }

  const back = pass === 'back';
  const constants = {
    ...shape,
    ...extent('X', back ? (gradient ?? output) : input),
    ...extent('Y', back ? (before ?? input) : output),
    ...extent('M', input),
    IN: back ? outside : inside,
    OUT: back ? inside : outside,
    BACK: back,
    RELU: !back && stage.relu,
    MASK: on.mask !== undefined,
  };
  if (wide) {
    const OT = Math.ceil(constants.OUT / 16);
    const text = prelude + tiled;
    const blocks = (n: number): number => OT * Math.ceil(across(n) / 64) * 256;
    return [await device.launch(text, { ...constants, OT, OUTER: false, DH: 0, DW: 0, DO: 0 }, buffers, 256, blocks)];
  }
  const TO = Math.min(variant.columns, constants.OUT);
  const OT = Math.ceil(constants.OUT / TO);
  const tile = { TX, SPAN: TX + K - 1, TO, OT };
  const threads = (n: number): number => OT * (rows ? Math.ceil(n / TX) : n * height * Math.ceil(width / TX));
  return [await device.launch(prelude + product, { ...constants, ...tile }, buffers, variant.group, threads)];
}
