import { describe, expect, it } from "vitest";
import { exifOf, withExif } from "../../src/ui/pictures";
import { MAX_SCALE, WHOLE, within, zoomed } from "../../src/ui/zoom";

/** Exif with an orientation and a place (Exif 2.32 §4.6.3), in either order of bytes. */
function exif(orientation: number, little: boolean): Uint8Array<ArrayBuffer> {
  const segment = new Uint8Array(2 + 2 + 6 + 8 + 2 + 24 + 4);
  const view = new DataView(segment.buffer);
  view.setUint16(0, 0xffe1);
  view.setUint16(2, segment.length - 2);
  segment.set(new TextEncoder().encode("Exif\0\0"), 4);
  const tiff = new DataView(segment.buffer, 10);
  tiff.setUint16(0, little ? 0x4949 : 0x4d4d);
  tiff.setUint16(2, 42, little);
  tiff.setUint32(4, 8, little);
  tiff.setUint16(8, 2, little);
  for (const [at, tag, type, value] of [
    [10, 0x0112, 3, orientation],
    [22, 0x8825, 4, 34],
  ] as const) {
    tiff.setUint16(at, tag, little);
    tiff.setUint16(at + 2, type, little);
    tiff.setUint32(at + 4, 1, little);
    if (type === 3) tiff.setUint16(at + 8, value, little);
    else tiff.setUint32(at + 8, value, little);
  }
  return segment;
}

const START = Uint8Array.of(0xff, 0xd8);
const JFIF = Uint8Array.of(0xff, 0xe0, 0, 4, 1, 1);
const REST = Uint8Array.of(0xff, 0xda, 0, 2, 9, 9, 0xff, 0xd9);
const jpeg = (...parts: Uint8Array<ArrayBuffer>[]) => new Blob([START, ...parts, REST], { type: "image/jpeg" });

describe("what a camera wrote", () => {
  it.each([true, false])(
    "is found, and says of a drawing that it stands upright (little-endian: %s)",
    async (little) => {
      expect(await exifOf(jpeg(JFIF, exif(6, little)))).toEqual(exif(1, little));
    },
  );

  it("is not found where there is none, or nothing that can be read", async () => {
    expect(await exifOf(jpeg(JFIF))).toBeUndefined();
    expect(await exifOf(new Blob(["no picture at all"]))).toBeUndefined();
    expect(await exifOf(new Blob([START]))).toBeUndefined();
    const cut = exif(6, true).slice(0, 20);
    expect(await exifOf(new Blob([START, cut]))).toBeUndefined();
    const astray = exif(6, true);
    new DataView(astray.buffer).setUint32(14, 4_000_000_000, true);
    expect(await exifOf(jpeg(astray))).toBeUndefined();
    // A segment of no length leads nowhere.
    expect(await exifOf(new Blob([START, Uint8Array.of(0xff, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]))).toBeUndefined();
  });

  it("is put at the beginning of a JPEG, and into nothing else", async () => {
    const drawn = new Blob([START, REST], { type: "image/jpeg" });
    const whole = new Uint8Array(await withExif(drawn, exif(1, true)).arrayBuffer());
    expect(whole).toEqual(new Uint8Array(await jpeg(exif(1, true)).arrayBuffer()));
    const png = new Blob([REST], { type: "image/png" });
    expect(withExif(png, exif(1, true))).toBe(png);
  });
});

describe("a picture that is zoomed", () => {
  it("keeps the point under the finger where it is", () => {
    const twice = zoomed(WHOLE, 2, { x: 100, y: -40 });
    expect(twice).toEqual({ scale: 2, x: -100, y: 40 });
    expect(zoomed(twice, 0.5, { x: 100, y: -40 })).toEqual(WHOLE);
  });

  it("becomes neither smaller than it fits nor larger than is of use", () => {
    expect(zoomed(WHOLE, 0.1, { x: 0, y: 0 }).scale).toBe(1);
    expect(zoomed(WHOLE, 100, { x: 0, y: 0 }).scale).toBe(MAX_SCALE);
  });

  it("leaves no room empty that it can fill", () => {
    const room = { width: 400, height: 400 };
    const wide = { width: 800, height: 400 };
    expect(within({ scale: 1, x: 50, y: 50 }, room, wide)).toEqual(WHOLE);
    // It fits at 400 × 200: twice as large it is as high as the room, and twice as wide.
    expect(within({ scale: 2, x: 900, y: 900 }, room, wide)).toEqual({ scale: 2, x: 200, y: 0 });
    expect(within({ scale: 2, x: -900, y: 0 }, room, wide)).toEqual({ scale: 2, x: -200, y: 0 });
  });
});
