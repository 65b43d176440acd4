/**
 * From chunks to whole messages.
 *
 * Spec: RFC 4975 §5.1, §7.3.1 (byte ranges, overlap, '#').
 * Pure; holds no more than four times maxMessages x maxSize bytes, and costs what the chunks weigh, in whatever order.
 */

import { concat, type Header } from "../bytes";
import type { FailureReport, Request } from "./chunk";

/** Unfinished messages of one session: an honest sender has one, and one more after an interruption. */
export const MESSAGES_MAX = 8;
/** Pieces of one unfinished message that do not follow one another. */
export const RANGES_MAX = 1024;

/** This chunk, and so its message, is not wanted: answer with `status` and `comment` (RFC 4975 §10). */
export class Rejected extends Error {
  override readonly name = "Rejected";

  constructor(
    readonly status: number,
    readonly comment: string,
  ) {
    super(`${status} ${comment}`);
  }
}

/** A whole message, and what is needed to answer the chunk that completed it. */
export interface Message {
  readonly messageId: string;
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly successReport: boolean;
  readonly failureReport: FailureReport;
  readonly headers: readonly Header[];
  readonly transactionId: string;
  readonly toPath: string;
  readonly fromPath: string;
}

/** Bytes at a position, counted from 0. */
class Run {
  #store: Uint8Array;
  #length: number;

  constructor(
    public start: number,
    data: Uint8Array,
  ) {
    this.#store = data.slice();
    this.#length = data.length;
  }

  get length(): number {
    return this.#length;
  }

  get end(): number {
    return this.start + this.#length;
  }

  get bytes(): Uint8Array {
    return this.#store.subarray(0, this.#length);
  }

  /** Bytes of memory, room to grow counted in: at most four times `length`. */
  get reserved(): number {
    return this.#store.buffer.byteLength;
  }

