/** A scripted content server, beside the scripted node: it keeps what came before a connection was cut. */

import type { Environment, Sending } from "../../src/client/environment";
import { buildFileInfo, buildResumeInfo, type FileInfo } from "../../src/protocol/file-info";
import type { ScriptedNode } from "./node";

export const FILES = "https://files.example:8443";
export const UNTIL = "2026-12-22T12:00:00Z";

export function fileInfo(more: Partial<FileInfo> & Pick<FileInfo, "size">): FileInfo {
  return {
    type: "file",
    name: "a.bin",
    contentType: "application/octet-stream",
    url: `${FILES}/file/1`,
    until: UNTIL,
    disposition: "",
    playingLength: null,
    brandedUrl: "",
    fileHash: "",
    ...more,
  };
}

interface Kept {
  tid: string;
  name: string;
  type: string;
  size: number;
  bytes: Uint8Array;
  preview?: Blob;
}

export class ScriptedContent {
  /** Uploads by the last part of their URL, complete or not. */
  kept = new Map<string, Kept>();
  /** What can be fetched, by URL. */
  served = new Map<string, Uint8Array>();
  requests: { method: string; url: string; headers: Record<string, string> }[] = [];
  /** Bytes of a body after which its connection is cut, for one request each. */
  cuts: number[] = [];
  /** Statuses that are answered in place of the right one, and their words. */
  refuse: [status: number, word: string][] = [];
  /** The whole of one upload came, and its answer is lost. */
  loseAnswer = false;
  /** Downloads that are answered with nothing but silence. */
  hang = 0;
  /** Held until it resolves. */
  gate: Promise<void> = Promise.resolve();
  ticket = "t1";
  /** Origins of other operators' content servers, which serve what `served` has of them. */
  others: string[] = [];
  /** The thumbnail that it makes of what came without one. */
  thumbnails: Blob | undefined;

  constructor(node: ScriptedNode, until = Date.UTC(2027, 0, 1) / 1000) {
    node.routes.set("GET /api/files", () => ({
      status: 200,
      body: { url: FILES, ticket: this.ticket, until, max_file: 100 << 20, warn_above: 10 << 20, others: this.others },
    }));
    const { fetch } = node;
    node.fetch = async (path, init) =>
      [FILES, ...this.others].some((origin) => path.startsWith(`${origin}/`))
        ? this.#serve(path, init)
        : fetch(path, init);
  }

  send: Environment["send"] = async (request, onMoved) => {
    const { method, url, headers, signal } = request;
    this.requests.push({ method, url, headers });
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new TypeError("aborted")));
      this.gate.then(resolve, reject);
    });
    const refused = this.refuse.shift();
    if (refused !== undefined) return { status: refused[0], body: json(refused[1]) };
    if (method === "POST" && headers.Authorization !== `Bearer ${this.ticket}`) {
      return { status: 401, body: json("ticket") };
    }
    const upload = await this.#taken(request);
    const size = upload.size - upload.bytes.length;
    const cut = this.cuts.shift();
    const data = new Uint8Array(await upload.rest.arrayBuffer()).subarray(0, cut ?? size);
    upload.kept.bytes = Uint8Array.from([...upload.bytes, ...data]);
    onMoved(data.length, size);
    if (cut !== undefined || this.loseAnswer) {
      this.loseAnswer = false;
      throw new TypeError("cut");
    }
    return { status: 200, body: buildFileInfo(this.#infos(upload.id, upload.kept)) };
  };

  async #taken({ method, url, headers, body }: Sending) {
    if (method === "PUT") {
      const id = url.split("/").at(-1) ?? "";
      const kept = this.kept.get(id) as Kept;
      const [, from, , size] = /bytes (\d+)-(\d+)\/(\d+)/.exec(headers["Content-Range"] ?? "") ?? [];
      if (Number(from) !== kept.bytes.length) throw new Error("not where it stopped");
      kept.size = Number(size);
      return { id, kept, bytes: kept.bytes, size: Number(size), rest: body as Blob };
    }
    const form = body as FormData;
    const [file, preview] = [form.get("File") as File, form.get("Thumbnail")];
    const id = `u${this.kept.size}`;
    const kept: Kept = {
      tid: String(form.get("tid")),
      name: decodeURIComponent(file.name),
      type: file.type,
      size: file.size,
      bytes: new Uint8Array(),
      ...(preview === null ? {} : { preview: preview as Blob }),
    };
    if (preview === null && this.thumbnails !== undefined) {
      kept.preview = this.thumbnails;
      this.served.set(`${FILES}/file/${id}-preview`, new Uint8Array(await this.thumbnails.arrayBuffer()));
    }
    this.kept.set(id, kept);
    return { id, kept, bytes: kept.bytes, size: file.size, rest: file };
  }

  async #serve(url: string, init: RequestInit | undefined): Promise<Response> {
    const headers = Object.fromEntries(new Headers(init?.headers));
    this.requests.push({ method: "GET", url, headers });
    const query = new URL(url).searchParams;
    const refused = this.refuse.shift();
    if (refused !== undefined) return new Response(json(refused[1]), { status: refused[0] });
    if (query.has("tid")) return this.#tell(query);
    const whole = this.served.get(url);
    if (whole === undefined) return new Response(json("unknown"), { status: 404 });
    const from = Number(/bytes=(\d+)-/.exec(headers.range ?? "")?.[1] ?? 0);
    const cut = this.cuts.shift();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(whole.slice(from, cut === undefined ? undefined : from + cut));
        if (cut === undefined) controller.close();
      },
      pull(controller) {
        controller.error(new TypeError("cut"));
      },
    });
    if (this.hang > 0) {
      this.hang -= 1;
      return new Response(silence(init?.signal));
    }
    const range = `bytes ${from}-${whole.length - 1}/${whole.length}`;
    return new Response(body, { status: from > 0 ? 206 : 200, headers: from > 0 ? { "Content-Range": range } : {} });
  }

  #tell(query: URLSearchParams): Response {
    const found = [...this.kept].find(([, { tid }]) => tid === query.get("tid"));
    const complete = found !== undefined && found[1].bytes.length === found[1].size;
    if (found === undefined || complete !== query.has("get_download_info") || found[1].bytes.length === 0) {
      return new Response(json("unknown"), { status: 404 });
    }
    const [id, kept] = found;
    if (complete) return new Response(buildFileInfo(this.#infos(id, kept)));
    return new Response(buildResumeInfo({ start: 0, end: kept.bytes.length - 1, url: `${FILES}/upload/${id}` }));
  }

  #infos(id: string, { name, size, type, preview }: Kept): FileInfo[] {
    const file = fileInfo({ name, size, contentType: type, url: `${FILES}/file/${id}` });
    const url = `${FILES}/file/${id}-preview`;
    if (preview === undefined) return [file];
    return [fileInfo({ type: "thumbnail", name: "", size: preview.size, contentType: "image/jpeg", url }), file];
  }
}

/** A body that ends in nothing but an abort. */
function silence(signal: AbortSignal | null | undefined): ReadableStream {
  return new ReadableStream({
    start(controller) {
      signal?.addEventListener("abort", () => controller.error(new TypeError("aborted")));
    },
  });
}

function json(error: string) {
  return new TextEncoder().encode(JSON.stringify({ error }));
}
