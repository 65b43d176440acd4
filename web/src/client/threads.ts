/**
 * What becomes of the messages of a conversation: they are kept once, their states advance, and marks are laid on them.
 *
 * Spec: RFC 5438 §7 (states), design §5; facts §12 (who may edit and delete). Every change is one transaction.
 */

import Dexie from "dexie";
import { type ConversationRow, type Database, emptyConversation, type MarkRow, type MessageRow } from "./database";
import type { Aor, DeliveryState, FailureReason } from "./model";

/** Milliseconds after it came in which a message may be edited or deleted for everyone (facts §12). */
export const EDIT_WINDOW = 15 * 60_000;
/** Messages of one sender that may have come before an earlier one of theirs. */
export const OVERTAKING = 10;
/** Milliseconds for which the network keeps a message: one cannot be older that comes now. */
export const KEPT_FOR = 7 * 24 * 3_600_000;
/** Marks kept of one person about one message, and reactions shown of it. */
export const MAX_MARKS = 100;

/** Evidence outranks an error: a message that was said to have failed and is then reported delivered is delivered. */
const ORDER: readonly DeliveryState[] = ["pending", "sent", "stored", "failed", "delivered", "displayed"];

export type NewMessage = Pick<MessageRow, "conversation" | "id" | "own" | "by" | "at" | "kind" | "text"> &
  Partial<
    Pick<
      MessageRow,
      "file" | "place" | "original" | "arrived" | "written" | "state" | "reply" | "unseen" | "wantsDisplay"
    >
  >;

export class Threads {
  readonly #db: Database;
  readonly #now: () => number;

