/**
 * Uploads: what has to go to the content server is kept until it is there, and then leaves as a message.
 *
 * Design §6, §7: they wait in no lane of the outbox, so that texts overtake them and one that fails holds up no other.
 * What a person wants of one (wait, go on, not at all) is in the database, where the tab that uploads sees it. One tab
 * does: `leader.ts`.
 */

import { buildFileInfo } from "../protocol/file-info";
import type { ContentServer } from "./content";
import { passes, TransferProblem, type Uploaded } from "./content";
import type { Database, MessageRow, TransferRow } from "./database";
import { wrapFile } from "./envelope";
import type { Environment } from "./environment";
import { HttpProblem } from "./http";
import { Meter } from "./meter";
import type { FailureReason, Moving } from "./model";
import { KEEP_FOR } from "./outbox";
import { asVoice, comesByItself, factsOf } from "./shared-file";
import type { Threads } from "./threads";

/** Uploads at one time: one that is large keeps no photo waiting. */
export const AT_ONCE = 2;
/** Milliseconds before another attempt: doubled from the one to the other. */
export const AGAIN_FIRST = 1_000;
export const AGAIN_MAX = 60_000;
/** Attempts after which a server that forgets is not asked any more. */
const FORGOTTEN = 5;

export interface UploadEvents {
  /** How far one has come; undefined when it does not move any more. */
  onMoving(id: string, moving: Moving | undefined): void;
  /** A message was put into the outbox. */
  onReady(): void;
}

export class Uploads {
  readonly #environment: Pick<Environment, "now" | "after">;
  readonly #db: Database;
  readonly #threads: Threads;
  readonly #server: Pick<ContentServer, "upload">;
  readonly #events: UploadEvents;
  readonly #running = new Map<string, AbortController>();
  #on = false;
  #looking: Promise<void> | undefined;
  #again = false;
  #stopTimer = (): void => {};

  constructor(
    environment: Pick<Environment, "now" | "after">,
    db: Database,
    threads: Threads,
    server: Pick<ContentServer, "upload">,
    events: UploadEvents,
  ) {
    this.#environment = environment;
    this.#db = db;
    this.#threads = threads;
    this.#server = server;
    this.#events = events;
  }

  /** Begins, or tries at once what waits for another attempt. */
  async start(): Promise<void> {
    this.#on = true;
    await this.#db.transfers
      .toCollection()
      .modify({ due: 0 })
      .catch(() => {});
    await this.wake();
  }

  /** Nothing moves any more. */
  stop(): void {
    this.#on = false;
    this.#stopTimer();
    this.cut();
  }