  /** Lays `data` over the run, or behind its end, at `offset` within it. */
  write(offset: number, data: Uint8Array): void {
    const length = Math.max(this.#length, offset + data.length);
    // The store doubles, so that small chunks cost no more than great ones.
    if (length > this.#store.length) {
      const larger = new Uint8Array(2 * length);
      larger.set(this.bytes);
      this.#store = larger;
    }
    this.#store.set(data, offset);
    this.#length = length;
  }

  /** Leaves out the first bytes. */
  cut(count: number): void {
    this.#store = this.#store.subarray(count);
    this.#length -= count;
    this.start += count;
    // Small cuts copy nothing, and what is cut off is not held for ever.
    if (4 * this.#length < this.reserved) this.#store = this.bytes.slice();
  }
}

/** What came of a message: runs in order, never overlapping or touching. */
class Partial {
  contentType = "";
  headers: readonly Header[] = [];
  successReport = false;
  total: number | null = null;
  ended = false;
  size = 0;
  readonly runs: Run[] = [];

  /** The end of the furthest run. */
  get reach(): number {
    return this.runs.at(-1)?.end ?? 0;
  }

  /** Lays `data` over what is there: where ranges overlap, the last one wins (facts §4.3). */
  put(start: number, data: Uint8Array): void {
    const end = start + data.length;
    let at = this.#after(start);
    const before = this.runs[at - 1];
    if (before !== undefined && start <= before.end) {
      this.size -= before.length;
      before.write(start - before.start, data);
      this.size += before.length;
    } else if (data.length > 0) {
      this.runs.splice(at, 0, new Run(start, data));
      this.size += data.length;
      at += 1;
    }
    // What follows is covered wholly, covered at its front, or untouched.
    let stop = at;
    for (let run = this.runs[stop]; run !== undefined && run.end <= end; run = this.runs[++stop]) {
      this.size -= run.length;
    }
    this.runs.splice(at, stop - at);
    const next = this.runs[at];
    if (next !== undefined && next.start < end) {
      this.size -= end - next.start;
      next.cut(end - next.start);
    }
  }

  /** How many runs start at `position` or before. */
  #after(position: number): number {
    let low = 0;
    let high = this.runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.runs[middle] as Run).start <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export interface ReassemblerLimits {
  /** Bytes of one message. */
  maxSize: number;
  /** Unfinished messages. */
  maxMessages?: number;
  /** Pieces of each that do not follow one another. */
  maxRanges?: number;
}

/** Collects the chunks of one session's messages by Message-ID (RFC 4975 §7.3.1). */
export class Reassembler {
  readonly #limits: Required<ReassemblerLimits>;
  readonly #partial = new Map<string, Partial>();
  readonly #refused = new Map<string, Rejected>();

  constructor({ maxSize, maxMessages = MESSAGES_MAX, maxRanges = RANGES_MAX }: ReassemblerLimits) {
    this.#limits = { maxSize, maxMessages, maxRanges };
  }

  /** Whether a message of this id is begun and unfinished. */
  has(messageId: string): boolean {
    return this.#partial.has(messageId);
  }

  /** Bytes of unfinished messages. */
  get held(): number {
    return [...this.#partial.values()].reduce((sum, partial) => sum + partial.size, 0);
  }

  /** Bytes of memory that `held` takes: at most four times as many. */
  get reserved(): number {
    const runs = [...this.#partial.values()].flatMap((partial) => partial.runs);
    return runs.reduce((sum, run) => sum + run.reserved, 0);
  }

  /**
   * The message that `chunk` completes, or null.
   *
   * Throws Rejected, and drops the message: 400 for a range that cannot be, 413 for a message too long or too
   * scattered, or when too many are unfinished (413 and not 408: the sender is to stop this message, where 408 would
   * say that the session hangs). Further chunks of that message meet the same answer until its last.
   */
  receive(chunk: Request): Message | null {
    const { messageId } = chunk;
    if (this.#refused.has(messageId)) {
      this.#refuseAgain(chunk);
      return null;
    }
    try {
      const start = this.#start(chunk);
      const body = chunk.body ?? new Uint8Array(0);
      if (chunk.continuation === "#") {
        this.#partial.delete(messageId);
        return null;
      }
      let partial = this.#partial.get(messageId);
      if (partial === undefined) {
        if (start === 0 && chunk.continuation === "$" && isWhole(chunk, body)) return message(chunk, body, chunk);
        partial = this.#begin(messageId);
      }
      return this.#add(partial, chunk, start, body);
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      this.#partial.delete(messageId);
      if (chunk.continuation === "+") this.#remember(messageId, error);
      throw error;
    }
  }

  /** Where the chunk begins, from 0; throws Rejected for a range that cannot be, or is too far out. */
  #start(chunk: Request): number {
    if (chunk.messageId === "") throw new Rejected(400, "Message-ID missing");
    const [first, end, total] = chunk.byteRange ?? [1, null, null];
    const last = first + (chunk.body?.length ?? 0) - 1;
    // RFC 4975 §7.1.1: an interrupted chunk may end before the end it promised.
    if (chunk.continuation === "#") return first - 1;
    // A piece of a longer chunk carries its own end; only the last one the sender's (see Framer).
    if (first < 1 || (end !== null && end !== last) || (total !== null && last > total)) {
      throw new Rejected(400, "Bad Byte-Range");
    }
    if (Math.max(last, total ?? 0) > this.#limits.maxSize) throw new Rejected(413, "Message too long");
    return first - 1;
  }

  #begin(messageId: string): Partial {
    if (this.#partial.size >= this.#limits.maxMessages) throw new Rejected(413, "Too many unfinished messages");
    const partial = new Partial();
    this.#partial.set(messageId, partial);
    return partial;
  }

  #add(partial: Partial, chunk: Request, start: number, body: Uint8Array): Message | null {
    let total = chunk.byteRange?.[2] ?? null;
    if (chunk.continuation === "$") {
      // RFC 4975 §7.1.1: '$' marks the end of the message, so this chunk tells its length.
      partial.ended = true;
      total ??= start + body.length;
      if (total !== start + body.length) throw new Rejected(400, "Last chunk ends before the total");
    }
    if (total !== null) {
      if (partial.total !== null && partial.total !== total) throw new Rejected(400, "Total changed");
      partial.total = total;
    }
    if (start === 0 || partial.contentType === "") {
      partial.contentType = chunk.contentType || partial.contentType;
      partial.headers = chunk.headers.length > 0 ? chunk.headers : partial.headers;
    }
    partial.successReport ||= chunk.successReport;
    partial.put(start, body);
    if (partial.runs.length > this.#limits.maxRanges) throw new Rejected(413, "Message too scattered");
    if (partial.total !== null && partial.reach > partial.total) throw new Rejected(400, "Bytes beyond the total");
    if (!partial.ended || partial.size !== partial.total) return null;
    this.#partial.delete(chunk.messageId);
    return message(chunk, concat(...partial.runs.map((run) => run.bytes)), partial);
  }

  #remember(messageId: string, rejected: Rejected): void {
    // Beyond the bound the oldest is forgotten: its next chunk is judged afresh.
    const [oldest] = this.#refused.keys();
    if (oldest !== undefined && this.#refused.size >= this.#limits.maxMessages) this.#refused.delete(oldest);
    this.#refused.set(messageId, rejected);
  }

  #refuseAgain(chunk: Request): void {
    const refused = this.#refused.get(chunk.messageId);
    if (chunk.continuation !== "+") this.#refused.delete(chunk.messageId);
    if (refused !== undefined && chunk.continuation !== "#") throw new Rejected(refused.status, refused.comment);
  }
}

function isWhole(chunk: Request, body: Uint8Array): boolean {
  const total = chunk.byteRange?.[2] ?? null;
  return total === null || total === body.length;
}

function message(
  chunk: Request,
  body: Uint8Array,
  { contentType, headers, successReport }: Pick<Message, "contentType" | "headers" | "successReport">,
): Message {
  const { messageId, failureReport, transactionId, toPath, fromPath } = chunk;
  return { messageId, contentType, body, successReport, failureReport, headers, transactionId, toPath, fromPath };
}
