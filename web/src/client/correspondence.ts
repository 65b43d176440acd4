/** What a person does with messages: each is in the database when its promise resolves, and leaves by the outbox. */

import { utf8 } from "../protocol/bytes";
import type { Database, MessageRow, OutboxRow } from "./database";
import {
  deletedText,
  type Reference,
  type ReferenceKind,
  wrapFile,
  wrapLocation,
  wrapRevocation,
  wrapText,
} from "./envelope";
import { type Environment, uuid } from "./environment";
import { markOf } from "./inbox";
import type { Aor, Outgoing, Place } from "./model";
import { placeDocument, readPlace } from "./place";
import { cleanName } from "./shared-file";
import type { Threads } from "./threads";
import { canBeDone } from "./view";

export class Correspondence {
  readonly #environment: Pick<Environment, "now" | "random">;
  readonly #db: Database;
  readonly #threads: Threads;
  readonly #wake: () => void;

  /** `wake` is called when there is something in the outbox. */
  constructor(environment: Pick<Environment, "now" | "random">, db: Database, threads: Threads, wake: () => void) {
    this.#environment = environment;
    this.#db = db;
    this.#threads = threads;
    this.#wake = wake;
  }

  async send(conversation: Aor, text: string, reply?: string): Promise<void> {
    const now = this.#environment.now();
    const id = this.#environment.random(32);
    const reference: Reference | undefined = reply === undefined ? undefined : { kind: "reply", target: reply };
    const by = await this.#own();
    const message = { conversation, id, own: true, by, kind: "text" as const, text };
    await this.#change(async () => {
      const at = await this.#threads.timeOf(conversation, by, now);
      await this.#threads.add({ ...message, at, ...(reply === undefined ? {} : { reply }) });
      await this.#threads.alter(conversation, (row) => {
        row.draft = "";
      });
      await this.#put(conversation, id, "chat", wrapText(id, now, text, reference));
    });
  }

  /** Files, each a message: kept here with what is shown of them, and uploaded by the tab that does so. */
  async sendFiles(conversation: Aor, files: readonly Outgoing[]): Promise<void> {
    const now = this.#environment.now();
    const by = await this.#own();
    const batch = this.#environment.random(16);
    await this.#change(async () => {
      for (const { blob, name, type, preview, seconds, wave } of files) {
        const id = this.#environment.random(32);
        const at = await this.#threads.timeOf(conversation, by, now);
        const voice = { ...(seconds === undefined ? {} : { seconds }), ...(wave === undefined ? {} : { wave }) };
        const file = {
          name: cleanName(name),
          size: blob.size,
          type,
          url: "",
          until: Infinity,
          here: true,
          batch,
          ...voice,
        };
        const message = { conversation, id, own: true, by, at, kind: "file" as const, text: file.name };
        await this.#threads.add({ ...message, original: "", file });
        await this.#db.contents.put({ conversation, id, whole: blob, ...(preview === undefined ? {} : { preview }) });
        const attempt = { begun: false, paused: false, failed: false, tries: 0, due: 0 };
        await this.#db.transfers.put({ conversation, id, tid: uuid(this.#environment), created: now, ...attempt });
      }
    });
  }

  /** A place, which holds for an hour. */
  async sendLocation(conversation: Aor, where: Omit<Place, "until">): Promise<void> {
    const now = this.#environment.now();
    const id = this.#environment.random(32);
    const by = await this.#own();
    const document = placeDocument(where, { id: this.#environment.random(16), entity: by, now });
    const place = readPlace(document);
    if (place === undefined) throw new RangeError("no place on Earth");
    const message = { conversation, id, own: true, by, kind: "location" as const, text: place.label };
    await this.#change(async () => {
      const at = await this.#threads.timeOf(conversation, by, now);
      await this.#threads.add({ ...message, at, place, original: new TextDecoder().decode(document) });
      await this.#put(conversation, id, "chat", wrapLocation(id, now, document));
    });
  }

  /** An upload waits, or goes on. */
  async pause(conversation: Aor, id: string, paused: boolean): Promise<void> {
    await this.#change(async () => {
      await this.#db.transfers.update([conversation, id], { paused, due: 0, tries: 0 });
    });
  }

  /** The same content once more; a file's document says where it is, and no byte has to be sent again. */
  async forward(row: MessageRow, to: Aor): Promise<void> {
    if (row.kind === "text") return this.send(to, row.text);
    const now = this.#environment.now();
    // RFC 4119 §2.2.2: where somebody else is is not ours to tell, unless they say so; joyn clients never do.
    if (row.place !== undefined) return row.own && row.place.until > now ? this.sendLocation(to, row.place) : undefined;
    if (row.file === undefined || row.original === "" || row.file.until <= now) return;
    const id = this.#environment.random(32);
    const by = await this.#own();
    const { text, original } = row;
    const { batch: _, kept: _kept, broken: _broken, ...file } = row.file;
    await this.#change(async () => {
      const at = await this.#threads.timeOf(to, by, now);
      const message = { conversation: to, id, own: true, by, at, kind: "file" as const, text, original };
      const content = await this.#db.contents.get([row.conversation, row.id]);
      if (content !== undefined) await this.#db.contents.put({ ...content, conversation: to, id });
      await this.#threads.add({ ...message, file: { ...file, here: content?.whole !== undefined } });
      await this.#put(to, id, "chat", wrapFile(id, now, utf8(original)));
    });
  }

  /** The same message again, with the same id. */
  async retry(conversation: Aor, id: string): Promise<void> {
    await this.#change(async () => {
      const row = await this.#db.messages.get([conversation, id]);
      if (row === undefined || !(await this.#threads.revive(conversation, id))) return;
      if (row.kind === "file") {
        // Its upload goes on where it was; with none left over, it is there, and only the message was not taken.
        const again = { failed: false, paused: false, tries: 0, due: 0, created: this.#environment.now() };
        if ((await this.#db.transfers.update([conversation, id], again)) > 0) return;
        const now = this.#environment.now();
        return this.#put(conversation, id, "chat", wrapFile(id, now, utf8(row.original)));
      }
      if (row.kind === "location") {
        return this.#put(conversation, id, "chat", wrapLocation(id, row.at, utf8(row.original)));
      }
      const reference: Reference | undefined =
        row.reply === undefined ? undefined : { kind: "reply", target: row.reply };
      await this.#put(conversation, id, "chat", wrapText(id, row.at, row.original, reference));
    });
  }

  /** A message that has not left does not leave; one that waits in the network is asked back. */
  async cancel(conversation: Aor, id: string): Promise<void> {
    await this.#change(async () => {
      const row = await this.#db.messages.get([conversation, id]);
      if (row === undefined || !canBeDone(row, this.#environment.now()).cancelSending) return;
      if (row.state === "pending") {
        const waiting = await this.#db.outbox.where({ id }).toArray();
        if (waiting.some(({ away }) => away)) return; // too late
        await this.#threads.remove(conversation, id);
      } else {
        const { random, now } = this.#environment;
        await this.#put(conversation, id, "revocation", wrapRevocation(random(32), now(), id));
      }
    });
  }

  async edit(conversation: Aor, id: string, text: string): Promise<void> {
    const row = await this.#db.messages.get([conversation, id]);
    if (row === undefined || row.text === text || !canBeDone(row, this.#environment.now()).edit) return;
    await this.#refer("edit", row, text);
  }

  async deleteForEveryone(conversation: Aor, id: string, language: string): Promise<void> {
    const row = await this.#db.messages.get([conversation, id]);
    if (row === undefined || !canBeDone(row, this.#environment.now()).deleteForEveryone) return;
    await this.#refer("delete", row, deletedText(language));
  }

  /** Puts a reaction, or takes it back when it is there. */
  async react(conversation: Aor, id: string, emoji: string): Promise<void> {
    const row = await this.#db.messages.get([conversation, id]);
    if (row === undefined || row.kind === "deleted" || row.kind === "note") return;
    const own = await this.#own();
    const there = row.reactions.some((reaction) => reaction.emoji === emoji && reaction.by.includes(own));
    await this.#refer(there ? "unreact" : "react", row, emoji);
  }

  async #refer(kind: ReferenceKind, { conversation, id: target }: MessageRow, text: string): Promise<void> {
    const at = this.#environment.now();
    const id = this.#environment.random(32);
    const mark = markOf({ kind, target }, { conversation, by: await this.#own(), at, arrived: at, id }, text);
    if (mark === null) return;
    await this.#change(async () => {
      await this.#threads.mark(mark);
      await this.#put(conversation, id, "extension", wrapText(id, at, text, { kind, target }));
    });
  }

  async #put(conversation: Aor, id: string, kind: OutboxRow["kind"], cpim: Uint8Array): Promise<void> {
    const created = this.#environment.now();
    await this.#db.outbox.add({
      lane: conversation,
      conversation,
      id,
      kind,
      cpim,
      created,
      tries: 0,
      due: 0,
      away: false,
    });
  }

  async #own(): Promise<Aor> {
    return (await this.#db.fact("identity"))?.aor ?? "";
  }

  async #change(work: () => Promise<void>): Promise<void> {
    await this.#db.transaction("rw", this.#db.tables, work);
    this.#wake();
  }
}
