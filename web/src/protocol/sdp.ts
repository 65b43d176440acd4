/**
 * Session descriptions: which media, where, and for messages which way and which types.
 *
 * Spec: RFC 8866; RFC 4975 §8, RFC 6135 (setup), RFC 8122 (fingerprint), RFC 5547 (file-selector, kept as it is).
 * Promises: lines stay in order and unknown ones as they are; a change touches only the line it names.
 */

import { type Bytes, byteLength, decodeUtf8, utf8 } from "./bytes";
import { ParseError, ProtocolError } from "./error";

export const SDP_CONTENT_TYPE = "application/sdp";

/** Bytes of one description; a video offer with candidates has some ten thousand. */
export const MAX_SDP = 64 * 1024;
export const MAX_LINES = 2000;
export const MAX_MEDIA = 32;

export const TCP_MSRP = "TCP/MSRP";
export const TLS_MSRP = "TCP/TLS/MSRP";
/** The port of a side that connects and does not listen (RFC 4145 §4.1). */
export const DISCARD_PORT = 9;

export type Direction = "sendrecv" | "sendonly" | "recvonly" | "inactive";
export type Setup = "active" | "passive" | "actpass" | "holdconn";

/** Type letter and value. */
export type Line = readonly [letter: string, value: string];

/** The `o=` line (RFC 8866 §5.2). Ids are text: some in the field are not the numbers they should be. */
export interface Origin {
  readonly username: string;
  readonly sessionId: string;
  readonly sessionVersion: string;
  readonly addressType: string;
  readonly address: string;
}

/** One `m=` line and the lines that belong to it. */
export interface Media {
  readonly kind: string;
  readonly port: number;
  readonly portCount: number;
  readonly protocol: string;
  readonly formats: readonly string[];
  readonly lines: readonly Line[];
}

/** A description: its session-level lines, its media. */
export interface Sdp {
  readonly lines: readonly Line[];
  readonly media: readonly Media[];
  readonly origin: Origin | null;
}

/** What one `m=message` offers or answers, session-level attributes counted in. */
export interface MsrpMedia {
  readonly port: number;
  readonly address: string;
  /** The transport is TCP/TLS/MSRP. */
  readonly secure: boolean;
  /** MSRP URIs as text, first hop first. */
  readonly path: readonly string[];
  /** null when unsaid. */
  readonly setup: Setup | null;
  readonly direction: Direction;
  /** May hold `*` or `text/*`. */
  readonly acceptTypes: readonly string[];
  readonly acceptWrappedTypes: readonly string[];
  /** Hash function and value. */
  readonly fingerprint: readonly [string, string] | null;
  readonly maxSize: number | null;
  readonly fileSelector: string | null;
  /** `a=msrp-cema` is there. */
  readonly cema: boolean;
}

const DIRECTIONS: readonly string[] = ["sendrecv", "sendonly", "recvonly", "inactive"];
const SETUPS: readonly string[] = ["active", "passive", "actpass", "holdconn"];

/**
 * Reads a description; CRLF or LF ends a line, blank lines at the end are let pass.
 *
 * Throws ParseError when it is not UTF-8, a line is not `letter=value`, `v=0` is not first, an `o=` or `m=` line is
 * not in its form, or a limit is passed.
 */
export function parseSdp(data: Uint8Array): Sdp {
  if (data.length > MAX_SDP) throw new ParseError(`SDP over ${MAX_SDP} bytes`, MAX_SDP);
  const text = decodeUtf8(data, "SDP");
  let end = text.length;
  while (end > 0 && (text[end - 1] === "\n" || text[end - 1] === "\r")) end--;
  const written = text.slice(0, end).split("\n");
  if (written.length > MAX_LINES) throw new ParseError(`more than ${MAX_LINES} SDP lines`);
  const session: Line[] = [];
  const media: Media[] = [];
  let current = session;
  let at = 0;
  for (const raw of written) {
    const line = readLine(raw.replace(/\r$/, ""), at);
    if (line[0] === "m") {
      if (media.length === MAX_MEDIA) throw new ParseError(`more than ${MAX_MEDIA} media`, at);
      current = [];
      media.push(readMedia(line[1], current, at));
    } else {
      current.push(line);
    }
    at += byteLength(raw) + 1;
  }
  if (session[0]?.[0] !== "v" || session[0][1] !== "0") throw new ParseError("SDP does not begin with v=0");
  const origin = session.find(([letter]) => letter === "o");
  return { lines: session, media, origin: origin === undefined ? null : readOrigin(origin[1]) };
}

