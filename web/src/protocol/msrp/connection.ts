/**
 * From bytes to MSRP frames, however a stream is cut, or one WebSocket message at a time.
 *
 * Spec: RFC 4975 §5.1 (framing), §7.3 (receiving), §9 (grammar); RFC 7977 (one chunk, one WebSocket message).
 * Pure; linear in the bytes received and bounded in memory: a long body is handed on in pieces.
 */

import { decodeUtf8, find, startsWith, utf8 } from "../bytes";
import { ParseError } from "../error";
import { type Continuation, type Frame, HEAD_MAX, parseHead, TRANSACTION_ID_MAX } from "./chunk";

/** Bytes of body in one Request at most; the rest of the chunk follows in further ones. */
export const PIECE = 65536;
/** Bytes of an end-line, with the line breaks before and after. */
export const END_LINE_MAX = 2 + 7 + TRANSACTION_ID_MAX + 1 + 2;
/** Bytes held between two calls of `Framer.receive` at most. */
export const BUFFERED_MAX = 2 + PIECE + END_LINE_MAX;

const MSRP = utf8("MSRP ");
const CRLF = utf8("\r\n");
const BLANK = utf8("\r\n\r\n");
const DASHES = utf8("\r\n-------");
const MORE = -1;

/** The stream is not MSRP from `at` on, counted in bytes from its beginning; `frames` came before in this call. */
export class FramingError extends ParseError {
  override readonly name = "FramingError";

  constructor(
    what: string,
    at: number,
    readonly frames: readonly Frame[],
  ) {
    super(what, at);
  }
}

/**
 * Cuts one connection's bytes into frames (RFC 4975 §5.1).
 *
 * A body longer than PIECE comes as several Requests of one transaction: each but the last has `partial` set, the
 * continuation '+' and the byte range of the piece itself; the last has the flag of the wire, and its range ends
 * where the sender said it would, so that a false claim still shows. Bodies are copies: `data` may be reused.
 */
export class Framer {
  #store = new Uint8Array(0);
  #buffered = 0;
  #offset = 0; // of the first unread byte, in the stream
  #scanned = 0; // unread bytes known to hold no end of a head, or of a body
  #open: Frame | null = null; // the head whose body is being read
  #endLine = DASHES;
  #lead = 0; // 2 while the line break that ends the head is still in front of the body
  #start = 1; // position in the message of the next byte of body
  #broken: ParseError | null = null;

  /** Bytes held back until more come; never above BUFFERED_MAX. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Whether the stream may end here: no frame is begun and unfinished. */
  get idle(): boolean {
    return this.#buffered === 0 && this.#open === null;
  }

