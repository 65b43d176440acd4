/**
 * MSRP URIs and the paths made of them.
 *
 * Spec: RFC 4975 §6 (URIs, §6.1 comparison), RFC 7977 §5 (the `ws` transport).
 * Pure: text in, values out; anything else is a ParseError with the offset of the first wrong character.
 */

import { ParseError } from "../error";

/** Characters of one URI. */
export const URI_MAX = 1024;
/** URIs in one To-Path or From-Path: far above any chain of relays in use. */
export const HOPS_MAX = 16;

/** Where one end of an MSRP session is reached (RFC 4975 §6). */
export interface MsrpUri {
  readonly scheme: "msrp" | "msrps";
  readonly userinfo: string;
  /** An IPv6 address is held without its brackets. */
  readonly host: string;
  readonly port: number | null;
  readonly sessionId: string;
  /** `tcp`, `ws`, or others as they came, in lower case. */
  readonly transport: string;
  /** Name and value; null for a name alone. */
  readonly parameters: readonly (readonly [string, string | null])[];
}

const USERINFO = /(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*/y;
const HOST = /[A-Za-z0-9][A-Za-z0-9\-._]*/y;
const SESSION_ID = /[A-Za-z0-9\-._~+=/%]+/y;
const TOKEN = /[A-Za-z0-9\-.!%*_+`'~]+/y;
const VALUE = /[\x21-\x3a\x3c-\x7e]*/y;

/** A URI with what is usual for what is not given; of a browser, say, `{host, sessionId, transport: "ws"}`. */
export function makeMsrpUri(fields: Pick<MsrpUri, "host"> & Partial<MsrpUri>): MsrpUri {
  return { scheme: "msrp", userinfo: "", port: null, sessionId: "", transport: "tcp", parameters: [], ...fields };
}

/** Reads one URI. Throws ParseError. */
export function parseMsrpUri(text: string): MsrpUri {
  if (text.length > URI_MAX) throw new ParseError(`URI longer than ${URI_MAX} characters`, URI_MAX);
  const start = /^(msrps?):\/\//i.exec(text);
  if (start === null) throw new ParseError("not an msrp or msrps URI");
  let at = start[0].length;
  // A user part may hold ';' but no '/', so it ends at the last '@' before the first '/'.
  const slash = until(text, "/", at);
  const mark = text.slice(at, slash).lastIndexOf("@");
  let userinfo = "";
  if (mark >= 0) {
    userinfo = whole(USERINFO, text, at, at + mark, "user part");
    at += mark + 1;
  }
  const [host, hostEnd] = readHost(text, at);
  const [port, portEnd] = readPort(text, hostEnd);
  at = portEnd;
  let sessionId = "";
  if (text[at] === "/") {
    const end = until(text, ";", at);
    sessionId = whole(SESSION_ID, text, at + 1, end, "session-id");
    at = end;
  }
  const scheme = start[1]?.length === 5 ? "msrps" : "msrp";
  return { scheme, userinfo, host, port, sessionId, ...readParameters(text, at) };
}

/** The text of a URI. */
export function formatMsrpUri(uri: MsrpUri): string {
  const host = uri.host.includes(":") ? `[${uri.host}]` : uri.host;
  const user = uri.userinfo === "" ? "" : `${uri.userinfo}@`;
  const port = uri.port === null ? "" : `:${uri.port}`;
  const session = uri.sessionId === "" ? "" : `/${uri.sessionId}`;
  const rest = uri.parameters.map(([name, value]) => (value === null ? `;${name}` : `;${name}=${value}`));
  return `${uri.scheme}://${user}${host}${port}${session};${uri.transport}${rest.join("")}`;
}

/**
 * Whether both name the same thing by RFC 4975 §6.1.
 *
 * User part and other parameters do not count; a missing port or session-id equals only a missing one.
 */
export function sameMsrpUri(one: MsrpUri, other: MsrpUri): boolean {
  return (
    one.sessionId === other.sessionId &&
    one.port === other.port &&
    one.scheme === other.scheme &&
    one.transport === other.transport &&
    canonical(one.host) === canonical(other.host)
  );
}

/** The URIs of a To-Path or From-Path, nearest hop first (RFC 4975 §7.1). Throws ParseError. */
export function parsePath(text: string): MsrpUri[] {
  const uris: MsrpUri[] = [];
  let at = 0;
  for (const word of text.split(" ", HOPS_MAX + 1)) {
    if (uris.length === HOPS_MAX) throw new ParseError(`path of more than ${HOPS_MAX} URIs`, at);
    try {
      uris.push(parseMsrpUri(word));
    } catch (error) {
      throw error instanceof ParseError ? new ParseError(error.what, at + error.at) : error;
    }
    at += word.length + 1;
  }
  return uris;
}

function canonical(host: string): string {
  // RFC 4975 §6.1: addresses are compared by value, names without regard to case.
  return host.includes(":") ? new URL(`http://[${host}]`).hostname : host.toLowerCase();
}

function readHost(text: string, at: number): [string, number] {
  if (text[at] !== "[") {
    HOST.lastIndex = at;
    const found = HOST.exec(text);
    if (found === null) throw new ParseError("host expected", at);
    return [found[0], HOST.lastIndex];
  }
  const end = text.indexOf("]", at);
  const host = text.slice(at + 1, Math.max(end, at + 1));
  // A zone ("%eth0") means nothing to the peer and is refused with the rest.
  if (!/^[0-9A-Fa-f:.]+$/.test(host) || !URL.canParse(`http://[${host}]`)) {
    throw new ParseError("IPv6 address expected", at + 1);
  }
  return [host, end + 1];
}

function readPort(text: string, at: number): [number | null, number] {
  if (text[at] !== ":") return [null, at];
  const digits = /^[0-9]*/.exec(text.slice(at + 1))?.[0] ?? "";
  const port = Number(digits);
  if (digits.length > 5 || port < 1 || port > 65535) throw new ParseError("port from 1 to 65535 expected", at + 1);
  return [port, at + 1 + digits.length];
}

function readParameters(text: string, start: number): Pick<MsrpUri, "transport" | "parameters"> {
  if (text[start] !== ";") throw new ParseError("';' and a transport expected", start);
  let end = until(text, ";", start + 1);
  // RFC 4975 §6.1: the transport is compared without regard to case.
  const transport = whole(TOKEN, text, start + 1, end, "transport").toLowerCase();
  const parameters: [string, string | null][] = [];
  while (end < text.length) {
    const at = end + 1;
    end = until(text, ";", at);
    const equals = Math.min(until(text, "=", at), end);
    const name = whole(TOKEN, text, at, equals, "parameter");
    parameters.push([name, equals === end ? null : whole(VALUE, text, equals + 1, end, "parameter value")]);
  }
  return { transport, parameters };
}

function until(text: string, mark: string, at: number): number {
  const found = text.indexOf(mark, at);
  return found < 0 ? text.length : found;
}

function whole(pattern: RegExp, text: string, at: number, end: number, what: string): string {
  const part = text.slice(at, end);
  pattern.lastIndex = 0;
  const found = pattern.exec(part)?.[0];
  if (found !== part) throw new ParseError(`${what} expected`, at + (found?.length ?? 0));
  return part;
}