/** Writes a description, CRLF at every line's end. */
export function emitSdp(sdp: Sdp): Bytes {
  const lines = [...sdp.lines];
  for (const medium of sdp.media) {
    const count = medium.portCount === 1 ? "" : `/${medium.portCount}`;
    lines.push(["m", [medium.kind, `${medium.port}${count}`, medium.protocol, ...medium.formats].join(" ")]);
    lines.push(...medium.lines);
  }
  return utf8(lines.map(([letter, value]) => `${letter}=${value}\r\n`).join(""));
}

/** The value of the first such attribute of a level, empty for a flag; null when there is none. */
export function attribute(level: Pick<Sdp | Media, "lines">, name: string): string | null {
  for (const [letter, value] of level.lines) {
    if (letter === "a" && attributeName(value) === name) return value.slice(name.length + 1);
  }
  return null;
}

/**
 * A level with an attribute set (a flag for an empty value) in the place of the first of its name, or at the end;
 * null takes all of that name out. Throws ProtocolError for a value with a line break.
 */
export function withAttribute<Level extends Sdp | Media>(level: Level, name: string, value: string | null): Level {
  const lines: Line[] = [];
  let line: Line | null = value === null ? null : attributeLine(name, value);
  for (const old of level.lines) {
    if (old[0] !== "a" || attributeName(old[1]) !== name) lines.push(old);
    else if (line !== null) {
      lines.push(line);
      line = null;
    }
  }
  if (line !== null) lines.push(line);
  return { ...level, lines };
}

/** Which way a medium goes: its own word, else the session's, else both ways (RFC 8866 §6.7). */
function directionOf(sdp: Sdp, medium: Media): Direction {
  return ownDirection(medium) ?? ownDirection(sdp) ?? "sendrecv";
}

/** Where a medium goes: its own `c=`, else the session's; empty when neither is there. */
function addressOf(sdp: Sdp, medium: Media): string {
  return connectionAddress(medium) || connectionAddress(sdp);
}

/** The first `m=message` over MSRP, refused or not; null when there is none. */
export function msrpMedia(sdp: Sdp): MsrpMedia | null {
  const medium = sdp.media.find(
    ({ kind, protocol }) => kind === "message" && [TCP_MSRP, TLS_MSRP].includes(protocol.toUpperCase()),
  );
  return medium === undefined ? null : msrpMediaOf(sdp, medium);
}

/** Reads one MSRP medium of a description. */
function msrpMediaOf(sdp: Sdp, medium: Media): MsrpMedia {
  const either = (name: string): string | null => attribute(medium, name) ?? attribute(sdp, name);
  const setup = (either("setup") ?? "").trim().toLowerCase();
  const fingerprint = /^(\S+) (.+)$/.exec((either("fingerprint") ?? "").trim());
  const maxSize = (attribute(medium, "max-size") ?? "").trim();
  return {
    port: medium.port,
    address: addressOf(sdp, medium),
    secure: medium.protocol.toUpperCase() === TLS_MSRP,
    path: words(attribute(medium, "path")),
    setup: SETUPS.includes(setup) ? (setup as Setup) : null,
    direction: directionOf(sdp, medium),
    acceptTypes: words(attribute(medium, "accept-types")),
    acceptWrappedTypes: words(attribute(medium, "accept-wrapped-types")),
    fingerprint: fingerprint && [(fingerprint[1] ?? "").toLowerCase(), (fingerprint[2] ?? "").trim()],
    maxSize: /^[0-9]{1,15}$/.test(maxSize) ? Number(maxSize) : null,
    fileSelector: attribute(medium, "file-selector"),
    cema: either("msrp-cema") !== null,
  };
}

