/** What the cores need of bytes and text beyond what the language has: searching, UTF-8 with offsets, base64. */

import { ParseError } from "./error";

/** Bytes of our own, never shared with another thread. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Name and value, as sent. */
export type Header = readonly [name: string, value: string];

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

export const LF = 0x0a;

/** `text` in UTF-8. */
export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/** Bytes that `text` takes in UTF-8. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}

/** Reads UTF-8. Throws ParseError with the offset of the first wrong byte, counted from `at`. */
export function decodeUtf8(data: Uint8Array, what: string, at = 0): string {
  try {
    return strict.decode(data);
  } catch {
    throw new ParseError(`${what} is not UTF-8`, at + firstWrongByte(data));
  }
}

/** Reads text meant to be shown: what is no UTF-8 becomes U+FFFD. */
export function decodeLoosely(data: Uint8Array): string {
  return lenient.decode(data);
}

/** The first position of `needle` that begins at `from` or later and ends at `to` or before; -1 when none does. */
export function find(data: Uint8Array, needle: Uint8Array, from: number, to: number = data.length): number {
  const first = needle[0] as number;
  const last = Math.min(to, data.length) - needle.length;
  let at = data.indexOf(first, from);
  while (at >= 0 && at <= last) {
    if (startsWith(data, needle, at)) return at;
    at = data.indexOf(first, at + 1);
  }
  return -1;
}

/** Whether `data` holds all of `needle` at `at`. */
export function startsWith(data: Uint8Array, needle: Uint8Array, at: number): boolean {
  for (let i = 0; i < needle.length; i++) if (data[at + i] !== needle[i]) return false;
  return true;
}

/** The parts, one after the other. */
export function concat(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A header's value with what a folded line adds to it (RFC 5322 §2.2.3). */
export function unfold(value: string, line: string): string {
  const more = line.trim();
  return value === "" || more === "" ? value + more : `${value} ${more}`;
}

/** Undoes base64, passing over line breaks and other foreign characters (RFC 2045 §6.8). Throws ParseError. */
export function decodeBase64(body: Uint8Array, at = 0): Bytes {
  const letters = decodeLoosely(body).replace(/=.*|[^A-Za-z0-9+/]+/gs, "");
  if (letters.length % 4 === 1) throw new ParseError("base64 cut short", at + body.length);
  return Uint8Array.from(atob(letters), (letter) => letter.charCodeAt(0));
}

function firstWrongByte(data: Uint8Array): number {
  const text = lenient.decode(data);
  let offset = 0;
  let done = 0;
  for (let at = text.indexOf("\ufffd"); at >= 0; at = text.indexOf("\ufffd", done)) {
    offset += byteLength(text.slice(done, at));
    // A replacement character that the sender wrote itself is no error.
    if (data[offset] !== 0xef || data[offset + 1] !== 0xbf || data[offset + 2] !== 0xbd) return offset;
    offset += 3;
    done = at + 1;
  }
  return offset;
}
