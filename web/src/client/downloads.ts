/**
 * Downloads: what is looked at is fetched, into the database and from where it was cut.
 *
 * Design §7: thumbnails, small pictures and small voice messages come by themselves, the rest when somebody wants it. Only the operator's own
 * content server is asked: a link of a stranger's would tell them who looks, and when.
 */

import type { ContentServer } from "./content";
import { passes, STALL, TransferProblem } from "./content";
import type { Database, FileRow } from "./database";
import type { Environment } from "./environment";
import { Meter } from "./meter";
import type { Aor, Moving } from "./model";
import { comesByItself, isPicture, MAX_PREVIEW } from "./shared-file";

/** Bytes after which what came is kept. */
export const PIECE = 1024 * 1024;
/** Attempts, and milliseconds before another one: doubled from the one to the other. */
export const TRIES = 8;
const AGAIN_FIRST = 1_000;

export class Downloads {
  /** How far one has come; undefined when it does not move any more. */
  onMoving: (id: string, moving: Moving | undefined) => void = () => {};
  readonly #environment: Pick<Environment, "now" | "after" | "locks" | "database">;
  readonly #db: Database;
  readonly #server: Pick<ContentServer, "download">;
  readonly #running = new Map<string, { promise: Promise<void>; giveUp: AbortController }>();
  readonly #cuts = new Set<() => void>();
  readonly #waits = new Set<() => void>();
  /** Thumbnails that were asked for since this page was opened. */
  readonly #asked = new Set<string>();

  constructor(
    environment: Pick<Environment, "now" | "after" | "locks" | "database">,
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
    if (file === undefined || file.here || this.#asked.has(id) || !(await this.#fetchable(file))) return;
    this.#asked.add(id);
    if (file.preview !== undefined && file.preview.size <= MAX_PREVIEW) await this.#preview(conversation, id, file);
    if (!comesByItself(file)) return;
    try {
      await this.fetch(conversation, id);
    } catch (error) {
      this.#asked.delete(id); // another look may find the network better
      throw error;
    }
  }

  /** Fetches a file. Rejects with TransferProblem when that fails for good; resolves when it was stopped, too. */
  async fetch(conversation: Aor, id: string): Promise<void> {
    const known = this.#running.get(id);
    if (known !== undefined) return known.promise;
    const giveUp = new AbortController();
    const promise = this.#alone(id, () => this.#all(conversation, id, giveUp.signal)).finally(() => {
      this.#running.delete(id);
      this.onMoving(id, undefined);
    });
    this.#running.set(id, { promise, giveUp });
    return promise;
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
    return URL.canParse(url) && new URL(url).origin === new URL(server.url).origin;
  }

  async #preview(conversation: Aor, id: string, { preview }: FileRow): Promise<void> {
    try {
      const { stream } = await this.#server.download(preview?.url ?? "", 0, new AbortController().signal);
      const blob = await new Response(stream).blob();
      if (blob.size > MAX_PREVIEW) return;
      // Whatever it is called, it can only be drawn.
      await this.#keep(conversation, id, { preview: new Blob([blob], { type: "image/jpeg" }) });
    } catch {
      // The message does without.
    }
  }

  async #all(conversation: Aor, id: string, signal: AbortSignal): Promise<void> {
    const file = (await this.#db.messages.get([conversation, id]))?.file;
    if (file === undefined || file.here) return;
    if (file.until <= this.#environment.now()) throw new TransferProblem(410, "gone");
    if (!(await this.#fetchable(file))) throw new TransferProblem(403, "elsewhere");
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
        await this.#wait(AGAIN_FIRST * 2 ** tries, signal);
      }
    }
  }

  /** Fetches the rest, piece by piece into the database. */
  async #some(conversation: Aor, id: string, file: FileRow, signal: AbortSignal): Promise<void> {
    const at = await this.#kept(conversation, id);
    if (at === file.size && at > 0) return;
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

  async #keep(conversation: Aor, id: string, content: { whole?: Blob; preview?: Blob }): Promise<void> {
    const { contents, messages } = this.#db;
    await this.#db.transaction("rw", contents, messages, async () => {
      const row = await messages.get([conversation, id]);
      if (row?.file === undefined) return; // deleted meanwhile
      const before = await contents.get([conversation, id]);
      await contents.put({ ...before, conversation, id, ...content });
      if (content.whole) await messages.update([conversation, id], { file: { ...row.file, here: true } });
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
