/**
 * File transfer over HTTP: what is sent in place of a file, and how far an upload has come.
 *
 * Spec: RCC.07 §3.5.4.8 (facts §6.2); RFC 9110 §14.4 for Content-Range. Two documents: the file-info, which travels as
 * a message and names the file and its thumbnail; and the resume-info, with which the content server answers
 * `get_upload_info`.
 * Promises: elements are found by local name in any namespace; what is built is read back.
 */

import { type Bytes, utf8 } from "./bytes";
import { ParseError } from "./error";
import { child, childText, escapeXml, parseXml, type XmlElement } from "./xml";

export const FILE_INFO_CONTENT_TYPE = "application/vnd.gsma.rcs-ft-http+xml";

/** Bytes of one document. */
export const MAX_FILE_INFO = 16 * 1024;
/** file-info elements of one document. */
export const MAX_FILES = 16;
/** Characters of a URL. */
export const MAX_URL = 2048;

const NAMESPACE = "urn:gsma:params:xml:ns:rcs:rcs:fthttp";
const AUDIO_NAMESPACE = "urn:gsma:params:xml:ns:rcs:rcs:rram";
const EXTENSION_NAMESPACE = "urn:gsma:params:xml:ns:rcs:rcs:up:fthttpext";

/** One `file-info`: a file, or the thumbnail of the one that follows. */
export interface FileInfo {
  readonly type: "file" | "thumbnail";
  /** Bytes. */
  readonly size: number;
  readonly contentType: string;
  /** Where it can be fetched, and how long: RFC 3339 text, empty when unsaid. */
  readonly url: string;
  readonly until: string;
  /** Empty when unsaid. */
  readonly name: string;
  /** `render` asks for it to be shown or played, which with `playingLength` makes a voice message. */
  readonly disposition: "attachment" | "render" | "";
  /** Seconds in what we send; the unit of others is theirs. */
  readonly playingLength: number | null;
  /** Texts of the Universal Profile's extensions. */
  readonly brandedUrl: string;
  readonly fileHash: string;
}

/**
 * Reads a file-info document: its files and thumbnails in order. Throws ParseError when it names no file.
 *
 * Elements that are neither file nor thumbnail are left out, as later versions may have more.
 */
export function parseFileInfo(data: Uint8Array): FileInfo[] {
  const root = parseXml(data, MAX_FILE_INFO);
  if (root.name !== "file") throw new ParseError("not a file-info document");
  const infos: FileInfo[] = [];
  for (const element of root.children) {
    if (element.name !== "file-info") continue;
    if (infos.length === MAX_FILES) throw new ParseError(`more than ${MAX_FILES} files`);
    const info = readInfo(element);
    if (info !== null) infos.push(info);
  }
  if (!infos.some(({ type }) => type === "file")) throw new ParseError("file-info without a file");
  return infos;
}

/** Writes a document. Thumbnails come first: joyn clients tell the two apart by order (facts §6.2). */
export function buildFileInfo(infos: readonly FileInfo[]): Bytes {
  const ordered = [...infos.filter(({ type }) => type === "thumbnail"), ...infos.filter(({ type }) => type === "file")];
  return utf8(
    '<?xml version="1.0" encoding="UTF-8"?>\r\n' +
      `<file xmlns="${NAMESPACE}" xmlns:am="${AUDIO_NAMESPACE}" xmlns:x="${EXTENSION_NAMESPACE}">\r\n` +
      `${ordered.map(built).join("")}</file>`,
  );
}

/** How far an upload has come: bytes `start` to `end`, both included, are there; the rest goes to `url`. */
export interface ResumeInfo {
  readonly start: number;
  readonly end: number;
  readonly url: string;
}

/** Reads a resume-info document. Throws ParseError. */
export function parseResumeInfo(data: Uint8Array): ResumeInfo {
  const root = parseXml(data, MAX_FILE_INFO);
  if (root.name !== "file-resume-info") throw new ParseError("not a resume-info document");
  const extent = child(root, "file-range");
  const url = urlOf(child(root, "data"));
  if (extent === undefined || url === "") throw new ParseError("resume-info without a range or a URL");
  const [start, end] = ["start", "end"].map((name) => readNumber(extent.attributes.get(name)?.trim() ?? "", name));
  return { start: start as number, end: end as number, url };
}

/** Writes one. */
export function buildResumeInfo({ start, end, url }: ResumeInfo): Bytes {
  return utf8(
    '<?xml version="1.0" encoding="UTF-8"?>\r\n' +
      `<file-resume-info xmlns="${NAMESPACE}">\r\n` +
      `<file-range start="${start}" end="${end}"/>\r\n` +
      `<data url="${escapeXml(url)}"/>\r\n` +
      "</file-resume-info>",
  );
}

/** Where the bytes of an answer begin, by its Content-Range (`bytes 500-999/1000`); null when it does not say. */
export function startOfRange(contentRange: string | null): number | null {
  const found = /^\s*bytes[ =]+([0-9]{1,15})-[0-9]{1,15}\/(?:[0-9]{1,15}|\*)\s*$/i.exec(contentRange ?? "");
  return found === null ? null : Number(found[1]);
}

function readInfo(element: XmlElement): FileInfo | null {
  const type = element.attributes.get("type")?.trim().toLowerCase();
  if (type !== "file" && type !== "thumbnail") return null;
  const data = child(element, "data");
  const url = urlOf(data);
  if (url === "") throw new ParseError("file-info without a URL that can be used");
  const disposition = element.attributes.get("file-disposition")?.trim().toLowerCase();
  const length = childText(element, "playing-length");
  return {
    type,
    size: readNumber(childText(element, "file-size"), "file-size"),
    name: childText(element, "file-name"),
    contentType: childText(element, "content-type"),
    url,
    until: data?.attributes.get("until")?.trim() ?? "",
    // rcsjta's own comments say `attach` where the schema says `attachment` (facts §6.2).
    disposition:
      disposition === "render"
        ? "render"
        : disposition === "attachment" || disposition === "attach"
          ? "attachment"
          : "",
    playingLength: length === "" ? null : readNumber(length, "playing-length"),
    brandedUrl: childText(element, "branded-url"),
    fileHash: childText(element, "file-hash"),
  };
}

function urlOf(data: XmlElement | undefined): string {
  const url = data?.attributes.get("url")?.trim() ?? "";
  return url.length > MAX_URL ? "" : url;
}

function readNumber(text: string, what: string): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new ParseError(`${what} is no number of bytes or seconds`);
  return value;
}

/** One element, its children in the order of the schema. */
function built(info: FileInfo): string {
  const disposition = info.disposition && ` file-disposition="${info.disposition}"`;
  const until = info.until && ` until="${escapeXml(info.until)}"`;
  const lines = [
    `<file-size>${info.size}</file-size>`,
    line("file-name", info.name),
    line("content-type", info.contentType),
    info.playingLength === null ? "" : line("am:playing-length", `${info.playingLength}`),
    `<data url="${escapeXml(info.url)}"${until}/>`,
    line("x:branded-url", info.brandedUrl),
    line("x:file-hash", info.fileHash),
  ].filter((text) => text !== "");
  return `<file-info type="${info.type}"${disposition}>\r\n${lines.map((text) => `${text}\r\n`).join("")}</file-info>\r\n`;
}

function line(name: string, value: string): string {
  return value === "" ? "" : `<${name}>${escapeXml(value)}</${name}>`;
}