  /** The browser has lost its network, which the requests under way may not notice. */
  cut(): void {
    for (const running of this.#running.values()) running.abort();
  }

  /** Something was put in, or the person wants something else. */
  async wake(): Promise<void> {
    this.#again = true;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  async #look(): Promise<void> {
    while (this.#again && this.#on) {
      this.#again = false;
      try {
        this.#arrange(await this.#db.transfers.orderBy("created").toArray());
      } catch {
        this.#arm(AGAIN_FIRST); // the database is busy, or closing
      }
    }
  }

  #arrange(rows: readonly TransferRow[]): void {
    const now = this.#environment.now();
    const wanted = rows.filter(({ paused, failed }) => !paused && !failed);
    const names = new Set(wanted.map(({ id }) => id));
    for (const [id, running] of this.#running) if (!names.has(id)) running.abort();
    const waiting = wanted.filter(({ id }) => !this.#running.has(id));
    const due = waiting.filter((row) => row.due <= now);
    for (const row of due.slice(0, Math.max(0, AT_ONCE - this.#running.size))) void this.#run(row);
    const later = waiting.filter((row) => row.due > now).map((row) => row.due - now);
    if (later.length > 0) this.#arm(Math.min(...later));
  }

  async #run(row: TransferRow): Promise<void> {
    const giveUp = new AbortController();
    this.#running.set(row.id, giveUp);
    const far = { bytes: row.sent ?? 0 };
    try {
      await this.#upload(row, giveUp.signal, far);
    } catch (error) {
      if (!giveUp.signal.aborted) await this.#failed(row, error).catch(() => {});
      // What is said of it while it waits.
      await this.#db.transfers.update([row.conversation, row.id], { sent: far.bytes }).catch(() => {});
    } finally {
      this.#running.delete(row.id);
      this.#events.onMoving(row.id, undefined);
      void this.wake();
    }
  }

  async #upload(row: TransferRow, signal: AbortSignal, far: { bytes: number }): Promise<void> {
    const { conversation, id, tid, begun } = row;
    const [message, content] = await Promise.all([
      this.#db.messages.get([conversation, id]),
      this.#db.contents.get([conversation, id]),
    ]);
    if (message?.file === undefined || content?.whole === undefined) throw new TransferProblem(410, "gone");
    const { name, type, size } = message.file;
    const { whole, preview } = content;
    let meter: Meter | undefined;
    const moved = (bytes: number): void => {
      if (signal.aborted) return;
      far.bytes = bytes;
      // From where it goes on: what was there before came at no rate.
      meter ??= new Meter(this.#environment.now, bytes);
      const rate = meter.take(bytes);
      if (rate !== undefined) this.#events.onMoving(id, { bytes, of: size, rate });
    };
    this.#events.onMoving(id, { bytes: far.bytes, of: size, rate: 0, ...(begun ? { phase: "resuming" } : {}) });
    const upload = { tid, begun, whole, name, type, ...(preview === undefined ? {} : { preview }) };
    const uploaded = await this.#server.upload(upload, signal, moved, async () => {
      await this.#db.transfers.update([conversation, id], { begun: true });
    });
    await this.#finish(message, uploaded);
  }

  /** It is there: the message leaves. */
  async #finish({ conversation, id, file }: MessageRow, uploaded: Uploaded): Promise<void> {
    const { document, infos } = file?.seconds === undefined ? uploaded : voiced(uploaded, file.seconds);
    const { db, now } = { db: this.#db, now: this.#environment.now() };
    await db.transaction("rw", db.tables, async () => {
      if ((await db.transfers.get([conversation, id])) === undefined) return; // taken back in this very moment
      const facts = factsOf(infos);
      // What is large is not kept twice: it can be fetched like any other.
      const here = file !== undefined && comesByItself(file);
      if (!here) await db.contents.update([conversation, id], (row: { whole?: Blob }) => void delete row.whole);
      await db.messages.update([conversation, id], {
        file: { ...file, ...facts, name: file?.name ?? facts.name, here },
        original: new TextDecoder().decode(document),
      });
      const leaving = { lane: conversation, conversation, id, kind: "chat" as const };
      // Its time is when it leaves: what overtook it has been read by then.
      const cpim = wrapFile(id, now, document);
      await db.outbox.add({ ...leaving, cpim, created: now, tries: 0, due: 0, away: false });
      await db.transfers.delete([conversation, id]);
    });
    this.#events.onReady();
  }

  async #failed({ conversation, id, tries, created, begun: before }: TransferRow, error: unknown): Promise<void> {
    const now = this.#environment.now();
    const over = now - created > KEEP_FOR;
    if (passes(error) && !over) {
      const due = now + Math.min(AGAIN_FIRST * 2 ** tries, AGAIN_MAX);
      await this.#db.transfers.update([conversation, id], { tries: tries + 1, due });
      return;
    }
    // One that the server has forgotten begins anew; of one that it understood otherwise it is asked again.
    if (error instanceof TransferProblem && [400, 404].includes(error.status) && tries < FORGOTTEN && !over) {
      const begun = error.status === 400 && before;
      await this.#db.transfers.update([conversation, id], { begun, tries: tries + 1, due: now + AGAIN_FIRST });
      return;
    }
    await this.#db.transfers.update([conversation, id], { failed: true });
    await this.#threads.advance(conversation, id, "failed", { failure: over ? "expired" : reasonOf(error) });
  }

  #arm(wait: number): void {
    this.#stopTimer();
    this.#stopTimer = this.#environment.after(wait, () => void this.wake());
  }
}

/** The server knows of a sound, not that it is a message. */
function voiced({ infos }: Uploaded, seconds: number): Uploaded {
  const said = asVoice(infos, seconds);
  return { document: buildFileInfo(said), infos: said };
}

function reasonOf(error: unknown): FailureReason {
  if (error instanceof HttpProblem) return "forbidden";
  if (!(error instanceof TransferProblem)) return "refused";
  if (error.status === 413) return error.word === "quota" ? "no-room" : "file-too-large";
  if (error.status === 403) return error.word === "infected" ? "infected" : "forbidden";
  return error.status === 415 ? "file-type" : "refused";
}
