/** From messages to the rows of the list: days, runs, albums, the unread line, notes. Design §5, rhythm; §7, albums. */

import type { Message } from "../../client/model";
import { day } from "../format";

/** Bubbles of one sender this close in time are one run. */
export const RUN_MS = 3 * 60_000;
/** Photos of one sender this close in time are one album, where nothing says that they were sent in one go. */
export const ALBUM_MS = 20_000;
/** Photos that an album shows; the others are behind its last. */
export const SHOWN = 3;

/** Where a bubble stands in its run, and whether time and tick are shown. */
interface Place {
  /** The first and the last of its run. */
  first: boolean;
  last: boolean;
  meta: boolean;
}

export interface MessageRow extends Place {
  kind: "message";
  key: string;
  message: Message;
}

export interface AlbumRow extends Place {
  kind: "album";
  /** Of its first photo, so that it stays the same row while others follow. */
  key: string;
  /** Two or more. */
  messages: [Message, Message, ...Message[]];
}

export type Row =
  | MessageRow
  | AlbumRow
  | { kind: "day"; key: string; at: number }
  | { kind: "unread"; key: "unread"; count: number }
  | { kind: "note"; key: string; text: string }
  | { kind: "typing"; key: "typing" };

export function rowsOf(messages: readonly Message[], unreadFrom: string | undefined, typing: boolean): Row[] {
  const rows: Row[] = [];
  let before: MessageRow | AlbumRow | undefined;
  let today = 0;
  for (const [at, message] of messages.entries()) {
    const date = day(message.at);
    const unread = message.id === unreadFrom;
    if (date !== today || unread || message.kind === "note") before = undefined;
    // The key names the message below it: with older messages of the same day above, it is another row.
    if (date !== today) rows.push({ kind: "day", key: `day:${message.id}`, at: message.at });
    today = date;
    if (unread) {
      const count = messages.slice(at).filter((one) => !one.own && one.kind !== "note").length;
      rows.push({ kind: "unread", key: "unread", count });
    }
    if (message.kind === "note") {
      rows.push({ kind: "note", key: message.id, text: message.text });
      continue;
    }
    if (before && together(newestOf(before), message)) {
      before = joined(before, message);
      rows[rows.length - 1] = before;
      continue;
    }
    const row: MessageRow = { kind: "message", key: message.id, message, first: true, last: true, meta: true };
    if (before && newestOf(before).own === message.own && message.at - newestOf(before).at < RUN_MS) {
      before.last = false;
      row.first = false;
    }
    rows.push(row);
    before = row;
  }
  showMeta(rows);
  if (typing) rows.push({ kind: "typing", key: "typing" });
  return rows;
}

/** The messages of a row. */
export function messagesOf(row: Row): readonly Message[] {
  if (row.kind === "album") return row.messages;
  return row.kind === "message" ? [row.message] : [];
}

/** Those that can take the focus: of an album the photos that it shows. */
export function stopsOf(row: Row): readonly Message[] {
  return messagesOf(row).slice(0, SHOWN);
}

/** The place of the row with a message; -1 when there is none. */
export function rowWith(rows: readonly Row[], id: string | undefined): number {
  return rows.findIndex((row) => messagesOf(row).some((message) => message.id === id));
}

/** Two photos of one sender that were sent in one go or, where that is not known, within seconds. */
function together(one: Message, next: Message): boolean {
  if (one.own !== next.own || !isPhoto(one) || !isPhoto(next) || next.reply) return false;
  const [batch, following] = [one.file?.batch, next.file?.batch];
  return batch === undefined && following === undefined ? next.at - one.at < ALBUM_MS : batch === following;
}

function isPhoto({ kind, file }: Message): boolean {
  return kind === "file" && file?.picture === true && file.state !== "gone";
}

function joined(row: MessageRow | AlbumRow, message: Message): AlbumRow {
  if (row.kind === "message") {
    const { first, last, meta, key } = row;
    return { kind: "album", key, messages: [row.message, message], first, last, meta };
  }
  row.messages.push(message);
  return row;
}

function newestOf(row: MessageRow | AlbumRow): Message {
  return row.kind === "album" ? (row.messages.at(-1) as Message) : row.message;
}

/** Time and tick stand on the last bubble of a run, and on any bubble whose state differs from it. */
function showMeta(rows: Row[]): void {
  let last: Message | undefined;
  for (const row of rows.toReversed()) {
    if (row.kind !== "message" && row.kind !== "album") continue;
    if (row.last) last = newestOf(row);
    const same = messagesOf(row).every((one) => one.state === last?.state && one.editedAt === undefined);
    row.meta = row.last || !same;
  }
}

/** Whether rows were only put before those that were there, so that the list keeps its place from the end. */
export function grewAtStart(before: readonly Row[], after: readonly Row[]): boolean {
  const [first, last] = [before[0], before.at(-1)];
  if (!first || !last || after.length <= before.length) return false;
  return after.at(-1)?.key === last.key && after[0]?.key !== first.key;
}
