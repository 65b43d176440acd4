/**
 * The operator's content server: uploads that go on where they were cut, and downloads in pieces.
 *
 * Spec: RCC.07 §3.5.4.8 (facts §6.2), RFC 7578, RFC 9110 §14. It stands on another origin and knows no cookie: the node
 * gives a ticket for it (RFC 6750), which is good to begin something for a while.
 */

import type { Bytes } from "../protocol/bytes";
import { type FileInfo, parseFileInfo, parseResumeInfo, type ResumeInfo, startOfRange } from "../protocol/file-info";
import type { Database } from "./database";
import type { Environment } from "./environment";
import { type FileLeave, type Http, HttpProblem } from "./http";

/** Milliseconds without a byte after which a transfer counts as cut. */
export const STALL = 30_000;
/** Milliseconds before its end at which a ticket is not used any more. */
const MARGIN = 30_000;

/** What is uploaded: the name and the type are what the recipient sees. */
export interface Upload {
  /** Of one upload, whatever happens to it. */
  tid: string;
  /** It may have begun: the server is asked how far it has come. */
  begun: boolean;
  whole: Blob;
  name: string;
  type: string;
  preview?: Blob;
}

/** What the content server makes of an upload: the document that is sent in place of the file. */
export interface Uploaded {
  document: Bytes;
  infos: FileInfo[];
}

/** The content server said no, with the status and the word of its answer; or it was not there: 0 and `offline`. */
export class TransferProblem extends Error {
  override readonly name = "TransferProblem";

  constructor(
    readonly status: number,
    readonly word: string,
  ) {
    super(`${status} ${word}`);
  }
}

export class ContentServer {
  readonly #environment: Pick<Environment, "now" | "after" | "fetch" | "send">;
  readonly #http: Pick<Http, "files">;
  #leave: FileLeave | undefined;

  constructor(environment: Pick<Environment, "now" | "after" | "fetch" | "send">, http: Pick<Http, "files">) {
    this.#environment = environment;
    this.#http = http;
  }

  /** Somebody else may sign in: the ticket is not theirs. */
  forget(): void {
    this.#leave = undefined;
  }

  /**
   * Uploads what is not there yet. `moved` hears of the bytes that have left; `begins` is awaited before the first does.
   * Rejects with TransferProblem, or with HttpProblem when the node gives no ticket.
   */
  async upload(
    file: Upload,
    signal: AbortSignal,
    moved: (bytes: number) => void,
    begins: () => Promise<void>,
  ): Promise<Uploaded> {
    if (file.begun) {
      const at = await this.#ask(file.tid, "get_upload_info", signal);
      const info: ResumeInfo | undefined = at && parseResumeInfo(at);
      const from = (info?.end ?? 0) + 1;
      if (info !== undefined && from < file.whole.size) return this.#goOn(file.whole, info.url, from, signal, moved);
      // It may be complete, with the answer lost on its way.
      const done = info === undefined ? await this.#ask(file.tid, "get_download_info", signal) : undefined;
      if (done !== undefined) return { document: done, infos: parseFileInfo(done) };
    }
    await begins();
    return this.#begin(file, signal, moved);
  }

  /** The bytes of a file from number `from` on, and the number of their first: 0 when the server sends all of it. */
  async download(
    url: string,
    from: number,
    signal: AbortSignal,
  ): Promise<{ from: number; stream: ReadableStream<Uint8Array> }> {
    const init = { signal, ...(from > 0 ? { headers: { Range: `bytes=${from}-` } } : {}) };
    const response = await this.#fetch(url, init);
    if (!response.ok || response.body === null) throw await problemOf(response);
    const start = response.status === 206 ? startOfRange(response.headers.get("Content-Range")) : 0;
    return { from: start ?? from, stream: response.body };
  }

