/**
 * Downloads: what is looked at is fetched, into the database and from where it was cut.
 *
 * Design §7, §10: thumbnails come by themselves, and what the settings say, voice messages like photos; the rest when somebody wants it. Only the
 * operator's own content server is asked: a link of a stranger's would tell them who looks, and when.
 */

import type { ContentServer } from "./content";
import { passes, STALL, TransferProblem } from "./content";
import type { ContentRow, Database, FileRow, MessageRow } from "./database";
import type { Environment } from "./environment";
import { isDrawn, isPicture } from "./media-type";
import { Meter } from "./meter";
import type { Aor, Moving } from "./model";
import { comesByItself, MAX_PREVIEW } from "./shared-file";
import { Turns } from "./turns";
import { SETTINGS } from "./view";

/** Bytes after which what came is kept. */
export const PIECE = 1024 * 1024;
/** Attempts, and milliseconds before another one: doubled from the one to the other. */
export const TRIES = 8;
/** Downloads of this page at one time, and those that come by themselves and may wait; more are looked at again. */
export const AT_ONCE = 3;
export const MAX_WAITING = 100;
/** Bytes of a shown form that is taken: a JPEG of 4096 pixels a side. */
export const MAX_SHOWN = 32 * 1024 * 1024;
const AGAIN_FIRST = 1_000;

export class Downloads {
  /** How far one has come; undefined when it does not move any more. */
  onMoving: (id: string, moving: Moving | undefined) => void = () => {};
  readonly #environment: Pick<Environment, "now" | "after" | "locks" | "database" | "saves">;
  readonly #db: Database;
  readonly #server: Pick<ContentServer, "download">;
  readonly #running = new Map<string, { promise: Promise<void>; giveUp: AbortController }>();
  readonly #cuts = new Set<() => void>();
  readonly #waits = new Set<() => void>();
  readonly #turns = new Turns(AT_ONCE);
  /** What was looked at since this page was opened. */
  readonly #asked = new Set<string>();

  constructor(
    environment: Pick<Environment, "now" | "after" | "locks" | "database" | "saves">,
    db: Database,
    server: Pick<ContentServer, "download">,
  ) {
    this.#environment = environment;
    this.#db = db;
    this.#server = server;
  }

