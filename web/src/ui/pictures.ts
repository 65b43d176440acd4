/**
 * Photos made ready to be sent. Drawing one anew leaves out what the camera wrote into it: the place, its number, the
 * time. Original is not drawn, and stays as it is to the last byte.
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

/** What can be drawn anew without losing more than size: an animation would lose its movement. */
export function canBeDrawn(type: string): boolean {
  return /^image\/(?:jpeg|png|webp|avif)$/.test(type);
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
  if (!picture.type.startsWith("image/") || picture.type === "image/svg+xml") return undefined;
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