  async #begin(file: Upload, signal: AbortSignal, moved: (bytes: number) => void): Promise<Uploaded> {
    const form = new FormData();
    form.append("tid", file.tid);
    if (file.preview !== undefined) form.append("Thumbnail", file.preview, "thumbnail.jpg");
    const typed = file.whole.type === file.type ? file.whole : file.whole.slice(0, file.whole.size, file.type);
    // The server undoes what clients escape in names, browsers only three characters: this one has to be, too.
    form.append("File", typed, file.name.replaceAll("%", "%25"));
    const { size } = file.whole;
    const onMoved = (sent: number, total: number): void => moved(Math.max(0, sent - Math.max(0, total - size)));
    return this.#allowed((headers) => this.#send("POST", "", headers, form, signal, onMoved));
  }

  async #goOn(
    whole: Blob,
    url: string,
    from: number,
    signal: AbortSignal,
    moved: (bytes: number) => void,
  ): Promise<Uploaded> {
    moved(from);
    const headers = { "Content-Range": `bytes ${from}-${whole.size - 1}/${whole.size}` };
    const onMoved = (sent: number): void => moved(Math.min(whole.size, from + sent));
    return this.#send("PUT", url, headers, whole.slice(from), signal, onMoved);
  }

  /** What the server knows of an upload; undefined when it knows nothing. */
  async #ask(tid: string, what: string, signal: AbortSignal): Promise<Bytes | undefined> {
    const response = await this.#allowed(async (headers, url) => {
      const query = `${new URLSearchParams({ tid })}&${what}`;
      const found = await this.#fetch(`${url}/content?${query}`, { headers, signal, cache: "no-store" });
      if (!found.ok && found.status !== 404) throw await problemOf(found);
      return found;
    });
    return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
  }

  /** One that goes through with a ticket; a ticket that is over is replaced once. */
  async #allowed<T>(request: (headers: Record<string, string>, url: string) => Promise<T>): Promise<T> {
    for (let again = false; ; again = true) {
      if (again || this.#leave === undefined || this.#leave.until * 1000 < this.#environment.now() + MARGIN) {
        this.#leave = await this.#http.files();
      }
      const { ticket, url } = this.#leave;
      try {
        return await request({ Authorization: `Bearer ${ticket}` }, url);
      } catch (error) {
        if (again || !(error instanceof TransferProblem) || error.status !== 401) throw error;
      }
    }
  }

  async #send(
    method: "POST" | "PUT",
    to: string,
    headers: Record<string, string>,
    body: FormData | Blob,
    signal: AbortSignal,
    onMoved: (sent: number, total: number) => void,
  ): Promise<Uploaded> {
    const url = to || `${this.#leave?.url}/content`;
    const stalled = new AbortController();
    const stop = (): void => stalled.abort();
    signal.addEventListener("abort", stop);
    let rest = this.#environment.after(STALL, stop);
    try {
      signal.throwIfAborted();
      const request = { method, url, headers, body, signal: stalled.signal };
      const answer = await this.#environment.send(request, (sent, total) => {
        rest();
        rest = this.#environment.after(STALL, stop);
        onMoved(sent, total);
      });
      if (answer.status !== 200) throw problemIn(answer.status, new TextDecoder().decode(answer.body));
      return { document: answer.body, infos: parseFileInfo(answer.body) };
    } catch (error) {
      throw error instanceof TransferProblem ? error : new TransferProblem(0, "offline");
    } finally {
      rest();
      signal.removeEventListener("abort", stop);
    }
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    try {
      return await this.#environment.fetch(url, { credentials: "omit", referrerPolicy: "no-referrer", ...init });
    } catch {
      throw new TransferProblem(0, "offline");
    }
  }
}

/** What the operator's content server takes; what was known stays while the node cannot be asked. */
export async function readLimits(http: Pick<Http, "files">, db: Database): Promise<void> {
  const session = await db.session();
  try {
    const { url, max_file: max, warn_above: warnAbove, others } = await http.files();
    await db.during(session, () => db.setFact("files", { url, max, warnAbove, others }));
  } catch (error) {
    const none = error instanceof HttpProblem && error.status === 404;
    if (none) await db.during(session, () => db.facts.delete("files"));
  }
}

/** Whether another attempt may end otherwise. */
export function passes(error: unknown): boolean {
  if (error instanceof HttpProblem) return error.status !== 404;
  if (!(error instanceof TransferProblem)) return true;
  return error.status === 0 || error.status === 401 || error.status === 408 || error.status >= 500;
}

async function problemOf(response: Response): Promise<TransferProblem> {
  return problemIn(response.status, await response.text().catch(() => ""));
}

function problemIn(status: number, text: string): TransferProblem {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return new TransferProblem(status, typeof error === "string" ? error : "broken");
  } catch {
    return new TransferProblem(status, "broken");
  }
}
