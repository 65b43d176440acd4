/** Rows of the database as the user interface sees them. */

import {
  type ConversationRow,
  type Database,
  emptyConversation,
  type FileRow,
  type MessageRow,
  type TransferRow,
} from "./database";
import type { Aor, Contact, Conversation, Gist, Message, Reaction, Settings, SharedFile } from "./model";
import type { Numbers } from "./numbers";
import { isDrawn, isPicture } from "./media-type";
import { EDIT_WINDOW } from "./threads";

export const SETTINGS: Settings = {
  theme: "system",
  textSize: "normal",
  language: "en",
  enterSends: true,
  readReceipts: true,
  typing: true,
  notifications: "full",
  singleKeys: true,
  autoDownload: "photos",
  quality: "hd",
};

/** Files of a conversation among which its photos are looked for. */
export const MAX_PHOTOS = 2_000;

/** What is known of people for as long as the connection lasts. */
export interface Presence {
  typing: ReadonlySet<Aor>;
  reach: ReadonlyMap<Aor, Conversation["reach"]>;
}

export class View {
  readonly #db: Database;
  readonly #numbers: Numbers;
  readonly #presence: Presence;
  readonly #now: () => number;

  constructor(db: Database, numbers: Numbers, presence: Presence, now: () => number) {
    this.#db = db;
    this.#numbers = numbers;
    this.#presence = presence;
    this.#now = now;
  }

