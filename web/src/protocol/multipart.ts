/**
 * Multipart bodies: several bodies in one, each with its own headers.
 *
 * Spec: RFC 2046 §5.1, RFC 2045 §6.8; RFC 5621 for their use in SIP.
 * Promises: part bodies are byte-exact; what `buildMultipart` writes, `parseMultipart` gives back; linear time.
 */

import { type Bytes, concat, decodeBase64, decodeUtf8, find, type Header, LF, unfold, utf8 } from "./bytes";
import { ParseError, ProtocolError } from "./error";

/** Parts of one multipart body. */
export const MAX_PARTS = 32;
/** Multipart bodies inside each other, the outermost counted. */
export const MAX_NESTING = 4;
/** Bytes of the headers of one part. */
export const MAX_PART_HEAD = 8 * 1024;
/** Headers of one part. */
export const MAX_PART_HEADERS = 64;
/** Characters of a boundary (RFC 2046 §5.1.1). */
export const MAX_BOUNDARY = 70;
/** Boundaries `buildMultipart` asks for before it gives up. */
export const BOUNDARY_ATTEMPTS = 8;

/** One body part: its headers in order, as sent, and its body to the byte. */
export interface Part {
  readonly headers: readonly Header[];
  readonly body: Uint8Array;
}

/** A part with Content-Type, then `headers`, then Content-Length, as joyn clients write it. */
export function makePart(contentType: string, body: Uint8Array, headers: readonly Header[] = []): Part {
  return { headers: [["Content-Type", contentType], ...headers, ["Content-Length", String(body.length)]], body };
}

/** The first header of this name in any case; empty when there is none. */
function partHeader(part: Part, name: string): string {
  const wanted = name.toLowerCase();
  return part.headers.find(([candidate]) => candidate.toLowerCase() === wanted)?.[1] ?? "";
}

/** Type and subtype in lower case, `text/plain` when unsaid (RFC 2046 §5.1). */
export function partType(part: Part): string {
  const type = partHeader(part, "Content-Type").split(";", 1)[0] ?? "";
  return type.trim().toLowerCase() || "text/plain";
}

/** The body with Content-Transfer-Encoding base64 undone, else as sent. Throws ParseError if it is broken. */
export function decodedPart(part: Part): Uint8Array {
  const encoding = partHeader(part, "Content-Transfer-Encoding").toLowerCase();
  return encoding === "base64" ? decodeBase64(part.body) : part.body;
}

/**
 * Splits a body by the boundary that its Content-Type header names; preamble and epilogue are left out.
 *
 * Throws ParseError when there is no boundary, no closing delimiter, or more than the limits allow; a
 * Content-Length within a part is not believed.
 */
export function parseMultipart(contentType: string, body: Uint8Array): Part[] {
  const parts: Part[] = [];
  let start = -1;
  for (const [before, after, closing] of delimiters(body, boundaryOf(contentType))) {
    if (start >= 0) {
      if (parts.length === MAX_PARTS) throw new ParseError(`more than ${MAX_PARTS} parts`, start);
      // An empty part without headers ends where the delimiter's own line break begins.
      parts.push(readPart(body, start, Math.max(start, before)));
    }
    if (closing) return parts;
    start = after;
  }
  throw new ParseError("multipart body without closing delimiter", body.length);
}

/** Every part that is not itself multipart, depth first. Throws ParseError, also past MAX_NESTING. */
export function flattenMultipart(contentType: string, body: Uint8Array, depth = 1): Part[] {
  if (depth > MAX_NESTING) throw new ParseError(`multipart nested deeper than ${MAX_NESTING}`);
  return parseMultipart(contentType, body).flatMap((part) =>
    partType(part).startsWith("multipart/")
      ? flattenMultipart(partHeader(part, "Content-Type"), part.body, depth + 1)
      : [part],
  );
}

/**
 * The Content-Type header and the body that holds `parts`.
 *
 * `makeBoundary` gives unguessable names; one that occurs in a body is passed over. Throws ProtocolError when a
 * boundary or a header could not be read back, or none will do.
 */
export function buildMultipart(
  parts: readonly Part[],
  makeBoundary: () => string,
  subtype = "mixed",
): { contentType: string; body: Bytes } {
  if (parts.length < 1 || parts.length > MAX_PARTS)
    throw new ProtocolError(`a multipart body of ${parts.length} parts`);
  const boundary = freeBoundary(parts, makeBoundary);
  const pieces: Uint8Array[] = [];
  for (const part of parts) {
    const lines = part.headers.map(([name, value]) => `${name}: ${value}`);
    if (lines.some((line) => /[\r\n]/.test(line))) throw new ProtocolError("a part header with a line break");
    pieces.push(utf8([`--${boundary}`, ...lines, "", ""].join("\r\n")), part.body, utf8("\r\n"));
  }
  return {
    contentType: `multipart/${subtype};boundary=${boundary}`,
    body: concat(...pieces, utf8(`--${boundary}--\r\n`)),
  };
}

