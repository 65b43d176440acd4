/**
 * One MSRP session: what is answered, what is sent, and what became of it.
 *
 * Spec: RFC 4975 §5.4, §7.1 (sending), §7.2 (answering), §7.3 (receiving), §10 (status codes).
 * Pure: frames and times (seconds) in, actions out; everything waiting is bounded.
 */

import { ParseError, ProtocolError } from "../error";
import {
  type ByteRange,
  COMMENTS,
  emitFrame,
  type FailureReport,
  type Frame,
  firstHop,
  frameHeader,
  freeTransactionId,
  makeRequest,
  makeResponse,
  type Request,
  type Response,
} from "./chunk";
import { type Message, Reassembler, type ReassemblerLimits, Rejected } from "./reassembly";
import { formatMsrpUri, type MsrpUri, parsePath, sameMsrpUri } from "./uri";

/** Seconds until an unanswered request has failed (RFC 4975 §7.1.1). */
export const TIMEOUT = 30;
/** Bytes of body in one chunk: what deployed clients send (facts §4.3). */
export const CHUNK_SIZE = 10_240;
/** Unanswered chunks on their way at once. */
export const WINDOW = 32;
/** Chunks with Failure-Report 'partial' remembered in case an error comes for them. */
export const SILENT_MAX = 256;
/** Bytes waiting to be sent; one message counts QUEUED_OVERHEAD on top of its body. */
export const QUEUED_MAX = 8 * 1024 * 1024;
export const QUEUED_OVERHEAD = 512;

/** The session holds as much unsent as it may: nothing was queued, try again when something was delivered. */
export class QueueFull extends Error {
  override readonly name = "QueueFull";
}

export type Action =
  /** Write `data`, one frame, as one WebSocket message (RFC 7977). */
  | { readonly type: "transmit"; readonly data: Uint8Array<ArrayBuffer> }
  /** A whole message came; keep it, then call `Session.answer`. */
  | { readonly type: "received"; readonly message: Message }
  /** The peer answered 200 to every chunk, or was not asked to answer. */
  | { readonly type: "delivered"; readonly messageId: string }
  /** The peer refused a chunk with `status`, or did not answer in time (408). */
  | { readonly type: "failed"; readonly messageId: string; readonly status: number }
  /** A REPORT came from the far end: `status` 200 for success; `byteRange` null when it named none. */
  | {
      readonly type: "reported";
      readonly messageId: string;
      readonly status: number;
      readonly byteRange: ByteRange | null;
    }
  /** An empty SEND was answered 200, by us or to us: the session now belongs to this connection (RFC 4975 §5.4). */
  | { readonly type: "bound" };

export interface SessionOptions extends ReassemblerLimits {
  /** The URI we gave in SDP. */
  local: MsrpUri;
  /** The peer's `a=path`, nearest hop first. */
  remotePath: string;
  /** A fresh transaction id at each call. */
  makeId: () => string;
  /** Seconds. */
  timeout?: number;
  window?: number;
  /** Bytes not yet sent. */
  maxQueued?: number;
}

export interface SendOptions {
  successReport?: boolean;
  failureReport?: FailureReport;
  chunkSize?: number;
}

interface Outgoing {
  readonly messageId: string;
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly successReport: boolean;
  readonly failureReport: FailureReport;
  readonly chunkSize: number;
  readonly binding: boolean;
  offset: number;
  sent: boolean;
  unanswered: number;
}

// By transaction id, oldest first: all wait equally long, so the first is the first to expire.
type Waiting = Map<string, { readonly outgoing: Outgoing; readonly until: number }>;

/**
 * One end of an MSRP session (RFC 4975 §5).
 *
 * Messages go out one after the other, never interleaved (facts §4.3).
 */
export class Session {
  readonly #options: Required<Omit<SessionOptions, keyof ReassemblerLimits>>;
  readonly #localText: string;
  readonly #reassembler: Reassembler;
  #answered = ""; // the transaction refused while pieces of its chunk still come
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #queue: Outgoing[] = [];
  #queued = 0;
  readonly #waiting: Waiting = new Map();
  readonly #silent: Waiting = new Map();

