/** Pixels of an image, by the browser's own decoders. */

/** RGBA, 8 bits each, row by row. Rejects what is no image. */
export type Decode = (
  file: Blob,
) => Promise<{ readonly width: number; readonly height: number; readonly rgba: ArrayLike<number> }>;

/** Values as they stand in the file, whatever colour profile it names. */
export const decodeImage: Decode = async (file) => {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  try {
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    if (context === null) throw new Error('this browser gives no canvas');
    context.drawImage(bitmap, 0, 0);
    return { width, height, rgba: context.getImageData(0, 0, width, height).data };
  } finally {
    bitmap.close();
  }
};
