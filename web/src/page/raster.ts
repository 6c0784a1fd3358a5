/**
 * From strokes to an example of the task's size, prepared as MNIST's were (LeCun et al. 1998, section III.A): the ink
 * is scaled, its proportions kept, to 20/28 of the image, drawn antialiased, and its centre of mass put in the middle.
 * Images under 16 pixels are prepared as UCI's digits (8 × 8) were: the ink fills the image.
 */

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The pen's way from down to up, on a pad of 1 × 1, y downwards. */
export type Stroke = readonly Point[];

/** The pen's radius on the pad. */
export const PEN = 0.045;

/** Pixels are sampled on a grid of 4 × 4. */
const SAMPLES = 4;

/** A lone dot is not blown up to fill the image: the pen may become at most this thick, of the image's side. */
const THICKEST = 0.09;

/** Strokes on the image's own plane, in pixels; `pen` is the radius there. */
interface Ink {
  readonly strokes: readonly Stroke[];
  readonly pen: number;
}

/** An example of `shape` [c, h, w] (c channels alike) in 0..1, ink 1 on paper 0; all zeros without strokes. */
export function raster(strokes: readonly Stroke[], shape: readonly number[]): Float32Array {
  const [channels = 1, height = 0, width = 0] = shape;
  const plane = new Float32Array(height * width);
  if (strokes.some((stroke) => stroke.length > 0)) {
    const side = Math.min(height, width);
    const filled = side < 16;
    const ink = fitted(strokes, filled ? side : (side * 20) / 28, side, width, height);
    draw(ink, plane, width, height);
    if (!filled) {
      const mass = centreOfMass(plane, width);
      const moved = shifted(ink, width / 2 - mass.x, height / 2 - mass.y);
      plane.fill(0);
      draw(moved, plane, width, height);
    }
  }
  const example = new Float32Array(channels * plane.length);
  for (let channel = 0; channel < channels; channel++) {
    example.set(plane, channel * plane.length);
  }
  return example;
}

/** Of the ink, in pixels from the top left corner; a pixel's own centre is at its middle. */
export function centreOfMass(plane: Float32Array, width: number): Point {
  let [mass, x, y] = [0, 0, 0];
  plane.forEach((value, at) => {
    mass += value;
    x += value * ((at % width) + 0.5);
    y += value * (Math.floor(at / width) + 0.5);
  });
  return { x: x / mass, y: y / mass };
}

/** The ink scaled so that its longer side measures `target` pixels, its box in the middle of the image. */
function fitted(strokes: readonly Stroke[], target: number, side: number, width: number, height: number): Ink {
  const points = strokes.flat();
  const [left, right] = extent(points.map((point) => point.x));
  const [top, bottom] = extent(points.map((point) => point.y));
  const longest = Math.max(right - left, bottom - top) + 2 * PEN;
  const scale = Math.min(target / longest, (THICKEST * side) / PEN);
  const [x, y] = [width / 2 - (scale * (left + right)) / 2, height / 2 - (scale * (top + bottom)) / 2];
  const place = (point: Point): Point => ({ x: x + scale * point.x, y: y + scale * point.y });
  return { strokes: strokes.map((stroke) => stroke.map(place)), pen: scale * PEN };
}

function extent(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

function shifted(ink: Ink, dx: number, dy: number): Ink {
  const move = (point: Point): Point => ({ x: point.x + dx, y: point.y + dy });
  return { strokes: ink.strokes.map((stroke) => stroke.map(move)), pen: ink.pen };
}

/** Each pixel gets the share of its samples that lie under the pen. */
function draw(ink: Ink, plane: Float32Array, width: number, height: number): void {
  const columns = width * SAMPLES;
  const inked = new Uint8Array(columns * height * SAMPLES);
  for (const stroke of ink.strokes) {
    stroke.forEach((to, at) => mark(stroke[Math.max(0, at - 1)] ?? to, to, ink.pen, inked, columns));
  }
  inked.forEach((hit, at) => {
    const row = Math.floor(at / columns / SAMPLES);
    plane[row * width + Math.floor((at % columns) / SAMPLES)] += hit / SAMPLES ** 2;
  });
}

/** Marks the samples within `pen` of the segment from `a` to `b`. */
function mark(a: Point, b: Point, pen: number, inked: Uint8Array, columns: number): void {
  const rows = inked.length / columns;
  const from = (low: number): number => Math.max(0, Math.floor((low - pen) * SAMPLES));
  const to = (high: number, end: number): number => Math.min(end - 1, Math.ceil((high + pen) * SAMPLES));
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const squared = dx * dx + dy * dy;
  for (let row = from(Math.min(a.y, b.y)); row <= to(Math.max(a.y, b.y), rows); row++) {
    const y = (row + 0.5) / SAMPLES - a.y;
    for (let column = from(Math.min(a.x, b.x)); column <= to(Math.max(a.x, b.x), columns); column++) {
      const x = (column + 0.5) / SAMPLES - a.x;
      const along = squared === 0 ? 0 : Math.min(1, Math.max(0, (x * dx + y * dy) / squared));
      if ((x - along * dx) ** 2 + (y - along * dy) ** 2 <= pen * pen) {
        inked[row * columns + column] = 1;
      }
    }
  }
}