  /**
   * The frames that `data` completes.
   *
   * Throws FramingError (a ParseError) at the first frame that is none, and from then on at every call: where the
   * next frame starts is not known any more, so the connection is to be closed.
   */
  receive(data: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    if (this.#broken !== null) throw new FramingError(this.#broken.what, this.#broken.at, frames);
    const source = this.#buffered === 0 ? data : this.#append(data);
    let at = 0;
    try {
      while (at < source.length) {
        const after = this.#open === null ? this.#head(source, at, frames) : this.#body(this.#open, source, at, frames);
        if (after === MORE) break;
        at = after;
      }
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#broken = error;
      this.#buffered = 0;
      throw new FramingError(error.what, error.at, frames);
    }
    this.#keep(source, at);
    this.#offset += at;
    return frames;
  }

  /** The bytes held back, with `data` after them. The store doubles, so that small steps cost no more than great ones. */
  #append(data: Uint8Array): Uint8Array {
    const size = this.#buffered + data.length;
    if (size > this.#store.length) {
      const larger = new Uint8Array(Math.max(size, 2 * this.#store.length));
      larger.set(this.#store.subarray(0, this.#buffered));
      this.#store = larger;
    }
    this.#store.set(data, this.#buffered);
    this.#buffered = size;
    return this.#store.subarray(0, size);
  }

  #keep(source: Uint8Array, at: number): void {
    if (source.buffer === this.#store.buffer) {
      if (at > 0) this.#store.copyWithin(0, at, source.length);
      this.#buffered = source.length - at;
    } else if (at < source.length) {
      this.#append(source.subarray(at));
    }
    // What a large message needed is not kept for the small ones after it.
    if (this.#buffered === 0 && this.#store.length > END_LINE_MAX) this.#store = new Uint8Array(0);
  }

  /** Reads a head and, when all of it is there, its body; where to go on, or MORE. */
  #head(source: Uint8Array, at: number, frames: Frame[]): number {
    const seen = source.subarray(at, at + MSRP.length);
    if (!startsWith(MSRP, seen, 0)) throw new ParseError("first line is not MSRP", this.#offset + at);
    // The head ends at a blank line or, without a body, at the end-line; a body holds neither its own end-line nor,
    // nearly always, any other, so the first dashes are the end of the frame.
    const dashes = find(source, DASHES, at + this.#scanned);
    const blank = find(source, BLANK, at + this.#scanned, dashes < 0 ? source.length : dashes + 2);
    const end = blank < 0 ? dashes : blank;
    if ((end < 0 ? source.length - DASHES.length : end) > at + HEAD_MAX) {
      throw new ParseError(`head longer than ${HEAD_MAX} bytes`, this.#offset + at + HEAD_MAX);
    }
    if (end < 0) {
      this.#scanned = Math.max(0, source.length - at - DASHES.length + 1);
      return MORE;
    }
    const stop = dashes < 0 ? -1 : find(source, CRLF, dashes + 9, dashes + END_LINE_MAX);
    if (blank < 0 && stop < 0) {
      if (source.length >= dashes + END_LINE_MAX) throw new ParseError("end-line expected", this.#offset + dashes);
      this.#scanned = dashes - at;
      return MORE;
    }
    this.#scanned = 0;
    const text = decodeUtf8(source.subarray(at, end), "MSRP head", this.#offset + at);
    const frame = parseHead(text, this.#offset + at);
    const name = utf8(frame.transactionId);
    const own = stop === dashes + 10 + name.length && startsWith(source, name, dashes + 9);
    const flag = own ? flagOf(source[stop - 1]) : null;
    if (flag !== null && dashes - end <= 4 + PIECE) {
      const body = blank >= 0 && blank < dashes - 2 ? source.slice(blank + 4, dashes) : null;
      frames.push(finish(frame, body, flag, this.#offset + (blank < 0 ? end : end + 2)));
      return stop + 2;
    }
    if (blank < 0) throw new ParseError("end-line of another transaction", this.#offset + dashes);
    this.#open = frame;
    this.#endLine = utf8(`\r\n-------${frame.transactionId}`);
    this.#lead = 2;
    this.#start = frame.kind === "request" && frame.byteRange !== null ? frame.byteRange[0] : 1;
    return blank + 2;
  }

  /** Reads the next piece of the open frame's body; where to go on, or MORE. */
  #body(frame: Frame, source: Uint8Array, at: number, frames: Frame[]): number {
    const length = this.#endLine.length;
    const from = at + this.#lead;
    // An end-line that starts here or before belongs to this piece.
    const last = from + PIECE;
    let found = find(source, this.#endLine, at + this.#scanned, last + length);
    while (found >= 0) {
      const stop = found + length;
      if (source.length < stop + 3) {
        this.#scanned = found - at;
        return MORE;
      }
      const flag = flagOf(source[stop]);
      if (flag !== null && startsWith(source, CRLF, stop + 1)) {
        frames.push(this.#close(frame, found < from ? null : source.slice(from, found), flag, at));
        return stop + 3;
      }
      // A longer id that begins with ours: part of the body.
      found = find(source, this.#endLine, found + 2, last + length);
    }
    if (source.length < last + length) {
      this.#scanned = Math.max(0, source.length - at - length + 1);
      return MORE;
    }
    if (frame.kind !== "request") throw new ParseError("a response has no body", this.#offset + at);
    const end = this.#start + PIECE - 1;
    const body = source.slice(from, last);
    const byteRange = [this.#start, end, frame.byteRange?.[2] ?? null] as const;
    frames.push({ ...frame, byteRange, body, continuation: "+", partial: true });
    this.#start = end + 1;
    this.#lead = 0;
    this.#scanned = 0;
    return last;
  }

  #close(frame: Frame, body: Uint8Array | null, flag: Continuation, at: number): Frame {
    if (this.#lead === 0 && frame.kind === "request") {
      const [, end, total] = frame.byteRange ?? [1, null, null];
      frame.byteRange = [this.#start, end, total];
    }
    this.#open = null;
    this.#scanned = 0;
    return finish(frame, body, flag, this.#offset + at);
  }
}

/**
 * The chunk in one WebSocket message, text or binary; a body longer than PIECE comes in pieces as from a Framer.
 *
 * Throws ParseError when the message does not hold one chunk, all of it and nothing else (RFC 7977).
 */
export function parseWebSocketMessage(data: Uint8Array | string): Frame[] {
  const framer = new Framer();
  const frames = framer.receive(typeof data === "string" ? utf8(data) : data);
  const whole = frames.filter((frame) => frame.kind === "response" || !frame.partial).length;
  if (whole !== 1 || !framer.idle) throw new ParseError("a WebSocket message that is not one MSRP chunk");
  return frames;
}

function flagOf(byte: number | undefined): Continuation | null {
  return byte === 0x24 ? "$" : byte === 0x2b ? "+" : byte === 0x23 ? "#" : null;
}

function finish(frame: Frame, body: Uint8Array | null, continuation: Continuation, at: number): Frame {
  if (frame.kind === "request") return Object.assign(frame, { body, continuation });
  if (body !== null || continuation !== "$") throw new ParseError("a response has no body and ends in '$'", at);
  return frame;
}