  constructor(db: Database, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /**
   * The time, and so the place, of what comes now. Its sender's clock (`claimed`) orders what they wrote without a word
   * in between, since of that the network may bring the later first; for the rest it may be wrong, and would put a
   * message where nobody looks.
   */
  async timeOf(conversation: Aor, by: Aor, claimed: number): Promise<number> {
    const rows = await this.#db.newest(conversation, OVERTAKING + 1);
    const end = rows.findIndex((row, place) => row.by !== by || place === OVERTAKING);
    const before = rows[end]?.at ?? -Infinity;
    const now = this.#now();
    if (claimed >= now || claimed <= Math.max(before, now - KEPT_FOR)) {
      return Math.max(now, (rows[0]?.at ?? -Infinity) + 1);
    }
    // What they wrote before may stand where the network's clock has put it. Many clocks tell no more than seconds.
    const theirs = end < 0 ? rows : rows.slice(0, end);
    const passed = theirs.filter(({ at, written = at }) => written <= claimed);
    const taken = new Set(rows.map(({ at }) => at));
    let at = Math.max(claimed, ...passed.map((row) => row.at + 1));
    while (taken.has(at)) at += 1;
    return at;
  }

  /** Keeps a message; false when it is here already, or was deleted here. `arrived` is given only by the history. */
  async add(message: NewMessage): Promise<boolean> {
    const { conversation, id, own, arrived } = message;
    const { messages, gone } = this.#db;
    return this.#change(async () => {
      const deleted = await gone.bulkGet([
        [conversation, id],
        [conversation, ""],
      ]);
      if (deleted[0] !== undefined) return false;
      if (arrived !== undefined && deleted[1] !== undefined && arrived <= deleted[1].at) return false;
      if ((await messages.get([conversation, id])) !== undefined) return false;
      const state = message.state ?? (own ? "pending" : "delivered");
      // The history says when the network took a message, not when it became what it is.
      const reached = arrived === undefined ? { [state]: this.#now() } : own ? { sent: arrived } : {};
      const row: MessageRow = {
        original: message.text,
        arrived: this.#now(),
        state,
        reached,
        reactions: [],
        unseen: 0,
        wantsDisplay: false,
        touched: this.#now(),
        ...message,
      };
      const marks = await this.#db.marks.where({ conversation, target: id }).toArray();
      await messages.add(marked(row, marks));
      // What they wrote while we answered has been read (perhaps on another device).
      if (own) await this.#see(conversation, message.at);
      await this.#touch(conversation, (row) => {
        if (own) row.answered = true;
        else row.archived = false;
      });
      return true;
    });
  }

  /**
   * The network's time of a message that is here: where it stands is then the same on all devices. One of ours waits
   * for that until it passes none of ours, which may be on its way and have no such time yet.
   */
  async place(conversation: Aor, id: string, at: number): Promise<void> {
    await this.#change(async () => {
      const row = await this.#db.messages.get([conversation, id]);
      if (row === undefined || row.at === at) return;
      const [from, to] = [Math.min(row.at, at), Math.max(row.at, at)];
      const passed = this.#db.messages
        .where("[conversation+at+id]")
        .between([conversation, from, Dexie.minKey], [conversation, to, Dexie.maxKey])
        .filter((other) => other.own && other.id !== id);
      if (row.own && (await passed.count()) > 0) return;
      if ((await this.#db.messages.update([conversation, id], { at })) > 0) await this.#touch(conversation);
    });
  }

  /** Whether a message is here, or was; one of theirs only, if that is asked. */
  async knows(conversation: Aor, id: string, theirs = false): Promise<boolean> {
    const here = await this.#db.messages.get([conversation, id]);
    if (here !== undefined) return !theirs || !here.own;
    return (await this.#db.gone.get([conversation, id])) !== undefined;
  }

  /** Lays a reaction, an edit or a deletion on its message, now or when that comes. */
  async mark(mark: MarkRow): Promise<void> {
    const { conversation, target } = mark;
    await this.#change(async () => {
      const { marks, messages } = this.#db;
      const old = await marks.get([conversation, target, mark.by, mark.what]);
      const again = old?.id === mark.id;
      if (again && old.at === mark.at && old.arrived <= mark.arrived) return;
      if (old !== undefined && !again && newer(old, mark)) return;
      const all = await marks.where({ conversation, target }).toArray();
      if (old === undefined && all.filter(({ by }) => by === mark.by).length >= MAX_MARKS) return;
      // One that waited for us in the network was in time when the history says so.
      const laid = again ? { ...mark, arrived: Math.min(old.arrived, mark.arrived) } : mark;
      await marks.put(laid);
      const row = await messages.get([conversation, target]);
      if (row === undefined) return;
      const others = all.filter(({ by, what }) => by !== mark.by || what !== mark.what);
      await messages.put(marked({ ...row, touched: this.#now() }, [...others, laid]));
      await this.#touch(conversation);
    });
  }

  /** A state was reached, at a time if that is known. True when the message was not as far, so that something changed. */
  async advance(
    conversation: Aor,
    id: string,
    state: DeliveryState,
    how: { at?: number | "unknown"; failure?: FailureReason } = {},
  ): Promise<boolean> {
    return this.#change(async () => {
      const row = await this.#db.messages.get([conversation, id]);
      if (row === undefined || !row.own) return false;
      if (ORDER.indexOf(state) <= ORDER.indexOf(row.state)) return false;
      const { failure: _, ...rest } = row;
      await this.#db.messages.put({
        ...rest,
        state,
        ...(state === "failed" && how.failure !== undefined ? { failure: how.failure } : {}),
        ...(how.at === "unknown" ? {} : { reached: { ...row.reached, [state]: how.at ?? this.#now() } }),
        touched: this.#now(),
      });
      await this.#touch(conversation);
      return true;
    });
  }

  /** The one way back: a failed message is tried again, with the same id. False when it is not failed. */
  async revive(conversation: Aor, id: string): Promise<boolean> {
    return this.#change(async () => {
      const row = await this.#db.messages.get([conversation, id]);
      if (row?.state !== "failed") return false;
      const { failure: _, ...rest } = row;
      await this.#db.messages.put({
        ...rest,
        state: "pending",
        reached: { pending: this.#now() },
        touched: this.#now(),
      });
      await this.#touch(conversation);
      return true;
    });
  }

  /** Everything up to `until` has been seen; the messages whose sender wants to know of it. */
  async see(conversation: Aor, until = Infinity): Promise<MessageRow[]> {
    return this.#change(async () => {
      const seen = await this.#see(conversation, until);
      await this.#touch(conversation, (row) => {
        row.markedUnread = false;
      });
      return seen.filter(({ wantsDisplay }) => wantsDisplay);
    });
  }

  /** Takes a message away from this device, for good, and from the outbox; the result brings it back. */
  async remove(conversation: Aor, id: string): Promise<() => Promise<void>> {
    const { messages, gone, outbox, transfers } = this.#db;
    const leaving = () => outbox.where({ id }).and(({ kind }) => kind === "chat");
    const kept = await this.#change(async () => {
      const before = {
        row: await messages.get([conversation, id]),
        leaving: await leaving().toArray(),
        upload: await transfers.get([conversation, id]),
        session: await this.#db.session(),
      };
      await Promise.all([messages, transfers].map((table) => table.delete([conversation, id])));
      await leaving().delete();
      await gone.put({ conversation, id, at: this.#now() });
      await this.#touch(conversation);
      return before;
    });
    return () =>
      this.#undo(kept.session, async () => {
        await gone.delete([conversation, id]);
        if (kept.row !== undefined) await messages.put({ ...kept.row, touched: this.#now() });
        await outbox.bulkPut(kept.leaving);
        if (kept.upload !== undefined) await transfers.put(kept.upload);
        await this.#touch(conversation);
      });
  }

  /** Takes a whole conversation away, with what of it has not left yet; that theirs came is still said. */
  async clear(conversation: Aor): Promise<() => Promise<void>> {
    const { messages, gone, conversations, outbox, marks, transfers } = this.#db;
    const leaving = () => outbox.where({ conversation }).and(({ kind }) => kind !== "receipt");
    const rows = () =>
      messages.where("[conversation+at+id]").between([conversation, Dexie.minKey], [conversation, Dexie.maxKey]);
    const pieces = () =>
      marks.where("[conversation+target]").between([conversation, Dexie.minKey], [conversation, Dexie.maxKey]);
    const uploads = () =>
      transfers.where("[conversation+id]").between([conversation, Dexie.minKey], [conversation, Dexie.maxKey]);
    const kept = await this.#change(async () => {
      const before = {
        row: await conversations.get(conversation),
        rows: await rows().toArray(),
        marks: await pieces().toArray(),
        leaving: await leaving().toArray(),
        uploads: await uploads().toArray(),
        bound: await gone.get([conversation, ""]),
        session: await this.#db.session(),
      };
      await Promise.all([rows(), pieces(), leaving(), uploads()].map((some) => some.delete()));
      await conversations.delete(conversation);
      // What was here does not come back; nor does what of the history had not been fetched, being older than what had.
      // Both times are the server's: by our clock, if it is fast, what has not come yet would be among them.
      const at = (await this.#db.fact("newestAt")) ?? 0;
      await gone.bulkPut(["", ...before.rows.map(({ id }) => id)].map((id) => ({ conversation, id, at })));
      return before;
    });
    return () =>
      this.#undo(kept.session, async () => {
        await gone.bulkDelete(["", ...kept.rows.map(({ id }) => id)].map((id) => [conversation, id]));
        if (kept.bound !== undefined) await gone.put(kept.bound);
        if (kept.row !== undefined) await conversations.put(kept.row);
        await messages.bulkPut(kept.rows.map((row) => ({ ...row, touched: this.#now() })));
        await marks.bulkPut(kept.marks);
        await transfers.bulkPut(kept.uploads);
        await outbox.bulkPut(kept.leaving);
        await this.#touch(conversation);
      });
  }

  /** Changes what is kept of a conversation, which is made if need be. */
  async alter(conversation: Aor, change: (row: ConversationRow) => void): Promise<void> {
    await this.#change(() => this.#touch(conversation, change, false));
  }

  /** The same, but somebody never written to stays unknown. */
  async adjust(conversation: Aor, change: (row: ConversationRow) => void): Promise<void> {
    await this.#change(async () => {
      if ((await this.#db.conversations.get(conversation)) !== undefined)
        await this.#touch(conversation, change, false);
    });
  }

  async #see(conversation: Aor, until: number): Promise<MessageRow[]> {
    const unseen = await this.#db.messages.where({ conversation, unseen: 1 }).toArray();
    const seen = unseen.filter(({ at }) => at <= until);
    await this.#db.messages.bulkPut(seen.map((row) => ({ ...row, unseen: 0 as const })));
    return seen;
  }

  /** Brings the conversation's row up to date with its messages. */
  async #touch(conversation: Aor, change?: (row: ConversationRow) => void, recount = true): Promise<void> {
    const row = (await this.#db.conversations.get(conversation)) ?? emptyConversation(conversation, this.#now());
    if (recount) {
      // Notes are ours and nobody's news; there are never two of them together.
      const last = (await this.#db.newest(conversation, 2)).find(({ kind }) => kind !== "note");
      row.unread = await this.#db.messages.where({ conversation, unseen: 1 }).count();
      if (last === undefined) delete row.last;
      else {
        const { own, text, at, state, kind, arrived, file } = last;
        const { type, seconds } = file ?? {};
        const media = { ...(type === undefined ? {} : { file: type }), ...(seconds === undefined ? {} : { seconds }) };
        row.last = { own, text, at, state, kind, ...media };
        row.at = arrived;
      }
    }
    change?.(row);
    await this.#db.conversations.put(row);
  }

  /** What was taken away is of a session: it comes back to no other. */
  async #undo(session: number, work: () => Promise<void>): Promise<void> {
    await this.#db.during(session, work);
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    const { messages, marks, conversations, gone, outbox, transfers, facts } = this.#db;
    return this.#db.transaction("rw", [messages, marks, conversations, gone, outbox, transfers, facts], work);
  }
}

