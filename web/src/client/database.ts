/**
 * What is kept on this device: it is painted from first, and survives a reload. Signing out wipes it.
 *
 * Every tab writes to it; what a tab shows follows by itself (`store.ts`).
 */

import Dexie, { type Table } from "dexie";
import type {
  Aor,
  Conversation,
  DeliveryState,
  FailureReason,
  FileLimits,
  Message,
  Operator,
  Place,
  Settings,
} from "./model";

export interface MessageRow {
  conversation: Aor;
  /** The imdn.Message-ID. */
  id: string;
  own: boolean;
  /** Who wrote it. */
  by: Aor;
  /** Milliseconds since 1970: its time and its place (`Threads.timeOf`). */
  at: number;
  /** When it came, by our clock, or by the server's when the history says it. Nothing of it is the sender's to choose. */
  arrived: number;
  /** When it was written, by its sender's clock, where that is known. */
  written?: number;
  kind: Message["kind"];
  /** As it is now; `original` as it came. Of a file its name, of a place its label, and the document that tells of it. */
  text: string;
  original: string;
  state: DeliveryState;
  failure?: FailureReason;
  reached: Partial<Record<DeliveryState, number>>;
  /** What the message stands for, if it is of the kind `file`. */
  file?: FileRow;
  /** The same of the kind `location`. */
  place?: Place;
  reply?: string;
  editedAt?: number;
  earlier?: string[];
  reactions: { emoji: string; by: Aor[] }[];
  /** 1 while it is incoming and unread: a number, since IndexedDB keeps no index of booleans. */
  unseen: 0 | 1;
  /** The sender wants to know when it is displayed. */
  wantsDisplay: boolean;
  /** When this row was last written, for the search index. */
  touched: number;
}

/** A file, as its sender describes it. */
export interface FileRow {
  name: string;
  /** Bytes. */
  size: number;
  /** Its media type, in lower case. */
  type: string;
  /** Where it can be fetched, and until when; empty until one of ours has been uploaded. */
  url: string;
  until: number;
  preview?: { url: string; size: number };
  /** It is a voice message: see `SharedFile`. */
  seconds?: number;
  wave?: readonly number[];
  /** All of it is on this device. */
  here: boolean;
  /** It was sent in one go with others of the same (`SharedFile.batch`). */
  batch?: string;
  /** Bytes that had come when its download was stopped; that it failed. */
  kept?: number;
  broken?: true;
  /** It was here, and was given up for its room: it does not come back by itself. */
  freed?: true;
}

/** What is on this device of a file. */
export interface ContentRow {
  conversation: Aor;
  id: string;
  whole?: Blob;
  preview?: Blob;
  /** The JPEG that the content server makes of what browsers do not draw. */
  shown?: Blob;
}

/** An upload that is not complete. */
export interface TransferRow {
  conversation: Aor;
  id: string;
  /** Its name on the content server, a UUID. */
  tid: string;
  created: number;
  /** Bytes may have left. */
  begun: boolean;
  /** How many had when it was stopped; the server may have fewer. */
  sent?: number;
  paused: boolean;
  failed: boolean;
  tries: number;
  /** Not to be tried before. */
  due: number;
}

/** A part of a file that is being fetched: what came in one go, from byte `at` on. */
export interface PieceRow {
  conversation: Aor;
  id: string;
  at: number;
  blob: Blob;
}

/** A reaction, an edit or a deletion; it may come before the message it is about, and is kept until then. */
export interface MarkRow {
  conversation: Aor;
  target: string;
  by: Aor;
  /** `reaction:👍`, `edit:<id>`, or `delete`. */
  what: string;
  /** The newer of two counts. */
  at: number;
  /**
   * When it came, as `MessageRow.arrived`: whether it was in time. The earlier of our clock's and the history's time
   * counts; its message keeps the one it came with. So devices can disagree about an edit that was late: where both
   * had waited in the network, they came together by our clock, and it is taken; where both came as they were sent, or
   * out of the history, it is not. What somebody has had before their eyes for longer than that cannot be changed by
   * this: where the message came at its time, the edit is late (as far as our clock and the server's agree).
   */
  arrived: number;
  /** Its own imdn.Message-ID. */
  id: string;
  /** The new text of an edit. */
  text: string;
  /** False when a reaction was taken back. */
  on: boolean;
}

export interface ConversationRow {
  id: Aor;
  /** When its newest message came. */
  at: number;
  /** `file` is the media type of one. */
  last?: Conversation["last"];
  unread: number;
  markedUnread: boolean;
  pinned?: number;
  mutedUntil: number;
  archived: boolean;
  draft: string;
  unreadFrom?: string;
  /** We have written to them. */
  answered: boolean;
  /** The note about stored messages is in it. */
  noted: boolean;
}

/** Something that has to leave, in the order of its lane. */
export interface OutboxRow {
  seq?: number;
  /** What must stay in order: one conversation's messages, or its receipts. */
  lane: string;
  conversation: Aor;
  /** The message it is, or is about. */
  id: string;
  kind: "chat" | "extension" | "receipt" | "revocation";
  /** Built once, so that sending again is sending the same. */
  cpim: Uint8Array;
  created: number;
  tries: number;
  /** Not to be tried before. */
  due: number;
  /** On its way, so that it cannot be held back any more. */
  away: boolean;
}

