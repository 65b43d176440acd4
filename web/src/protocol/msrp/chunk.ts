/**
 * One MSRP request or response: the values, their bytes, and the reading of a head.
 *
 * Spec: RFC 4975 §5.1, §7.1, §7.2, §9.
 * Pure; paths stay text until somebody asks for more (`parsePath`).
 */

import { type Bytes, byteLength, concat, find, type Header, utf8 } from "../bytes";
import { ParseError, ProtocolError } from "../error";

/** Characters of the first line. */
export const START_LINE_MAX = 512;
/** Characters of one header line; long enough for a path of many relays. */
export const HEADER_LINE_MAX = 8192;
/** Header lines of one frame. */
export const HEADERS_MAX = 64;
/** Bytes from the first line to the last header. */
export const HEAD_MAX = 16384;
/** Twice what RFC 4975 §9 allows. */
export const TRANSACTION_ID_MAX = 64;
/** Digits of a number in Byte-Range: as many as a JavaScript number holds exactly, a petabyte. */
export const NUMBER_DIGITS_MAX = 15;
/** Transaction ids tried against one body before the id maker itself is blamed. */
export const ID_ATTEMPTS = 16;

/** First byte (counted from 1), last byte (inclusive), total; null is '*'. */
export type ByteRange = readonly [first: number, end: number | null, total: number | null];

/** What an unreadable Byte-Range becomes: no legal range starts at 0, so the session answers 400 by itself. */
export const BAD_RANGE: ByteRange = [0, 0, 0];

export type FailureReport = "yes" | "no" | "partial";
export type Continuation = "$" | "+" | "#";

/** What we write after a status code (RFC 4975 §10). */
export const COMMENTS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  403: "Forbidden",
  408: "Request Timeout",
  413: "Stop Sending",
  415: "Unsupported Media Type",
  423: "Out of Bounds",
  481: "Session Does Not Exist",
  501: "Method Not Implemented",
  506: "Session Already Bound",
};

/** A SEND, REPORT, AUTH or a method we do not know (RFC 4975 §7.1). */
export interface Request {
  kind: "request";
  transactionId: string;
  method: string;
  /** The text of the headers. */
  toPath: string;
  fromPath: string;
  /** Empty when absent, as is `contentType`. */
  messageId: string;
  byteRange: ByteRange | null;
  contentType: string;
  successReport: boolean;
  failureReport: FailureReport;
  /** Every header without a field of its own, in order. */
  headers: readonly Header[];
  /** null for a frame without a body; a body may be empty. */
  body: Uint8Array | null;
  continuation: Continuation;
  /** A piece of a chunk too long to be held: more of the same transaction follows (see `Framer`). */
  partial: boolean;
}

/** The answer to a request (RFC 4975 §7.2). */
export interface Response {
  kind: "response";
  transactionId: string;
  status: number;
  comment: string;
  toPath: string;
  fromPath: string;
  /** As WWW-Authenticate or Use-Path, in order. */
  headers: readonly Header[];
}

export type Frame = Request | Response;

type RequestFields = Pick<Request, "transactionId" | "method" | "toPath" | "fromPath"> & Partial<Request>;

const FIELDS = [
  "To-Path",
  "From-Path",
  "Message-ID",
  "Byte-Range",
  "Content-Type",
  "Success-Report",
  "Failure-Report",
] as const;
type Field = (typeof FIELDS)[number];
// Header names are ABNF literals and so match in any case.
const REQUEST_FIELDS = new Map<string, Field>(FIELDS.map((field) => [field.toLowerCase(), field]));
const RESPONSE_FIELDS = new Map<string, Field>(FIELDS.slice(0, 2).map((field) => [field.toLowerCase(), field]));
const IDENT = /^[A-Za-z0-9][A-Za-z0-9.\-+%=]*$/;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const RANGE = new RegExp(`^(N)-(N|\\*)/(N|\\*)$`.replaceAll("N", `[0-9]{1,${NUMBER_DIGITS_MAX}}`));
const DASHES = utf8("-------");

/** A request with what is usual for what is not given. */
export function makeRequest(fields: RequestFields): Request {
  return {
    kind: "request",
    messageId: "",
    byteRange: null,
    contentType: "",
    successReport: false,
    failureReport: "yes",
    headers: [],
    body: null,
    continuation: "$",
    partial: false,
    ...fields,
  };
}