  constructor(options: SessionOptions) {
    const { timeout = TIMEOUT, window = WINDOW, maxQueued = QUEUED_MAX } = options;
    this.#options = { ...options, timeout, window, maxQueued };
    this.#localText = formatMsrpUri(options.local);
    this.#reassembler = new Reassembler(options);
  }

  /** Message-IDs of which neither delivered nor failed was said, in the order they were sent. */
  get unsettled(): string[] {
    return [...this.#outgoing.keys()];
  }

  /** Bytes waiting to be sent, QUEUED_OVERHEAD for each message included. */
  get queued(): number {
    return this.#queued;
  }

  /** Transactions waiting for their answer. */
  get outstanding(): number {
    return this.#waiting.size;
  }

  /** Takes one frame of this session. Throws nothing for whatever the peer sent. */
  receive(frame: Frame, now: number): Action[] {
    if (frame.kind === "response") return this.#onResponse(frame, now);
    const status = frame.toPath === this.#localText ? 0 : this.#misdirected(frame.toPath);
    if (status !== 0) return this.#refuse(frame, status);
    if (frame.method === "SEND") return this.#onSend(frame);
    return frame.method === "REPORT" ? onReport(frame) : this.#refuse(frame, 501);
  }

  /**
   * Queues a message, and sends what the window lets through; delivered or failed follows, now or later.
   *
   * Throws QueueFull when the bytes unsent would pass `maxQueued`, ProtocolError for a Message-ID still unsettled.
   */
  send(messageId: string, contentType: string, body: Uint8Array, now: number, options: SendOptions = {}): Action[] {
    const { successReport = false, failureReport = "yes", chunkSize = CHUNK_SIZE } = options;
    if (chunkSize < 1) throw new ProtocolError("a chunk holds one byte at least");
    const report = { successReport, failureReport, chunkSize, binding: false };
    return this.#enqueue({ messageId, contentType, body, ...report, ...UNSENT }, now);
  }

  /**
   * The active side's first SEND (RFC 4975 §5.4), also good to keep a connection alive.
   *
   * Bound follows when the peer answers 200, else failed with the Message-ID made for it.
   */
  sendEmpty(now: number): Action[] {
    const report = { successReport: false, failureReport: "yes", chunkSize: CHUNK_SIZE, binding: true } as const;
    const messageId = this.#options.makeId();
    return this.#enqueue({ messageId, contentType: "", body: new Uint8Array(0), ...report, ...UNSENT }, now);
  }

  /** Answers a received message, once; 200 also reports success to a sender that asked (RFC 4975 §7.1.2). */
  answer(incoming: Message, status: number, comment = ""): Action[] {
    const actions: Action[] = [];
    if (wants(incoming.failureReport, status)) {
      const { transactionId, fromPath } = incoming;
      const text = comment || (COMMENTS[status] ?? "");
      const paths = { toPath: firstHop(fromPath), fromPath: this.#localText };
      actions.push(transmit({ kind: "response", transactionId, status, comment: text, ...paths, headers: [] }));
    }
    if (status === 200 && incoming.successReport) actions.push(...this.report(incoming));
    return actions;
  }

  /** A REPORT about a whole message to its sender (RFC 4975 §7.1.2); `answer` sends it where it is due. */
  report(incoming: Message, status = 200, comment = ""): Action[] {
    const size = incoming.body.length;
    const text = comment || (COMMENTS[status] ?? "");
    const request = makeRequest({
      transactionId: this.#options.makeId(),
      method: "REPORT",
      toPath: incoming.fromPath,
      fromPath: this.#localText,
      messageId: incoming.messageId,
      byteRange: [1, size, size],
      headers: [["Status", `000 ${String(status).padStart(3, "0")} ${text}`.trimEnd()]],
    });
    return [transmit(request)];
  }

  /**
   * Gives up a message of which not all is sent: the peer is told by '#', and no delivered or failed follows.
   *
   * Nothing happens to one that is sent to its end: its answer still comes.
   */
  abort(messageId: string, now: number): Action[] {
    const outgoing = this.#outgoing.get(messageId);
    if (outgoing === undefined || outgoing.sent) return [];
    return [...this.#drop(outgoing, true), ...this.#flush(now)];
  }

  /** When `handleDeadline` is due; Infinity when nothing waits. */
  deadline(): number {
    return Math.min(oldest(this.#waiting)?.[1].until ?? Infinity, oldest(this.#silent)?.[1].until ?? Infinity);
  }

  /** Fails what was not answered in time; takes silence for consent where only errors are reported. */
  handleDeadline(now: number): Action[] {
    const actions: Action[] = [];
    for (let first = oldest(this.#silent); first && first[1].until <= now; first = oldest(this.#silent)) {
      actions.push(...this.#settle(first[0], this.#silent));
    }
    for (let first = oldest(this.#waiting); first && first[1].until <= now; first = oldest(this.#waiting)) {
      // RFC 4975 §7.1.1: no answer within the time counts as 408.
      actions.push(...this.#fail(first[1].outgoing, 408, false));
    }
    return [...actions, ...this.#flush(now)];
  }

  // Receiving

  #misdirected(toPath: string): number {
    try {
      const path = parsePath(toPath);
      // RFC 4975 §7.3: we are no relay, so nothing may follow our own URI.
      return path.length === 1 && path[0] && sameMsrpUri(path[0], this.#options.local) ? 0 : 481;
    } catch (error) {
      if (error instanceof ParseError) return 400;
      throw error;
    }
  }

  #onSend(request: Request): Action[] {
    const again = request.transactionId === this.#answered;
    if (!request.body?.length && request.contentType === "" && !this.#reassembler.has(request.messageId)) {
      const bound: Action[] = request.continuation === "$" ? [{ type: "bound" }] : [];
      return [...this.#respond(request, 200), ...bound];
    }
    let message: Message | null;
    try {
      message = this.#reassembler.receive(request);
    } catch (error) {
      if (error instanceof Rejected) return this.#refuse(request, error.status, error.comment);
      throw error;
    }
    if (again) return this.#refuse(request, 400);
    if (message !== null) return [{ type: "received", message }];
    // One answer for one transaction: it waits for the last piece of its chunk.
    return request.partial ? [] : this.#respond(request, 200);
  }

  /** Answers at the first piece of a chunk, and lets its other pieces pass unanswered. */
  #refuse(request: Request, status: number, comment = ""): Action[] {
    const again = request.transactionId === this.#answered;
    this.#answered = request.partial ? request.transactionId : "";
    return again || request.method === "REPORT" ? [] : this.#respond(request, status, comment);
  }

  #respond(request: Request, status: number, comment = ""): Action[] {
    if (!wants(request.failureReport, status)) return [];
    return [transmit(makeResponse(request, status, comment))];
  }

  #onResponse(response: Response, now: number): Action[] {
    const name = response.transactionId;
    const waiting = this.#waiting.has(name) ? this.#waiting : this.#silent;
    const entry = waiting.get(name);
    if (entry === undefined) return []; // late, or to a message given up
    // RFC 4975 §7.1.1: an error ends the message. Where the session itself is gone, '#' would be in vain.
    const interrupt = response.status !== 481 && response.status !== 506;
    const actions =
      response.status === 200 ? this.#settle(name, waiting) : this.#fail(entry.outgoing, response.status, interrupt);
    return [...actions, ...this.#flush(now)];
  }

  // Sending

  #enqueue(outgoing: Outgoing, now: number): Action[] {
    if (this.#outgoing.has(outgoing.messageId)) throw new ProtocolError("this Message-ID is being sent already");
    const { maxQueued } = this.#options;
    if (this.#queued + cost(outgoing) > maxQueued) {
      throw new QueueFull(`${this.#queued} bytes of ${maxQueued} wait to be sent`);
    }
    this.#outgoing.set(outgoing.messageId, outgoing);
    this.#queue.push(outgoing);
    this.#queued += cost(outgoing);
    return this.#flush(now);
  }

  #flush(now: number): Action[] {
    const actions: Action[] = [];
    for (let outgoing = this.#queue[0]; outgoing !== undefined; outgoing = this.#queue[0]) {
      if (outgoing.failureReport === "yes" && this.#waiting.size >= this.#options.window) break;
      actions.push(this.#nextChunk(outgoing, now));
      if (outgoing.sent) {
        this.#queue.shift();
        this.#queued -= cost(outgoing);
        if (outgoing.unanswered === 0) actions.push(this.#delivered(outgoing));
      }
      for (let first = oldest(this.#silent); first && this.#silent.size > SILENT_MAX; first = oldest(this.#silent)) {
        actions.push(...this.#settle(first[0], this.#silent));
      }
    }
    return actions;
  }

  #nextChunk(outgoing: Outgoing, now: number): Action {
    const start = outgoing.offset;
    const total = outgoing.body.length;
    // Deviates: RFC 4975 §7.1.1 wants a chunk above 2048 bytes to end in '*' and be interruptible; ours are handed
    // over whole, are interrupted only between chunks, and name their end for the peers that read nothing else.
    const end = Math.min(start + outgoing.chunkSize, total);
    const body = outgoing.body.subarray(start, end);
    const name = freeTransactionId(this.#options.makeId, body);
    outgoing.sent = end === total;
    outgoing.offset = end;
    this.#queued -= end - start;
    if (outgoing.failureReport !== "no") {
      outgoing.unanswered += 1;
      const waiting = outgoing.failureReport === "yes" ? this.#waiting : this.#silent;
      waiting.set(name, { outgoing, until: now + this.#options.timeout });
    }
    const request = this.#request(outgoing, name);
    if (!outgoing.binding) {
      request.byteRange = [start + 1, end, total];
      request.body = body;
      request.continuation = outgoing.sent ? "$" : "+";
    }
    return transmit(request);
  }

  #request(outgoing: Outgoing, transactionId: string): Request {
    const { messageId, contentType, successReport, failureReport } = outgoing;
    const paths = { toPath: this.#options.remotePath, fromPath: this.#localText };
    return makeRequest({
      transactionId,
      method: "SEND",
      ...paths,
      messageId,
      contentType,
      successReport,
      failureReport,
    });
  }

  #settle(name: string, waiting: Waiting): Action[] {
    const outgoing = waiting.get(name)?.outgoing;
    waiting.delete(name);
    if (outgoing === undefined) return [];
    outgoing.unanswered -= 1;
    return outgoing.sent && outgoing.unanswered === 0 ? [this.#delivered(outgoing)] : [];
  }

  #delivered({ messageId, binding }: Outgoing): Action {
    this.#outgoing.delete(messageId);
    return binding ? { type: "bound" } : { type: "delivered", messageId };
  }

  #fail(outgoing: Outgoing, status: number, interrupt: boolean): Action[] {
    const { messageId } = outgoing;
    return [...this.#drop(outgoing, interrupt), { type: "failed", messageId, status }];
  }

  /** Forgets a message; tells the peer by '#' if it has a part of it. */
  #drop(outgoing: Outgoing, interrupt: boolean): Action[] {
    this.#outgoing.delete(outgoing.messageId);
    for (const waiting of [this.#waiting, this.#silent]) {
      for (const [name, entry] of waiting) if (entry.outgoing === outgoing) waiting.delete(name);
    }
    if (outgoing.sent) return [];
    this.#queue.splice(this.#queue.indexOf(outgoing), 1);
    this.#queued -= cost(outgoing);
    if (outgoing.offset === 0 || !interrupt) return [];
    const request = this.#request(outgoing, this.#options.makeId());
    request.byteRange = [outgoing.offset + 1, null, outgoing.body.length];
    request.continuation = "#";
    return [transmit(request)];
  }
}

const UNSENT = { offset: 0, sent: false, unanswered: 0 };

function cost(outgoing: Outgoing): number {
  return outgoing.body.length - outgoing.offset + QUEUED_OVERHEAD;
}

function oldest<Key, Value>(map: ReadonlyMap<Key, Value>): [Key, Value] | undefined {
  for (const entry of map) return entry;
  return undefined;
}

function transmit(frame: Frame): Action {
  return { type: "transmit", data: emitFrame(frame) };
}

/** Whether the sender is to be answered (RFC 4975 §7.2). */
function wants(failureReport: FailureReport, status: number): boolean {
  return failureReport === "yes" || (failureReport === "partial" && status !== 200);
}

function onReport(request: Request): Action[] {
  // RFC 4975 §7.1.2: "000" is the only name space of status codes there is.
  const found = /^000 ([0-9]{3})(?: |$)/.exec(frameHeader(request, "Status") ?? "");
  if (found === null) return []; // nobody to tell: a REPORT is never answered
  const { messageId, byteRange } = request;
  return [{ type: "reported", messageId, status: Number(found[1]), byteRange }];
}
