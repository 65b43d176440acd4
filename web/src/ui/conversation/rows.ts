/** From messages to the rows of the list: days, runs, the unread line, notes. Design §5, rhythm. */

import type { Message } from "../../client/model";
import { day } from "../format";

/** Bubbles of one sender this close in time are one run. */
export const RUN_MS = 3 * 60_000;

export interface MessageRow {
  kind: "message";
  key: string;
  message: Message;
  /** The first and the last of its run. */
  first: boolean;
  last: boolean;
  /** Time and tick are shown. */
  meta: boolean;
}

export type Row =
  | MessageRow
  | { kind: "day"; key: string; at: number }
  | { kind: "unread"; key: "unread"; count: number }
  | { kind: "note"; key: string; text: string }
  | { kind: "typing"; key: "typing" };

export function rowsOf(messages: readonly Message[], unreadFrom: string | undefined, typing: boolean): Row[] {
  const rows: Row[] = [];
  let before: MessageRow | undefined;
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
    const row: MessageRow = { kind: "message", key: message.id, message, first: true, last: true, meta: true };
    if (before && before.message.own === message.own && message.at - before.message.at < RUN_MS) {
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

/** Time and tick stand on the last bubble of a run, and on any bubble whose state differs from it. */
function showMeta(rows: Row[]): void {
  let last: MessageRow | undefined;
  for (const row of rows.toReversed()) {
    if (row.kind !== "message") continue;
    if (row.last) last = row;
    const same = row.message.state === last?.message.state && row.message.editedAt === undefined;
    row.meta = row.last || !same;
  }
}

/** Whether rows were only put before those that were there, so that the list keeps its place from the end. */
export function grewAtStart(before: readonly Row[], after: readonly Row[]): boolean {
  const [first, last] = [before[0], before.at(-1)];
  if (!first || !last || after.length <= before.length) return false;
  return after.at(-1)?.key === last.key && after[0]?.key !== first.key;
}