/** The response to `request`, paths swapped. Throws ProtocolError for a REPORT, which is never answered. */
export function makeResponse(
  request: Request,
  status: number,
  comment = "",
  headers: readonly Header[] = [],
): Response {
  if (request.method === "REPORT") throw new ProtocolError("RFC 4975 §7.1.2: a REPORT is never answered");
  return {
    kind: "response",
    transactionId: request.transactionId,
    status,
    comment: comment || (COMMENTS[status] ?? ""),
    // RFC 4975 §7.2: the answer to a SEND goes one hop back only; any other goes back the whole way.
    toPath: request.method === "SEND" ? firstHop(request.fromPath) : request.fromPath,
    fromPath: firstHop(request.toPath),
    headers,
  };
}

/** The first of the other headers called `name`, in any case. */
export function frameHeader(frame: Frame, name: string): string | undefined {
  const wanted = name.toLowerCase();
  return frame.headers.find(([candidate]) => candidate.toLowerCase() === wanted)?.[1];
}

/** The nearest hop of a path. */
export function firstHop(path: string): string {
  return path.split(" ", 1)[0] ?? "";
}

/**
 * The bytes of a frame, which make one WebSocket message (RFC 7977).
 *
 * Throws ProtocolError if a value holds a line break. The caller sees to it that the body does not contain the
 * end-line: see `freeTransactionId`.
 */
export function emitFrame(frame: Frame): Bytes {
  const own: Header[] = [
    ["To-Path", frame.toPath],
    ["From-Path", frame.fromPath],
  ];
  let start = `MSRP ${frame.transactionId} `;
  if (frame.kind === "response") {
    start += String(frame.status).padStart(3, "0") + (frame.comment === "" ? "" : ` ${frame.comment}`);
    const head = joined(start, [...own, ...frame.headers]);
    return utf8(`${head}\r\n-------${frame.transactionId}$\r\n`);
  }
  start += frame.method;
  if (frame.messageId !== "") own.push(["Message-ID", frame.messageId]);
  if (frame.successReport) own.push(["Success-Report", "yes"]);
  if (frame.failureReport !== "yes") own.push(["Failure-Report", frame.failureReport]);
  if (frame.byteRange !== null) own.push(["Byte-Range", formatRange(frame.byteRange)]);
  own.push(...frame.headers);
  // RFC 4975 §9: Content-Type is the last header before the body.
  if (frame.contentType !== "") own.push(["Content-Type", frame.contentType]);
  const head = joined(start, own);
  const end = `\r\n-------${frame.transactionId}${frame.continuation}\r\n`;
  return frame.body === null ? utf8(head + end) : concat(utf8(`${head}\r\n\r\n`), frame.body, utf8(end));
}

/**
 * An id from `makeId` whose end-line does not occur in `body` (RFC 4975 §7.1).
 *
 * Throws ProtocolError when ID_ATTEMPTS ids in a row occur: then they are not random.
 */
export function freeTransactionId(makeId: () => string, body: Uint8Array | null): string {
  if (body === null || find(body, DASHES, 0) < 0) return makeId();
  for (let attempt = 0; attempt < ID_ATTEMPTS; attempt++) {
    const id = makeId();
    // Some peers look for the dashes without the line break before them: neither may occur.
    if (find(body, utf8(`-------${id}`), 0) < 0) return id;
  }
  throw new ProtocolError("every transaction id made occurs in the body");
}

/** Reads `1-2048/5000`, '*' for an unknown end or total; BAD_RANGE when it is anything else. */
export function parseRange(text: string): ByteRange {
  const found = RANGE.exec(text);
  if (found === null) return BAD_RANGE;
  const number = (digits: string | undefined): number | null => (digits === "*" ? null : Number(digits));
  return [Number(found[1]), number(found[2]), number(found[3])];
}

/** The text of a Byte-Range. */
function formatRange([first, end, total]: ByteRange): string {
  return `${first}-${end ?? "*"}/${total ?? "*"}`;
}

/**
 * Reads first line and headers, without the blank line; `at` is the offset of `text` in its stream.
 *
 * Throws ParseError. A request has no body yet and the continuation '$'.
 */
