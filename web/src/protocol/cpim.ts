/**
 * CPIM: the envelope of every chat message, with addresses, ids and wishes around a body.
 *
 * Spec: RFC 3862; RFC 5438 §6 for the `imdn` headers; spelling as deployed handsets read it.
 * Promises: nothing unknown is lost, prefixes are resolved by their namespace, the body is never trimmed.
 */

import {
  type Bytes,
  byteLength,
  concat,
  decodeBase64,
  decodeLoosely,
  decodeUtf8,
  find,
  type Header,
  LF,
  unfold,
  utf8,
} from "./bytes";
import { ParseError, ProtocolError } from "./error";

export const CPIM_CONTENT_TYPE = "message/cpim";
export const IMDN_NAMESPACE = "urn:ietf:params:imdn";
/** Where a header without a prefix belongs (RFC 3862 §3.4). */
export const CPIM_NAMESPACE = "urn:ietf:params:cpim-headers:";
/** Stands for both parties of a one-to-one message, whose names are in the SIP head. */
export const ANONYMOUS = "sip:anonymous@anonymous.invalid";

/** Bytes of the message headers, and again of the content headers. */
export const MAX_HEAD = 16 * 1024;
/** Headers in either block. */
export const MAX_HEADERS = 128;
/** Bytes of an imdn.Message-ID. */
export const MAX_MESSAGE_ID = 256;

/** What may be asked for in imdn.Disposition-Notification, in the order we write it. */
export const DISPOSITIONS = ["positive-delivery", "negative-delivery", "display", "processing", "interworking"];

/** A parsed message. Values are text as sent; a header that is not there reads as the empty string, or undefined. */
export interface Cpim {
  /** An optional display name and a URI in angle brackets; see `addressUri`. */
  readonly from: string;
  /** The first To header. */
  readonly to: string;
  /** Every To header: several make a private message to some members of a group. */
  readonly recipients: readonly string[];
  /** RFC 3339 text. */
  readonly dateTime: string;
  /** The imdn.Message-ID (RFC 5438 §6.3): opaque, up to MAX_MESSAGE_ID bytes. */
  readonly messageId: string;
  /** The notifications the sender asks for (RFC 5438 §6.2), lower-cased, unknown ones included. */
  readonly dispositionNotification: ReadonlySet<string>;
  /** The message headers in their order, NS declarations included. */
  readonly headers: readonly Header[];
  /** Prefix and URI of each NS declaration. */
  readonly namespaces: readonly Header[];
  /** Type and subtype of the content in lower case, `text/plain` when unsaid (RFC 2045 §5.2). */
  readonly contentType: string;
  /** The MIME headers of the content. */
  readonly contentHeaders: readonly Header[];
  /**
   * The content to the last byte, Content-Transfer-Encoding undone.
   *
   * Content-length is not used to cut it: some senders count characters, and the carrier knows where it ends.
   */
  readonly body: Uint8Array;
  /** The body as UTF-8 text, U+FFFD for what is none. */
  readonly text: string;
  /** The first message header written with this name, prefix and all, in any case. */
  header(name: string): string | undefined;
  /** The first header `name` of the namespace `uri`, under whatever prefix the sender declared for it. */
  extension(uri: string, name: string): string | undefined;
}

export interface CpimParts {
  /** A bare URI is put in angle brackets, here and in `to`. */
  from: string;
  to: string;
  dateTime: string;
  messageId: string;
  /** What is asked for; nothing when empty or left out. */
  dispositionNotification?: readonly string[];
  contentType: string;
  body: Uint8Array;
  /** Further message headers, under prefixes that `namespaces` declares. */
  extra?: readonly Header[];
  /** Prefix and URI; that of `imdn` is always declared, since some clients look for it to know a notification. */
  namespaces?: readonly Header[];
  /** Between Content-type and Content-length. */
  contentHeaders?: readonly Header[];
}

// RFC 3862 §2.3: no control characters in a header; a tab is let pass, a CR only before LF.
// Control characters are what is looked for.
const FORBIDDEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)/;
const LF_LF = utf8("\n\n");
const LF_CR_LF = utf8("\n\r\n");