  /** Somebody sees the message: what comes by itself is fetched. */
  async look(conversation: Aor, id: string): Promise<void> {
    const file = (await this.#db.messages.get([conversation, id]))?.file;
    if (file === undefined || this.#asked.has(id) || !(await this.#fetchable(file))) return;
    this.#asked.add(id);
    await this.#preview(conversation, id, file);
    // The server may have been too busy for a thumbnail when the file came.
    if (file.preview === undefined && (await this.#mayCome())) await this.show(conversation, id).catch(() => {});
    if (file.here || file.freed || !(await this.#byItself(file))) return;
    try {
      if (this.#turns.waiting < MAX_WAITING) await this.fetch(conversation, id, false);
      else this.#asked.delete(id);
    } catch (error) {
      this.#asked.delete(id); // another look may find the network better
      throw error;
    }
  }

  /**
   * Fetches a file: at once when somebody wants it, else behind those. Rejects with TransferProblem when that fails for
   * good; resolves when it was stopped, too.
   */
  async fetch(conversation: Aor, id: string, wanted = true): Promise<void> {
    const known = this.#running.get(id);
    if (known !== undefined) {
      if (wanted) this.#turns.hurry(id);
      return known.promise;
    }
    const giveUp = new AbortController();
    const work = () => this.#inTurn(conversation, id, wanted, giveUp.signal);
    const promise = this.#alone(id, work).finally(() => {
      this.#running.delete(id);
      this.onMoving(id, undefined);
    });
    this.#running.set(id, { promise, giveUp });
    return promise;
  }

  /** Fetches the JPEG that the content server makes of a picture browsers do not draw. Rejects when it makes none. */
  async show(conversation: Aor, id: string): Promise<void> {
    const file = (await this.#db.messages.get([conversation, id]))?.file;
    if (file === undefined || !isPicture(file.type) || isDrawn(file.type)) return;
    if ((await this.#db.contents.get([conversation, id]))?.shown !== undefined) return;
    if (!(await this.#fetchable(file))) throw new TransferProblem(404, "unknown");
    const url = new URL(file.url);
    url.pathname += "/shown";
    await this.#keep(conversation, id, { shown: await this.#jpeg(url.href, MAX_SHOWN) });
  }

  /** The browser has lost its network, which what is under way may not notice. */
  cut(): void {
    for (const cut of this.#cuts) cut();
  }

  /** There may be a network again: what waits for another attempt waits no longer. */
  hurry(): void {
    for (const go of this.#waits) go();
  }

  /** Stops one; what has come stays for when it goes on. */
  pause(id: string): void {
    this.#running.get(id)?.giveUp.abort();
  }

  /** Stops all of them. */
  stop(): void {
    for (const { giveUp } of this.#running.values()) giveUp.abort();
    this.#asked.clear();
  }

  /** Forgets what is kept of messages that were deleted. */
  async sweep(): Promise<void> {
    const { contents, pieces, messages } = this.#db;
    for (const row of await contents.toCollection().primaryKeys()) {
      if ((await messages.get(row)) === undefined) await contents.delete(row);
    }
    for (const key of await pieces.toCollection().primaryKeys()) {
      if ((await messages.get([key[0], key[1]])) === undefined) await pieces.delete(key);
    }
  }

  /** Another tab may be fetching the same: what it has fetched serves this one. */
  async #alone(id: string, work: () => Promise<void>): Promise<void> {
    const { locks, database } = this.#environment;
    if (locks === undefined) await work();
    else await locks.request(`${database}-download-${id}`, work);
  }

  async #fetchable({ url, until }: FileRow): Promise<boolean> {
    const server = await this.#db.fact("files");
    if (server === undefined || until <= this.#environment.now()) return false;
    const origins = [server.url, ...(server.others ?? [])].map((one) => new URL(one).origin);
    return URL.canParse(url) && origins.includes(new URL(url).origin);
  }

  /** Whether a file is fetched without being asked for. What only the shown form is drawn of is not needed here. */
  async #byItself(file: FileRow): Promise<boolean> {
    const { autoDownload } = await this.#db.readSettings(SETTINGS);
    return (
      (await this.#mayCome()) &&
      (autoDownload === "all" || (comesByItself(file) && (isDrawn(file.type) || file.seconds !== undefined)))
    );
  }

  async #mayCome(): Promise<boolean> {
    return (await this.#db.readSettings(SETTINGS)).autoDownload !== "never" && !this.#environment.saves();
  }

  async #preview(conversation: Aor, id: string, { preview, type, here }: FileRow): Promise<void> {
    if (preview === undefined || preview.size > MAX_PREVIEW || (here && isDrawn(type))) return;
    try {
      if ((await this.#db.contents.get([conversation, id]))?.preview !== undefined) return;
      await this.#keep(conversation, id, { preview: await this.#jpeg(preview.url, MAX_PREVIEW) });
    } catch {
      // The message does without.
    }
  }

  /** All of something small. Whatever it is called, it can only be drawn. */
  async #jpeg(url: string, max: number): Promise<Blob> {
    const giveUp = new AbortController();
    const { stream } = await this.#server.download(url, 0, giveUp.signal);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    const reader = stream.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      size += value.length;
      parts.push(value as Uint8Array<ArrayBuffer>);
      if (size <= max) continue;
      giveUp.abort();
      throw new TransferProblem(422, "size");
    }
    return new Blob(parts, { type: "image/jpeg" });
  }

  async #inTurn(conversation: Aor, id: string, wanted: boolean, signal: AbortSignal): Promise<void> {
    const file = (await this.#db.messages.get([conversation, id]))?.file;
    if (file === undefined || file.here) return;
    if (file.until <= this.#environment.now()) throw new TransferProblem(410, "gone");
    if (!(await this.#fetchable(file))) throw new TransferProblem(403, "elsewhere");
    if (this.#turns.full) this.onMoving(id, { bytes: file.kept ?? 0, of: file.size, rate: 0, phase: "queued" });
    if (!(await this.#turns.enter(id, wanted, signal))) return;
    try {
      await this.#all(conversation, id, file, signal);
      if (signal.aborted) await this.#note(conversation, id, false);
    } catch (error) {
      await this.#note(conversation, id, true);
      throw error;
    } finally {
      this.#turns.leave();
    }
  }

  /** What is said of one that does not move any more. */
  async #note(conversation: Aor, id: string, broken: boolean): Promise<void> {
    const kept = await this.#kept(conversation, id);
    await this.#db.messages.update([conversation, id], ({ file }: MessageRow) => {
      if (file === undefined) return;
      file.kept = kept;
      if (broken) file.broken = true;
      else delete file.broken;
    });
  }

  async #all(conversation: Aor, id: string, file: FileRow, signal: AbortSignal): Promise<void> {
    for (let tries = 0; !signal.aborted; tries += 1) {
      try {
        await this.#some(conversation, id, file, signal);
        await this.#assemble(conversation, id, file);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof TransferProblem && (error.status === 404 || error.status === 410)) {
          await this.#gone(conversation, id, file);
        }
        if (!passes(error) || tries + 1 === TRIES) throw error;
        const bytes = await this.#kept(conversation, id);
        this.onMoving(id, { bytes, of: file.size, rate: 0, phase: "stopped" });
        await this.#wait(AGAIN_FIRST * 2 ** tries, signal);
      }
    }
  }

  /** Fetches the rest, piece by piece into the database. */
  async #some(conversation: Aor, id: string, file: FileRow, signal: AbortSignal): Promise<void> {
    const at = await this.#kept(conversation, id);
    if (at === file.size && at > 0) return;
    this.onMoving(id, { bytes: at, of: file.size, rate: 0, ...(at > 0 ? { phase: "resuming" } : {}) });
    const giveUp = new AbortController();
    const cut = (): void => giveUp.abort();
    let stopStall = this.#environment.after(STALL, cut);
    signal.addEventListener("abort", cut);
    this.#cuts.add(cut);
    try {
      await this.#read(conversation, id, file, at, giveUp.signal, () => {
        stopStall();
        stopStall = this.#environment.after(STALL, cut);
      });
    } finally {
      stopStall();
      signal.removeEventListener("abort", cut);
      this.#cuts.delete(cut);
    }
  }

  async #read(
    conversation: Aor,
    id: string,
    file: FileRow,
    begin: number,
    signal: AbortSignal,
    came: () => void,
  ): Promise<void> {
    const { from, stream } = await this.#server.download(file.url, begin, signal);
    if (from !== begin) await this.#forget(conversation, id);
    let at = from;
    const meter = new Meter(this.#environment.now, at);
    let held: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    const flush = async (): Promise<void> => {
      if (size > 0) await this.#db.pieces.put({ conversation, id, at, blob: new Blob(held) });
      at += size;
      [held, size] = [[], 0];
    };
    const reader = stream.getReader();
    const stop = (): void => void reader.cancel().catch(() => {});
    signal.addEventListener("abort", stop);
    try {
      for (;;) {
        const { value, done } = await reader.read().catch(() => {
          throw new TransferProblem(0, "offline");
        });
        if (value !== undefined) {
          came();
          held.push(value as Uint8Array<ArrayBuffer>);
          size += value.length;
          const rate = meter.take(at + size);
          if (rate !== undefined) this.onMoving(id, { bytes: at + size, of: file.size, rate });
        }
        if (at + size > file.size) throw new TransferProblem(422, "size");
        if (done || size >= PIECE) await flush();
        if (done) break;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      await flush();
    }
    if (signal.aborted) throw new TransferProblem(0, "offline");
  }

  /** Its size is what was said: the file is whole. */
  async #assemble(conversation: Aor, id: string, file: FileRow): Promise<void> {
    const pieces = await this.#pieces(conversation, id).sortBy("at");
    const size = pieces.reduce((sum, { blob }) => sum + blob.size, 0);
    if (size !== file.size) {
      // Less than was said came without a fault: there is no more, or the pieces do not fit.
      if (size > file.size) await this.#forget(conversation, id);
      throw new TransferProblem(size > file.size ? 422 : 0, "size");
    }
    // What a page made of it would be ours: no type but a picture's.
    const type = isPicture(file.type) ? file.type : "application/octet-stream";
    const whole = new Blob(
      pieces.map(({ blob }) => blob),
      { type },
    );
    await this.#keep(conversation, id, { whole });
    await this.#forget(conversation, id);
  }

  async #keep(conversation: Aor, id: string, content: Omit<ContentRow, "conversation" | "id">): Promise<void> {
    const { contents, messages } = this.#db;
    await this.#db.transaction("rw", contents, messages, async () => {
      const row = await messages.get([conversation, id]);
      if (row?.file === undefined) return; // deleted meanwhile
      const before = await contents.get([conversation, id]);
      await contents.put({ ...before, conversation, id, ...content });
      if (content.whole === undefined) return;
      const { kept: _, broken: _broken, freed: _freed, ...file } = row.file;
      await messages.update([conversation, id], { file: { ...file, here: true } });
    });
  }

  async #gone(conversation: Aor, id: string, file: FileRow): Promise<void> {
    await this.#forget(conversation, id);
    await this.#db.messages.update([conversation, id], { file: { ...file, until: 0 } });
  }

  async #kept(conversation: Aor, id: string): Promise<number> {
    let end = 0;
    for (const { at, blob } of await this.#pieces(conversation, id).sortBy("at")) if (at === end) end += blob.size;
    return end;
  }

  async #forget(conversation: Aor, id: string): Promise<void> {
    await this.#pieces(conversation, id).delete();
  }

  #pieces(conversation: Aor, id: string) {
    return this.#db.pieces.where({ conversation, id });
  }

  #wait(delay: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        stop();
        signal.removeEventListener("abort", go);
        this.#waits.delete(go);
        resolve();
      };
      const stop = this.#environment.after(delay, go);
      signal.addEventListener("abort", go);
      this.#waits.add(go);
    });
  }
}
