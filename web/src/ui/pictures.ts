/**
 * Photos made ready to be sent. Drawing one anew leaves out what the camera wrote into it: the place, its number, the
 * time. Original is not drawn, and stays as it is to the last byte.
 *
 * Who wants to keep the place gets what the camera wrote put back: JPEG, ITU-T T.81 §B.1.1.4; Exif 2.32 §4.5.4, §4.6.4.
 */

export const QUALITIES = ["light", "hd", "original"] as const;
export type Quality = (typeof QUALITIES)[number];

/** Longest side in pixels (design §6). */
const SIDES = { light: 1600, hd: 4096 };
const JPEG_QUALITY = { light: 0.8, hd: 0.9 };
/** Bytes of a thumbnail, and what is tried until it has no more: side and quality. */
export const MAX_PREVIEW = 50 * 1024;
const PREVIEWS: [number, number][] = [
  [480, 0.75],
  [480, 0.5],
  [320, 0.5],
  [160, 0.4],
];

/** What can be drawn anew without losing more than size, if the browser reads it: an animation would lose its movement. */
export function canBeDrawn(type: string): boolean {
  return /^image\/(?:jpeg|png|webp|avif|hei[cf])$/.test(type);
}

/** A photo in a quality. Rejects when the browser cannot read it. */
export async function drawn(photo: Blob, quality: Exclude<Quality, "original">): Promise<Blob> {
  const bitmap = await createImageBitmap(photo);
  try {
    // A drawing keeps its edges; for little room it is a photo like any other.
    const type = quality === "hd" && photo.type === "image/png" ? "image/png" : "image/jpeg";
    return await draw(bitmap, SIDES[quality], type, JPEG_QUALITY[quality]);
  } finally {
    bitmap.close();
  }
}

/** A small JPEG of a picture; undefined when the browser cannot read it. */
export async function previewOf(picture: Blob): Promise<Blob | undefined> {
  if (picture.type === "image/svg+xml") return undefined;
  const bitmap = await createImageBitmap(picture).catch(() => undefined);
  if (bitmap === undefined) return undefined;
  try {
    for (const [side, quality] of PREVIEWS) {
      const blob = await draw(bitmap, side, "image/jpeg", quality);
      if (blob.size <= MAX_PREVIEW) return blob;
    }
    return undefined;
  } finally {
    bitmap.close();
  }
}

/** The name with the extension of what it has become. */
export function renamed(name: string, type: string): string {
  if (type === "image/png" || /\.jpe?g$/i.test(name)) return name;
  return `${name.replace(/\.[^.]*$/, "")}.jpg`;
}

async function draw(bitmap: ImageBitmap, side: number, type: string, quality: number): Promise<Blob> {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("no canvas");
  if (type === "image/jpeg") {
    // JPEG knows nothing of what is behind it.
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, type, quality));
  canvas.width = canvas.height = 0; // gives its memory back at once
  if (blob === null) throw new Error("a picture too large to draw");
  return blob;
}

/** Bytes at the beginning of a photo in which its Exif is looked for: it stands first, and has 64 KiB at most. */
const HEAD = 128 * 1024;
const ORIENTATION = 0x0112;

/** The Exif segment of a JPEG, for a drawing of it that stands upright; undefined when there is none that can be read. */
export async function exifOf(photo: Blob): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const data = new DataView(await photo.slice(0, HEAD).arrayBuffer());
  if (data.byteLength < 4 || data.getUint16(0) !== 0xffd8) return undefined;
  for (let at = 2; at + 10 <= data.byteLength && data.getUint8(at) === 0xff; at += 2 + data.getUint16(at + 2)) {
    const marker = data.getUint8(at + 1);
    if (marker === 0xda) return undefined;
    const exif = marker === 0xe1 && data.getUint32(at + 4) === 0x45786966 && data.getUint16(at + 8) === 0;
    const end = at + 2 + data.getUint16(at + 2);
    if (exif && end <= data.byteLength) return upright(new Uint8Array(data.buffer.slice(at, end)));
  }
  return undefined;
}

/** The drawing stands as it is seen: turning it once more would be wrong. */
function upright(segment: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
  const tiff = new DataView(segment.buffer, 10);
  if (tiff.byteLength < 14) return undefined;
  const little = tiff.getUint16(0) === 0x4949;
  const from = tiff.getUint32(4, little);
  if (from + 2 > tiff.byteLength) return undefined;
  const count = tiff.getUint16(from, little);
  for (let entry = from + 2, left = count; left > 0 && entry + 12 <= tiff.byteLength; entry += 12, left -= 1) {
    if (tiff.getUint16(entry, little) === ORIENTATION) tiff.setUint16(entry + 8, 1, little);
  }
  return segment;
}

/** A JPEG with an Exif segment at its beginning; anything else as it is. */
export function withExif(photo: Blob, exif: Uint8Array<ArrayBuffer>): Blob {
  const { type } = photo;
  return type === "image/jpeg" ? new Blob([photo.slice(0, 2), exif, photo.slice(2)], { type }) : photo;
}