export interface MsrpOffer {
  address: string;
  port: number;
  path: readonly string[];
  /** A whole number, for strict parsers refuse anything else. */
  sessionId: number;
  sessionVersion?: number;
  acceptTypes: readonly string[];
  acceptWrappedTypes?: readonly string[];
  setup?: Setup;
  direction?: Direction;
  /** TCP_MSRP unless said. */
  protocol?: string;
  /** Further attributes, after ours; a flag has an empty value. */
  attributes?: readonly Line[];
}

/** An offer or answer of one MSRP medium, in the order joyn clients write it. Throws ProtocolError for line breaks. */
export function buildMsrpSdp(offer: MsrpOffer): Sdp {
  const family = offer.address.includes(":") ? "IP6" : "IP4";
  const attributes: [string, string][] = [["accept-types", offer.acceptTypes.join(" ")]];
  if (offer.acceptWrappedTypes?.length) attributes.push(["accept-wrapped-types", offer.acceptWrappedTypes.join(" ")]);
  if (offer.setup !== undefined) attributes.push(["setup", offer.setup]);
  attributes.push(["path", offer.path.join(" ")], [offer.direction ?? "sendrecv", ""]);
  const origin = safe(`- ${offer.sessionId} ${offer.sessionVersion ?? offer.sessionId} IN ${family} ${offer.address}`);
  const medium: Media = {
    kind: "message",
    port: offer.port,
    portCount: 1,
    protocol: offer.protocol ?? TCP_MSRP,
    formats: ["*"],
    lines: [...attributes, ...(offer.attributes ?? [])].map(([name, value]) => attributeLine(name, value)),
  };
  const lines: Line[] = [
    ["v", "0"],
    ["o", origin],
    ["s", "-"],
    ["c", `IN ${family} ${offer.address}`],
    ["t", "0 0"],
  ];
  return { lines, media: [medium], origin: readOrigin(origin) };
}

function readLine(line: string, at: number): Line {
  if (!/^[A-Za-z]=/.test(line)) throw new ParseError("an SDP line that is not letter=value", at);
  if (line.includes("\r") || line.includes("\0")) throw new ParseError("control character in an SDP line", at);
  return [line.charAt(0), line.slice(2)];
}

function readMedia(value: string, lines: readonly Line[], at: number): Media {
  const [kind, ports, protocol, ...formats] = value.split(" ");
  if (kind === undefined || ports === undefined || protocol === undefined || formats.length === 0) {
    throw new ParseError("an m= line has a kind, a port, a protocol and formats", at);
  }
  const found = /^([0-9]{1,5})(?:\/([0-9]{1,5}))?$/.exec(ports);
  const port = Number(found?.[1] ?? Number.NaN);
  const portCount = Number(found?.[2] ?? 1);
  if (!(port <= 65535 && portCount <= 65535)) throw new ParseError("an m= line with a bad port", at);
  return { kind, port, portCount, protocol, formats, lines };
}

function readOrigin(value: string): Origin {
  const fields = words(value);
  const [username = "", sessionId = "", sessionVersion = "", , addressType = "", address = ""] = fields;
  if (fields.length !== 6) throw new ParseError("an o= line has six fields");
  return { username, sessionId, sessionVersion, addressType, address };
}

function ownDirection(level: Pick<Sdp | Media, "lines">): Direction | undefined {
  const line = level.lines.find(([letter, value]) => letter === "a" && DIRECTIONS.includes(attributeName(value)));
  return line && (attributeName(line[1]) as Direction);
}

function connectionAddress(level: Pick<Sdp | Media, "lines">): string {
  const line = level.lines.find(([letter]) => letter === "c");
  return words(line?.[1] ?? null)[2]?.split("/", 1)[0] ?? "";
}

function attributeName(value: string): string {
  const colon = value.indexOf(":");
  return colon < 0 ? value : value.slice(0, colon);
}

function attributeLine(name: string, value: string): Line {
  return ["a", safe(value === "" ? name : `${name}:${value}`)];
}

function words(text: string | null): string[] {
  return text === null ? [] : text.split(/\s+/).filter((word) => word !== "");
}

function safe(value: string): string {
  if (/[\r\n\0]/.test(value)) throw new ProtocolError("an SDP value with a line break");
  return value;
}
