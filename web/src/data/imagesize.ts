/** What an image's head says of it, read before a browser unpacks it: a small file can hold a huge image. */
import { Malformed } from './bad';

/** Width and height of a PNG, JPEG, GIF, WebP or BMP image. */
export function imageSize(head: Uint8Array): [number, number] {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const [signature, text] = [head.subarray(0, 2).join(), new TextDecoder('latin1').decode(head.subarray(0, 16))];
  if (head.length < 30) throw new Malformed('it is too short');
  if (signature === '137,80') {
    if (head[24] > 8) throw new Malformed(`it has ${head[24]} bits a channel, not 8`);
    return [view.getUint32(16), view.getUint32(20)];
  }
  if (signature === '255,216') return jpegSize(view);
  if (text.startsWith('GIF8')) return [view.getUint16(6, true), view.getUint16(8, true)];
  if (text.startsWith('BM')) return [view.getUint32(18, true), Math.abs(view.getInt32(22, true))];
  if (text.startsWith('RIFF') && text.startsWith('WEBPVP8', 8)) return webpSize(view, text[15]);
  throw new Malformed('it is no PNG, JPEG, GIF, WebP or BMP image');
}

/** Segments are a marker and a length; SOF0 to SOF15 have the size, but for DHT (C4), JPG (C8) and DAC (CC). */
function jpegSize(view: DataView): [number, number] {
  for (let at = 2; at + 9 <= view.byteLength; at += 2 + view.getUint16(at + 2)) {
    const marker = view.getUint16(at);
    if (marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker)) {
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
    }
    if (marker < 0xff00) break;
  }
  throw new Malformed('its head is damaged');
}

/** WebP: VP8X has the canvas in 24 bits each less one, VP8L in 14 bits each less one, VP8 (lossy) in 14 bits each. */
function webpSize(view: DataView, kind: string): [number, number] {
  const at = (offset: number): number => view.getUint32(offset, true);
  if (kind === 'X') return [(at(24) & 0xffffff) + 1, (at(26) >>> 8) + 1];
  if (kind === 'L') return [(at(21) & 0x3fff) + 1, ((at(21) >>> 14) & 0x3fff) + 1];
  return [at(26) & 0x3fff, (at(26) >>> 16) & 0x3fff];
}