/**
 * Reads a message. CRLF or LF ends a line; names are compared without regard to case.
 *
 * Throws ParseError when a block of headers does not end, holds something else or is over its limits, or when the
 * base64 of the content is broken.
 */
export function parseCpim(data: Uint8Array): Cpim {
  const [contentStart, headers] = readBlock(data, 0);
  const [bodyStart, contentHeaders] = readBlock(data, contentStart);
  const { keys, namespaces } = resolve(headers);
  const all = (key: string): string[] => headers.filter((_, at) => keys[at] === key).map(([, value]) => value);
  const extension = (uri: string, name: string): string | undefined => headers[keys.indexOf(keyOf(uri, name))]?.[1];
  const own = (name: string): string => extension(CPIM_NAMESPACE, name) ?? "";
  const messageId = extension(IMDN_NAMESPACE, "Message-ID") ?? "";
  if (byteLength(messageId) > MAX_MESSAGE_ID) throw new ParseError(`Message-ID over ${MAX_MESSAGE_ID} bytes`);
  const encoding = first(contentHeaders, "Content-Transfer-Encoding") ?? "";
  const content = data.subarray(bodyStart);
  const body = encoding.toLowerCase() === "base64" ? decodeBase64(content, bodyStart) : content;
  return {
    from: own("From"),
    to: own("To"),
    recipients: all(keyOf(CPIM_NAMESPACE, "To")),
    dateTime: own("DateTime"),
    messageId,
    dispositionNotification: tokens(extension(IMDN_NAMESPACE, "Disposition-Notification") ?? ""),
    headers,
    namespaces,
    contentType: mediaType(first(contentHeaders, "Content-Type") ?? ""),
    contentHeaders,
    body,
    get text() {
      return decodeLoosely(body);
    },
    header: (name) => first(headers, name),
    extension,
  };
}

/**
 * Writes a message as deployed handsets read it: their header names, their spelling, their prefix `imdn.`.
 *
 * Empty values are left out. Throws ProtocolError when a value would break its header.
 */
export function buildCpim(parts: CpimParts): Bytes {
  const asked = parts.dispositionNotification ?? [];
  const wishes = [
    ...DISPOSITIONS.filter((token) => asked.includes(token)),
    ...asked.filter((token) => !DISPOSITIONS.includes(token)),
  ];
  const head: Header[] = [
    ["From", bracketed(parts.from)],
    ["To", bracketed(parts.to)],
    ["NS", `imdn <${IMDN_NAMESPACE}>`],
    ...(parts.namespaces ?? []).map(([prefix, uri]): Header => ["NS", `${prefix} <${uri}>`]),
    ["imdn.Message-ID", parts.messageId],
    ["DateTime", parts.dateTime],
    ["imdn.Disposition-Notification", wishes.join(", ")],
    ...(parts.extra ?? []),
  ];
  const content: Header[] = [
    ["Content-type", parts.contentType],
    ...(parts.contentHeaders ?? []),
    ["Content-length", String(parts.body.length)],
  ];
  return concat(utf8(`${written(head)}\r\n${written(content)}\r\n`), parts.body);
}

/** The URI of a From or To value: what stands in the last angle brackets, or the whole without them. */
export function addressUri(value: string): string {
  const opened = value.lastIndexOf("<");
  if (opened < 0) return value.trim();
  const closed = value.indexOf(">", opened);
  return value.slice(opened + 1, closed < 0 ? value.length : closed).trim();
}

/** Reads header lines up to a blank line; where the next block starts, and the headers. */
function readBlock(data: Uint8Array, start: number): [number, Header[]] {
  if (data[start] === LF) return [start + 1, []];
  if (data[start] === 0x0d && data[start + 1] === LF) return [start + 2, []];
  // The blank line is LF LF, or LF CR LF: the first of either, so that a sender's mixture does no harm.
  const limit = start + MAX_HEAD;
  let end = find(data, LF_CR_LF, start, limit);
  let following = end + 3;
  const bare = find(data, LF_LF, start, end < 0 ? limit : end + 1);
  if (bare >= 0) {
    end = bare;
    following = bare + 2;
  }
  if (end < 0) {
    const what = data.length <= limit ? "headers without a blank line" : `headers over ${MAX_HEAD} bytes`;
    throw new ParseError(what, Math.min(data.length, limit));
  }
  return [following, readHeaders(data.subarray(start, end), start)];
}

