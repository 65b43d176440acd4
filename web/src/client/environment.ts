/** What the client takes from its surroundings: time, chance, the network and the other tabs. Tests give their own. */

import type { Bytes } from "../protocol/bytes";

/** The part of a WebSocket that is used. */
export interface Socket {
  readonly readyState: number;
  binaryType: string;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  onerror: ((event: Event) => void) | null;
  send(data: string | ArrayBufferView<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

/** The part of a BroadcastChannel that is used. */
export interface Channel {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

/** A request whose body is large. */
export interface Sending {
  method: "POST" | "PUT";
  url: string;
  headers: Record<string, string>;
  body: FormData | Blob;
  signal: AbortSignal;
}

export interface Environment {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back after milliseconds; the result takes it back. */
  after(delay: number, run: () => void): () => void;
  /** `count` unguessable lower-case hexadecimal digits. */
  random(count: number): string;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Sends it, and tells how much of the body has left, of how much. Rejects when there was no answer. */
  send(request: Sending, onMoved: (sent: number, total: number) => void): Promise<{ status: number; body: Bytes }>;
  openSocket(url: string, protocol: string): Socket;
  openChannel(name: string): Channel | undefined;
  locks: Pick<LockManager, "request"> | undefined;
  storage: Pick<StorageManager, "estimate" | "persist" | "persisted"> | undefined;
  /** The person has asked the browser to save data. */
  saves(): boolean;
  /** Name of the local database. */
  database: string;
  /** Of the browser, as BCP 47. */
  language: string;
}

/** The browser's. */
export function browserEnvironment(): Environment {
  return {
    now: Date.now,
    after(delay, run) {
      const timer = setTimeout(run, delay);
      return () => clearTimeout(timer);
    },
    random: randomHex,
    fetch: (path, init) => fetch(path, init),
    send: sendByXhr,
    openSocket: (url, protocol) => new WebSocket(url, protocol),
    openChannel: (name) => (typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(name)),
    locks: navigator.locks,
    storage: navigator.storage,
    saves: () => (navigator as { connection?: { saveData?: boolean } }).connection?.saveData === true,
    database: "joyn",
    language: navigator.language,
  };
}

/** A UUID (RFC 9562 §5.4: version 4, variant 10). */
export function uuid({ random }: Pick<Environment, "random">): string {
  return `${random(8)}-${random(4)}-4${random(3)}-a${random(3)}-${random(12)}`;
}

/** What is fetched is kept; what could not be fetched is tried again. */
export function once<T>(fetch: () => Promise<T>): () => Promise<T> {
  let fetched: Promise<T> | undefined;
  return () => {
    fetched ??= fetch().catch((error: unknown) => {
      fetched = undefined;
      throw error;
    });
    return fetched;
  };
}

/** fetch does not tell how much of a body has left. */
const sendByXhr: Environment["send"] = ({ method, url, headers, body, signal }, onMoved) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.responseType = "arraybuffer";
    request.upload.onprogress = ({ loaded, total }) => onMoved(loaded, total);
    request.onload = () => resolve({ status: request.status, body: new Uint8Array(request.response as ArrayBuffer) });
    request.onerror = request.onabort = () => reject(new TypeError("no answer"));
    if (signal.aborted) return reject(new TypeError("no answer"));
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });

function randomHex(count: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(Math.ceil(count / 2)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .slice(0, count);
}

/** What the list of devices shows of this one, from what the browser says of itself. */
export function describeDevice(userAgent: string): { name: string; browser: string; system: string } {
  const browser =
    /(Firefox|Edg|OPR|Chrome|Chromium)\/([0-9]+)/.exec(userAgent) ?? /(Version)\/([0-9]+).*Safari/.exec(userAgent);
  const names: Record<string, string> = { Edg: "Edge", OPR: "Opera", Version: "Safari" };
  const shown = browser ? `${names[browser[1] as string] ?? browser[1]} ${browser[2]}` : "Browser";
  const system = /Android|iPhone|iPad|Windows|Mac OS X|CrOS|Linux/.exec(userAgent)?.[0] ?? "";
  return { name: system === "" ? shown : `${shown}, ${system}`, browser: shown, system };
}
