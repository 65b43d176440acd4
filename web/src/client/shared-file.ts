/** What a file-info says of a file, as it is kept and shown. */

import { type FileInfo, parseFileInfo } from "../protocol/file-info";
import type { FileRow } from "./database";
import { isPicture, typeOf } from "./media-type";

/** Bytes up to which a picture or a voice message is fetched by itself (design §7). */
export const SMALL = 10 * 1024 * 1024;
/** Bytes of a thumbnail that is fetched: the server takes none that is larger (files.max_thumbnail). */
export const MAX_PREVIEW = 256 * 1024;
/** Characters of a name that are kept. */
const MAX_NAME = 255;
/** Seconds of a voice message that are believed: the unit of some is another (facts §6.2). */
const MAX_SECONDS = 3 * 3600;

/** Whether it is fetched when it is seen, and kept here once it has been sent. */
export function comesByItself({ type, size, seconds }: Pick<FileRow, "type" | "size" | "seconds">): boolean {
  return (isPicture(type) || seconds !== undefined) && size <= SMALL;
}

/** The document as a voice message: to be played, and so long (facts §6.2). */
export function asVoice(infos: readonly FileInfo[], seconds: number): FileInfo[] {
  return infos.map((info) =>
    info.type === "file" ? { ...info, disposition: "render", playingLength: Math.max(1, Math.round(seconds)) } : info,
  );
}

/** The file of a document, and its thumbnail. */
export function factsOf(infos: readonly FileInfo[]): Omit<FileRow, "here"> {
  const file = infos.find(({ type }) => type === "file") as FileInfo;
  const preview = infos.find(({ type }) => type === "thumbnail");
  const until = Date.parse(file.until);
  const type = typeOf(file.contentType, file.name);
  const length = file.disposition === "render" && type.startsWith("audio/") ? file.playingLength : null;
  return {
    name: cleanName(file.name),
    size: file.size,
    type,
    url: file.url,
    until: Number.isNaN(until) ? Infinity : until,
    ...(preview === undefined ? {} : { preview: { url: preview.url, size: preview.size } }),
    ...(length === null ? {} : { seconds: length <= MAX_SECONDS ? length : 0 }),
  };
}

/** The same of a message's body; undefined when it cannot be read. */
export function readFacts(body: Uint8Array): FileRow | undefined {
  try {
    return { ...factsOf(parseFileInfo(body)), here: false };
  } catch {
    return undefined;
  }
}

/** A name without what leads elsewhere, breaks the line or turns the writing round (attacks: `gpj.exe`). */
export function cleanName(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? "";
  return last
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "")
    .trim()
    .slice(-MAX_NAME);
}