export function parseHead(text: string, at = 0): Frame {
  const control = text.search(/\0|\r(?!\n)|(?<!\r)\n/);
  if (control >= 0) throw new ParseError("stray control character", at + byteLength(text.slice(0, control)));
  const lines = text.split("\r\n");
  const start = lines[0] ?? "";
  if (start.length > START_LINE_MAX) {
    throw new ParseError(`first line longer than ${START_LINE_MAX} characters`, at);
  }
  const long = lines.findIndex((line) => line.length > HEADER_LINE_MAX);
  if (long >= 0) throw new ParseError(`header longer than ${HEADER_LINE_MAX} characters`, offsetOf(lines, long, at));
  if (lines.length - 1 > HEADERS_MAX) {
    throw new ParseError(`more than ${HEADERS_MAX} headers`, offsetOf(lines, HEADERS_MAX + 1, at));
  }
  const found = /^MSRP ([^ ]*) ([^ ]*)(?: (.*))?$/s.exec(start);
  if (found === null) throw new ParseError("first line is not MSRP", at);
  const [, transactionId = "", word = "", comment] = found;
  if (transactionId.length > TRANSACTION_ID_MAX || !IDENT.test(transactionId)) {
    throw new ParseError("transaction id expected", at + 5);
  }
  if (/^[0-9]{3}$/.test(word)) {
    const { known, headers } = readHeaders(lines, RESPONSE_FIELDS, at);
    const paths = readPaths(known, text, at);
    return { kind: "response", transactionId, status: Number(word), comment: comment ?? "", ...paths, headers };
  }
  if (comment !== undefined || !/^[A-Z]+$/.test(word)) {
    throw new ParseError("method or status code expected", at + 6 + transactionId.length);
  }
  const { known, headers } = readHeaders(lines, REQUEST_FIELDS, at);
  const range = known.get("Byte-Range");
  const failure = known.get("Failure-Report")?.toLowerCase();
  return makeRequest({
    transactionId,
    method: word,
    ...readPaths(known, text, at),
    messageId: known.get("Message-ID") ?? "",
    byteRange: range === undefined ? null : parseRange(range),
    contentType: known.get("Content-Type") ?? "",
    successReport: known.get("Success-Report")?.toLowerCase() === "yes",
    // A word we do not know is read as the default: the sender then hears of failures.
    failureReport: failure === "no" || failure === "partial" ? failure : "yes",
    headers,
  });
}

function readHeaders(
  lines: readonly string[],
  fields: ReadonlyMap<string, Field>,
  at: number,
): { known: Map<Field, string>; headers: Header[] } {
  const known = new Map<Field, string>();
  const headers: Header[] = [];
  for (const [number, line] of lines.entries()) {
    if (number === 0) continue; // the first line
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    if (!NAME.test(name)) throw new ParseError("header expected", offsetOf(lines, number, at));
    const value = trimBlanks(line.slice(colon + 1));
    const field = fields.get(name.toLowerCase());
    if (field === undefined) headers.push([name, value]);
    else if (known.has(field)) throw new ParseError(`${field} twice`, offsetOf(lines, number, at));
    else known.set(field, value);
  }
  return { known, headers };
}

function readPaths(known: ReadonlyMap<Field, string>, text: string, at: number): Pick<Frame, "toPath" | "fromPath"> {
  const toPath = known.get("To-Path");
  const fromPath = known.get("From-Path");
  if (!toPath || !fromPath) throw new ParseError("To-Path or From-Path missing", at + byteLength(text));
  return { toPath, fromPath };
}

function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (text[start] === " " || text[start] === "\t") start++;
  while (end > start && (text[end - 1] === " " || text[end - 1] === "\t")) end--;
  return text.slice(start, end);
}

function offsetOf(lines: readonly string[], number: number, at: number): number {
  return lines.slice(0, number).reduce((sum, line) => sum + byteLength(line) + 2, at);
}

function joined(start: string, headers: readonly Header[]): string {
  const lines = [start, ...headers.map(([name, value]) => `${name}: ${value}`)];
  if (lines.some((line) => /[\r\n]/.test(line))) {
    throw new ProtocolError("a header value with a line break would be read as a header of its own");
  }
  return lines.join("\r\n");
}