/** The row with its marks: the newest counts, and only a message's author may edit or delete it. */
export function marked(row: MessageRow, marks: readonly MarkRow[]): MessageRow {
  const ordered = marks.toSorted((one, other) => (newer(one, other) ? 1 : -1));
  const byAuthor = ordered.filter(({ by, arrived }) => by === row.by && arrived <= row.arrived + EDIT_WINDOW);
  if (row.kind === "deleted" || byAuthor.some(({ what }) => what === "delete")) {
    const { editedAt: _at, earlier: _earlier, file: _file, place: _place, ...rest } = row;
    return { ...rest, kind: "deleted", text: "", original: "", reactions: [] };
  }
  const edits = byAuthor.filter(({ what }) => what.startsWith("edit:"));
  const reactions = new Map<string, Aor[]>();
  for (const { what, on, by } of ordered) {
    if (!what.startsWith("reaction:") || !on) continue;
    const emoji = what.slice("reaction:".length);
    reactions.set(emoji, [...(reactions.get(emoji) ?? []), by]);
  }
  const made = { ...row, reactions: Array.from(reactions, ([emoji, by]) => ({ emoji, by })) };
  const last = edits.at(-1);
  if (last === undefined || row.kind !== "text") return made;
  const earlier = [row.original, ...edits.slice(0, -1).map(({ text }) => text)];
  return { ...made, text: last.text, editedAt: last.at, earlier };
}

/** Whether one mark counts more than the other: the later, and of two at the same time the same one everywhere. */
function newer(one: MarkRow, other: MarkRow): boolean {
  return one.at === other.at ? one.id > other.id : one.at > other.at;
}