export interface ContactRow {
  id: Aor;
  name: string;
}

/** What is known of this device and its session. */
export interface Facts {
  identity: { aor: Aor; number: string; profileName: string; operator: Operator };
  /** How often this device was wiped: what was begun before is of a session that is over. */
  session: number;
  /** +sip.instance, for as long as the device is signed in. */
  instance: string;
  /** Cursors of the history: the newest item taken, and the oldest, empty when there is nothing before it. */
  newest: string;
  oldest: string;
  /** When the network took the item at `newest`, by its clock. */
  newestAt: number;
  blocked: Aor[];
  /** What the operator's content server takes, and where it is; undefined when there is none. */
  files: FileLimits & { url: string; others?: string[] };
  /** Signed out here, and the node does not know yet. */
  leaving: true;
}

export class Database extends Dexie {
  declare conversations: Table<ConversationRow, Aor>;
  declare messages: Table<MessageRow, [Aor, string]>;
  declare marks: Table<MarkRow, [Aor, string, Aor, string]>;
  declare outbox: Table<OutboxRow, number>;
  declare contacts: Table<ContactRow, Aor>;
  declare settings: Table<{ key: string; value: unknown }, string>;
  declare facts: Table<{ key: string; value: unknown }, string>;
  declare contents: Table<ContentRow, [Aor, string]>;
  declare transfers: Table<TransferRow, [Aor, string]>;
  declare pieces: Table<PieceRow, [Aor, string, number]>;
  /** Messages deleted here, which nothing must bring back; an empty id stands for the history until `at`, by the server. */
  declare gone: Table<{ conversation: Aor; id: string; at: number }, [Aor, string]>;

  constructor(name: string) {
    super(name);
    this.version(1).stores({
      conversations: "id",
      messages: "[conversation+id], [conversation+at+id], [conversation+unseen], touched",
      marks: "[conversation+target+by+what], [conversation+target]",
      outbox: "++seq, [lane+seq], id, conversation",
      contacts: "id",
      settings: "key",
      facts: "key",
      gone: "[conversation+id]",
    });
    this.version(2).stores({
      contents: "[conversation+id]",
      transfers: "[conversation+id], created",
      pieces: "[conversation+id+at], [conversation+id]",
    });
    this.version(3).stores({
      messages: "[conversation+id], [conversation+at+id], [conversation+unseen], [conversation+kind+at+id], touched",
    });
  }

  async fact<Name extends keyof Facts>(name: Name): Promise<Facts[Name] | undefined> {
    return (await this.facts.get(name))?.value as Facts[Name] | undefined;
  }

  async setFact<Name extends keyof Facts>(name: Name, value: Facts[Name]): Promise<void> {
    await this.facts.put({ key: name, value });
  }

  async readSettings(defaults: Settings): Promise<Settings> {
    const kept = await this.settings.toArray();
    return { ...defaults, ...Object.fromEntries(kept.map(({ key, value }) => [key, value])) };
  }

  /** The rows of a conversation from the newest to older ones. */
  newest(conversation: Aor, limit: number): Promise<MessageRow[]> {
    return this.messages
      .where("[conversation+at+id]")
      .between([conversation, Dexie.minKey], [conversation, Dexie.maxKey])
      .reverse()
      .limit(limit)
      .toArray();
  }

  /** The newest of a conversation's files, from newer to older ones. */
  newestFiles(conversation: Aor, limit: number): Promise<MessageRow[]> {
    return this.messages
      .where("[conversation+kind+at+id]")
      .between([conversation, "file", Dexie.minKey], [conversation, "file", Dexie.maxKey])
      .reverse()
      .limit(limit)
      .toArray();
  }

  /** The number of the session, which never comes again. */
  async session(): Promise<number> {
    return (await this.fact("session")) ?? 0;
  }

  /** Changes something in one transaction, as of that session; false, and nothing, when another one has begun. */
  during(session: number, change: () => Promise<unknown>): Promise<boolean> {
    return this.transaction("rw", this.tables, async () => {
      if ((await this.session()) !== session) return false;
      await change();
      return true;
    });
  }

  /**
   * Forgets everything, but that the node is to be told, or how somebody who is just signing in has set the page. The
   * tables stay, since other tabs have them open.
   */
  async wipe(leaving = false, keep: readonly string[] = []): Promise<void> {
    await this.transaction("rw", this.tables, async () => {
      const session = await this.session();
      await Promise.all(this.tables.filter((table) => !keep.includes(table.name)).map((table) => table.clear()));
      await this.setFact("session", session + 1);
      if (leaving) await this.setFact("leaving", true);
    });
  }
}

export function emptyConversation(id: Aor, at: number): ConversationRow {
  return {
    id,
    at,
    unread: 0,
    markedUnread: false,
    mutedUntil: 0,
    archived: false,
    draft: "",
    answered: false,
    noted: false,
  };
}