/** Reads header lines joined by line ends; the last has at most its CR left. */
function readHeaders(block: Uint8Array, start: number): Header[] {
  const text = decodeUtf8(block, "CPIM header", start).replace(/\r$/, "");
  const forbidden = text.search(FORBIDDEN);
  if (forbidden >= 0) {
    throw new ParseError("control character in a header", start + byteLength(text.slice(0, forbidden)));
  }
  const lines = text.split("\n");
  if (lines.length > MAX_HEADERS) throw new ParseError(`more than ${MAX_HEADERS} headers`, start);
  const headers: Header[] = [];
  let at = start;
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).trim();
    const last = headers.at(-1);
    if (line.startsWith(" ") || line.startsWith("\t")) {
      // RFC 5322 §2.2.3: a content header may be folded; liberally, so may a message header.
      if (last === undefined) throw new ParseError("a header block that begins with a folded line", at);
      headers[headers.length - 1] = [last[0], unfold(last[1], line)];
    } else if (name !== "") {
      headers.push([name, line.slice(colon + 1).trim()]);
    } else {
      throw new ParseError("a header line without a name", at);
    }
    at += byteLength(line) + 1;
  }
  return headers;
}

/** The key of each header, with the URI of an undeclared prefix empty, and the declarations. */
function resolve(headers: readonly Header[]): { keys: string[]; namespaces: Header[] } {
  const namespaces = headers.filter(isDeclaration).map(([, value]) => declaration(value));
  // RFC 3862 §3.4: a declaration serves the headers after it. Liberally, a prefix used before its declaration means
  // the first one, and an undeclared `imdn.` means what it always means.
  const prefixes = new Map<string, string>([["imdn", IMDN_NAMESPACE]]);
  for (const [prefix, uri] of namespaces.toReversed()) prefixes.set(prefix.toLowerCase(), uri);
  const keys = headers.map((header) => {
    if (isDeclaration(header)) {
      const [prefix, uri] = declaration(header[1]);
      prefixes.set(prefix.toLowerCase(), uri);
    }
    const dot = header[0].indexOf(".");
    // Deviates: an NS without a prefix does not move `From` elsewhere, since clients read that name literally.
    if (dot < 0) return keyOf(CPIM_NAMESPACE, header[0]);
    return keyOf(prefixes.get(header[0].slice(0, dot).toLowerCase()) ?? "", header[0].slice(dot + 1));
  });
  return { keys, namespaces };
}

function keyOf(uri: string, name: string): string {
  return `${uri} ${name.toLowerCase()}`;
}

function isDeclaration([name]: Header): boolean {
  return name.toLowerCase() === "ns";
}

/** Reads `prefix <uri>`; the prefix may be missing. */
function declaration(value: string): Header {
  const [prefix = "", uri = ""] = value.split("<", 2);
  return [prefix.trim(), (uri.split(">", 1)[0] ?? "").trim()];
}

function tokens(value: string): Set<string> {
  return new Set(
    value
      .split(",")
      .map(mainPart)
      .filter((token) => token !== ""),
  );
}

function mediaType(value: string): string {
  return value === "" ? "text/plain" : mainPart(value);
}

function mainPart(value: string): string {
  return (value.split(";", 1)[0] ?? "").trim().toLowerCase();
}

function first(headers: readonly Header[], name: string): string | undefined {
  const wanted = name.toLowerCase();
  return headers.find(([candidate]) => candidate.toLowerCase() === wanted)?.[1];
}

function written(headers: readonly Header[]): string {
  let block = "";
  for (const [name, value] of headers) {
    const line = `${name}: ${value}`;
    if (line.includes("\n") || FORBIDDEN.test(line)) throw new ProtocolError("a CPIM header with control characters");
    if (value !== "") block += `${line}\r\n`;
  }
  return block;
}

function bracketed(address: string): string {
  return address.includes("<") ? address : `<${address}>`;
}