/** The boundary parameter of a Content-Type header. Throws ParseError when there is none or it is too long. */
export function boundaryOf(contentType: string): string {
  let at = contentType.indexOf(";");
  while (at >= 0) {
    const equals = contentType.indexOf("=", at);
    if (equals < 0) break;
    const name = contentType.slice(at + 1, equals);
    const opened = equals + 1 + (/^\s*/.exec(contentType.slice(equals + 1))?.[0].length ?? 0);
    let value: string;
    if (contentType[opened] === '"') {
      const closed = contentType.indexOf('"', opened + 1);
      if (closed < 0) throw new ParseError("a quoted parameter without end", opened);
      value = contentType.slice(opened + 1, closed);
      at = contentType.indexOf(";", closed);
    } else {
      at = contentType.indexOf(";", equals);
      value = contentType.slice(equals + 1, at < 0 ? contentType.length : at).trim();
    }
    if (name.trim().toLowerCase() !== "boundary") continue;
    // RFC 2046 §5.1.1: a boundary does not end in white space.
    if (value.length > MAX_BOUNDARY || !/^[ -~]*[!-~]$/.test(value)) {
      throw new ParseError(`a boundary is 1 to ${MAX_BOUNDARY} ASCII characters`, equals + 1);
    }
    return value;
  }
  throw new ParseError("Content-Type without a boundary", contentType.length);
}

function freeBoundary(parts: readonly Part[], makeBoundary: () => string): string {
  for (let attempt = 0; attempt < BOUNDARY_ATTEMPTS; attempt++) {
    const boundary = makeBoundary();
    if (boundary.length > MAX_BOUNDARY || !/^[A-Za-z0-9]+$/.test(boundary)) {
      throw new ProtocolError(`a boundary is 1 to ${MAX_BOUNDARY} letters and digits`);
    }
    const delimiter = utf8(`--${boundary}`);
    if (parts.every((part) => find(part.body, delimiter, 0) < 0)) return boundary;
  }
  throw new ProtocolError("no boundary that its parts do not contain");
}

/** Each delimiter line: where the content before it ends, where what follows starts, whether it closes. */
function* delimiters(body: Uint8Array, boundary: string): Generator<[number, number, boolean]> {
  const delimiter = utf8(`--${boundary}`);
  for (let found = find(body, delimiter, 0); found >= 0;) {
    const end = found + delimiter.length;
    if (found === 0 || body[found - 1] === LF) {
      const closing = body[end] === 0x2d && body[end + 1] === 0x2d;
      let after = closing ? end + 2 : end;
      while (body[after] === 0x20 || body[after] === 0x09) after++;
      if (body[after] === 0x0d && body[after + 1] === LF) after++;
      // A closing delimiter may be the last thing there is; no other may. A longer word, such as another boundary
      // that begins like ours, is no delimiter.
      if (body[after] === LF || (closing && after === body.length)) {
        let before = Math.max(found - 1, 0);
        if (body[before - 1] === 0x0d) before--;
        yield [before, after + 1, closing];
      }
    }
    found = find(body, delimiter, end);
  }
}

/** Reads headers up to a blank line, and takes the rest. */
function readPart(body: Uint8Array, start: number, end: number): Part {
  const headers: Header[] = [];
  const limit = Math.min(end, start + MAX_PART_HEAD);
  let at = start;
  while (at < end) {
    const newline = body.indexOf(LF, at);
    if (newline < 0 || newline >= limit) {
      throw new ParseError(limit === end ? "part headers without a blank line" : "part headers too long", at);
    }
    const line = decodeUtf8(body.subarray(at, newline), "part header", at).replace(/\r$/, "");
    if (line === "") return { headers, body: body.subarray(newline + 1, end) };
    readHeader(line, at, headers);
    at = newline + 1;
  }
  // RFC 2046 §5.1.1: the blank line may be missing when there is no body.
  return { headers, body: body.subarray(end, end) };
}

/** Adds one header line to `headers`, or a folded line to the last of them. */
function readHeader(line: string, at: number, headers: Header[]): void {
  if (line.includes("\r") || line.includes("\0")) throw new ParseError("control character in a part header", at);
  const last = headers.at(-1);
  if ((line[0] === " " || line[0] === "\t") && last !== undefined) {
    headers[headers.length - 1] = [last[0], unfold(last[1], line)];
    return;
  }
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0)).trim();
  if (name === "") throw new ParseError("a part header line without a name", at);
  if (headers.length === MAX_PART_HEADERS) throw new ParseError(`more than ${MAX_PART_HEADERS} part headers`, at);
  headers.push([name, line.slice(colon + 1).trim()]);
}
