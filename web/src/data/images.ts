/** Folders of images by class: `<class>/<image>`. Classes named 0, 1, ... are the labels themselves and may be missing;
 *  otherwise there must be one folder for each class, and their sorted names are labels 0, 1, ... */
import { sizeOf } from '../engine/catalogue';
import type { LocalFile } from '../messages';
import { bad, bytesOf, checkRoom, Malformed } from './bad';
import type { Raw } from './check';
import { decodeImage, type Decode } from './decode';
import { imageSize } from './imagesize';

/** So much of a file's beginning has its size, whatever metadata a camera wrote before it. */
const HEAD = 2 ** 18;
const MOST_BYTES = 2 ** 24;
const AT_ONCE = 16;

export async function readImages(
  files: readonly LocalFile[],
  shape: readonly number[],
  classes: number,
  decode: Decode = decodeImage,
): Promise<Raw> {
  if (!(shape.length === 3 && (shape[0] === 1 || shape[0] === 3))) {
    const problem = `images make examples of shape [1 or 3, height, width], and the task wants [${shape.join(', ')}].`;
    bad(problem, 'give an .npz file with arrays x and y');
  }
  const sorted = byClass(files);
  const labels = labelsOf([...sorted.keys()], classes);
  const images = [...sorted].flatMap(([name, members]) =>
    members.map((local) => ({ local, label: labels.get(name) ?? 0 })),
  );
  checkRoom('the folder', images.length, shape);
  const x = new Uint8Array(images.length * sizeOf(shape));
  for (let first = 0; first < images.length; first += AT_ONCE) {
    const some = images.slice(first, first + AT_ONCE);
    const pixels = await Promise.all(some.map(({ local }) => pixelsOf(local, shape, decode)));
    pixels.forEach((values, i) => x.set(values, (first + i) * values.length));
  }
  return { x, y: images.map(({ label }) => label), name: (index) => images[index].local.path };
}

/** The files of each class in order. Folders around the class folders are no part of their names. */
function byClass(files: readonly LocalFile[]): Map<string, LocalFile[]> {
  const split = files.map((local) => ({ local, parts: local.path.split('/').filter((part) => part !== '') }));
  while (split.every(({ parts }) => parts.length > 2 && parts[0] === split[0].parts[0])) {
    for (const { parts } of split) parts.shift();
  }
  const classes = new Map<string, LocalFile[]>();
  for (const { local, parts } of split) {
    if (parts.length !== 2)
      bad(`${local.path} is in no class folder.`, 'give images as <class>/<image>, e.g. 3/first.png');
    const members = classes.get(parts[0]);
    if (members === undefined) classes.set(parts[0], [local]);
    else members.push(local);
  }
  for (const members of classes.values()) members.sort((a, b) => (a.path < b.path ? -1 : 1));
  return new Map([...classes].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function labelsOf(names: readonly string[], classes: number): ReadonlyMap<string, number> {
  if (names.every((name) => /^\d+$/.test(name))) {
    const beyond = names.find((name) => Number(name) >= classes);
    if (beyond !== undefined)
      bad(`${beyond} names class ${Number(beyond)}.`, `the task's classes are 0 to ${classes - 1}`);
    return new Map(names.map((name) => [name, Number(name)]));
  }
  if (names.length !== classes) {
    const mend = `make one folder for each class, or name them 0 to ${classes - 1}`;
    bad(`the folder has ${names.length} class folders with images and the task has ${classes} classes.`, mend);
  }
  return new Map(names.map((name, label) => [name, label]));
}

async function pixelsOf({ path, file }: LocalFile, shape: readonly number[], decode: Decode): Promise<Uint8Array> {
  const [channels, height, width] = shape;
  const wrong = (w: number, h: number): never =>
    bad(`${path} measures ${w}x${h} pixels, not ${width}x${height}.`, `scale it to ${width}x${height}`);
  try {
    if (file.size > MOST_BYTES) throw new Malformed(`it has ${file.size} bytes`);
    const [w, h] = imageSize(await bytesOf(path, file.slice(0, HEAD)));
    if (w !== width || h !== height) wrong(w, h);
    const image = await decode(file).catch((error: unknown) => {
      throw new Malformed(String(error).replace(/\.$/, ''));
    });
    if (image.width !== width || image.height !== height) wrong(image.width, image.height);
    return planes(image.rgba, channels, width * height);
  } catch (error) {
    if (error instanceof Malformed)
      bad(`${path} cannot be read as an image: ${error.message}.`, 'replace or remove it');
    throw error;
  }
}

/** Channels first. Grey is ITU-R 601's luma, rounded as Pillow rounds it, so that both nodes see the same values. */
function planes(rgba: ArrayLike<number>, channels: number, size: number): Uint8Array {
  const values = new Uint8Array(channels * size);
  for (let pixel = 0; pixel < size; pixel++) {
    const at = 4 * pixel;
    // A canvas forgets the colour behind transparency.
    if (rgba[at + 3] !== 255) throw new Malformed('it is transparent in places; save it without an alpha channel');
    if (channels === 1) {
      values[pixel] = (rgba[at] * 19595 + rgba[at + 1] * 38470 + rgba[at + 2] * 7471 + 0x8000) >> 16;
    } else {
      for (let channel = 0; channel < 3; channel++) values[channel * size + pixel] = rgba[at + channel];
    }
  }
  return values;
}