  /** All of them: the pinned in their order, then by activity. */
  async conversations(): Promise<Conversation[]> {
    const [rows, names, blocked] = await Promise.all([this.#db.conversations.toArray(), this.names(), this.blocked()]);
    const shown = rows.filter(({ last, draft, pinned }) => last !== undefined || draft !== "" || pinned !== undefined);
    return shown.map((row) => this.#conversation(row, names, blocked)).sort(inOrder);
  }

  /** One conversation; an empty one for somebody never written to. */
  async conversation(id: Aor): Promise<Conversation> {
    const [row, contact, blocked] = await Promise.all([
      this.#db.conversations.get(id),
      this.#db.contacts.get(id),
      this.blocked(),
    ]);
    const names = new Map(contact ? [[id, contact.name]] : []);
    return this.#conversation(row ?? emptyConversation(id, this.#now()), names, blocked);
  }

  /** The newest of a conversation, oldest first. */
  async messages(id: Aor, limit: number): Promise<Message[]> {
    return this.#messages(id, (await this.#db.newest(id, limit)).reverse());
  }

  /** The photos of a conversation that can be shown, oldest first. */
  async photos(id: Aor): Promise<Message[]> {
    const rows = (await this.#db.newestFiles(id, MAX_PHOTOS)).reverse();
    const photos = rows.filter(({ file }) => file !== undefined && isPicture(file.type));
    return (await this.#messages(id, photos)).filter(({ file }) => file?.state !== "gone");
  }

  async #messages(id: Aor, rows: readonly MessageRow[]): Promise<Message[]> {
    const targets = rows.flatMap(({ reply }) => (reply === undefined ? [] : [reply]));
    const files = rows.flatMap(({ kind, id: message }): [Aor, string][] => (kind === "file" ? [[id, message]] : []));
    const [found, own, transfers] = await Promise.all([
      this.#db.messages.bulkGet(targets.map((target) => [id, target])),
      this.#db.fact("identity"),
      this.#db.transfers.bulkGet(files),
    ]);
    const uploads = new Map(transfers.flatMap((row) => (row === undefined ? [] : [[row.id, row]])));
    const byId = new Map(found.flatMap((row) => (row === undefined ? [] : [[row.id, row]])));
    return rows.map((row) => this.#message(row, byId, own?.aor ?? "", uploads.get(row.id)));
  }

  async contacts(): Promise<Contact[]> {
    const rows = await this.#db.contacts.toArray();
    const all = rows.map(({ id, name }) => ({ id, name, number: this.#numbers.write(id) }));
    return all.sort((one, other) => one.name.localeCompare(other.name));
  }

  async names(): Promise<Map<Aor, string>> {
    return new Map((await this.#db.contacts.toArray()).map(({ id, name }) => [id, name]));
  }

  async blocked(): Promise<Set<Aor>> {
    return new Set(await this.#db.fact("blocked"));
  }

  #conversation(row: ConversationRow, names: Map<Aor, string>, blocked: Set<Aor>): Conversation {
    const { id, last, pinned, unreadFrom, answered, noted: _, ...same } = row;
    const number = this.#numbers.write(id);
    return {
      ...same,
      id,
      name: names.get(id) ?? number,
      number,
      ...(last === undefined ? {} : { last }),
      ...(pinned === undefined ? {} : { pinned }),
      ...(unreadFrom === undefined ? {} : { unreadFrom }),
      blocked: blocked.has(id),
      typing: this.#presence.typing.has(id),
      reach: this.#presence.reach.get(id) ?? "unknown",
      stranger: !answered && !names.has(id) && last !== undefined,
    };
  }

  #message(row: MessageRow, found: Map<string, MessageRow>, own: Aor, upload?: TransferRow): Message {
    const target = row.reply === undefined ? undefined : found.get(row.reply);
    const quoted =
      target === undefined || target.kind === "deleted" ? {} : { found: { own: target.own, ...gistOf(target) } };
    return {
      id: row.id,
      conversation: row.conversation,
      own: row.own,
      at: row.at,
      kind: row.kind,
      text: row.text,
      ...(row.file === undefined ? {} : { file: sharedFile(row.file, upload, this.#now()) }),
      ...(row.place === undefined ? {} : { place: row.place }),
      state: row.state,
      ...(row.failure === undefined ? {} : { failure: row.failure }),
      ...(row.reply === undefined ? {} : { reply: { id: row.reply, ...quoted } }),
      reactions: row.reactions.map(({ emoji, by }): Reaction => ({ emoji, by, own: by.includes(own) })),
      ...(row.editedAt === undefined ? {} : { editedAt: row.editedAt }),
      ...(row.earlier === undefined ? {} : { earlier: row.earlier }),
      reached: row.reached,
      can: canBeDone(row, this.#now()),
    };
  }
}

/** What the person may do with a message now. */
export function canBeDone(row: MessageRow, now: number): Message["can"] {
  const left = row.own && row.state !== "pending" && row.state !== "failed";
  const said = row.kind === "text" || row.kind === "file" || row.kind === "location";
  const changeable = left && said && now <= row.arrived + EDIT_WINDOW;
  return {
    edit: changeable && row.kind === "text",
    deleteForEveryone: changeable,
    cancelSending: row.own && said && (row.state === "pending" || row.state === "stored"),
    retry: row.own && row.state === "failed",
  };
}

/** What a message says in short. */
export function gistOf({ kind, text, file }: Pick<MessageRow, "kind" | "text" | "file">): Gist {
  return { kind, text, ...(file?.seconds === undefined ? {} : { seconds: file.seconds }) };
}

/** A file with what may be done about it. */
function sharedFile(row: FileRow, upload: TransferRow | undefined, now: number): SharedFile {
  const { name, size, type, until, seconds, wave, here, batch, broken } = row;
  const state = upload?.failed ? "failed" : upload?.paused ? "paused" : upload ? "waiting" : undefined;
  const at = upload === undefined ? row.kept : upload.sent;
  return {
    name,
    size,
    type,
    until,
    picture: isPicture(type),
    drawn: isDrawn(type),
    state: state ?? (here ? "here" : until <= now ? "gone" : "there"),
    ...(seconds === undefined ? {} : { seconds }),
    ...(wave === undefined ? {} : { wave }),
    ...(batch === undefined ? {} : { batch }),
    ...(at === undefined || at === 0 ? {} : { at }),
    ...(broken === undefined || here ? {} : { broken }),
  };
}

function inOrder(one: Conversation, other: Conversation): number {
  if (one.pinned !== undefined || other.pinned !== undefined) {
    return (one.pinned ?? Infinity) - (other.pinned ?? Infinity);
  }
  return other.at - one.at;
}

/** Whether it counts as one with something new. */
export function isUnread({ unread, markedUnread, mutedUntil, archived }: Conversation, now: number): boolean {
  return (unread > 0 || markedUnread) && mutedUntil <= now && !archived;
}
