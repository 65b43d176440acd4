/**
 * Is-composing: who is typing, said rarely and forgotten soon.
 *
 * Spec: RFC 3994.
 * Promises: time is an argument, in seconds; a lost notice wears off by itself, and nothing here is ever stored.
 */

import { type Bytes, utf8 } from "./bytes";
import { ParseError } from "./error";
import { child, childText, escapeXml, parseXml, textOf } from "./xml";

export const IS_COMPOSING_CONTENT_TYPE = "application/im-iscomposing+xml";

/** Bytes of one document. */
export const MAX_IS_COMPOSING = 4096;
/** Seconds without a key stroke after which a composer is idle (RFC 3994 §3.2). */
export const IDLE_AFTER = 15;
/** Seconds a notice holds when it does not say (RFC 3994 §3.3). */
export const DEFAULT_REFRESH = 120;
/** The shortest refresh interval we announce (RFC 3994 §3.2). */
export const MIN_REFRESH = 60;
/** The longest announced interval we believe. */
export const MAX_REFRESH = 3600;

export type ComposingState = "active" | "idle";

/** One notice. */
export interface IsComposing {
  readonly state: ComposingState;
  /** What is composed; empty when unsaid. */
  readonly contentType: string;
  /** RFC 3339 text; empty when unsaid. */
  readonly lastActive: string;
  /** Seconds; null when unsaid. */
  readonly refresh: number | null;
}

/** Reads a document; a state unknown to us means idle (RFC 3994 §3.4). Throws ParseError. */
export function parseIsComposing(data: Uint8Array): IsComposing {
  const root = parseXml(data, MAX_IS_COMPOSING);
  if (root.name !== "isComposing") throw new ParseError("not an isComposing document");
  const state = child(root, "state");
  if (state === undefined) throw new ParseError("isComposing without a state");
  const refresh = childText(root, "refresh");
  return {
    state: textOf(state) === "active" ? "active" : "idle",
    contentType: childText(root, "contenttype"),
    lastActive: childText(root, "lastactive"),
    refresh: /^[0-9]{1,9}$/.test(refresh) ? Number(refresh) : null,
  };
}

/** Writes a document, its elements in the order joyn clients write them. */
export function buildIsComposing(notice: Pick<IsComposing, "state"> & Partial<IsComposing>): Bytes {
  const element = (name: string, value: string | number | null | undefined): string =>
    value === "" || value == null ? "" : `<${name}>${escapeXml(String(value))}</${name}>`;
  return utf8(
    '<?xml version="1.0" encoding="UTF-8"?>\r\n<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing">' +
      element("state", notice.state) +
      element("contenttype", notice.contentType) +
      element("lastactive", notice.lastActive) +
      element("refresh", notice.refresh) +
      "</isComposing>",
  );
}

/** Our side: key strokes in, few notices out (RFC 3994 §3.2). Each method gives the notice to send, or null. */
export class Composer {
  readonly #contentType: string;
  readonly #refresh: number;
  #state: ComposingState = "idle";
  #idleAt = Infinity;
  #refreshAt = Infinity;

  constructor({ contentType = "text/plain", refresh = MIN_REFRESH } = {}) {
    this.#contentType = contentType;
    this.#refresh = Math.max(refresh, MIN_REFRESH);
  }

  get state(): ComposingState {
    return this.#state;
  }

  /** The user changed the text: say so when idle before, or when the last notice wears off. */
  compose(now: number): IsComposing | null {
    this.#idleAt = now + IDLE_AFTER;
    if (this.#state === "active" && now < this.#refreshAt) return null;
    this.#state = "active";
    this.#refreshAt = now + this.#refresh;
    return this.#notice(this.#refresh);
  }

  /** The user sent the message, which says by itself that composing ended (RFC 3994 §3.2): nothing to send. */
  send(): null {
    this.#becomeIdle();
    return null;
  }

  /** When `handleDeadline` is due; Infinity while idle. */
  deadline(): number {
    return this.#idleAt;
  }

  /** Says idle when the user has stopped; before that nothing. */
  handleDeadline(now: number): IsComposing | null {
    if (now < this.#idleAt) return null;
    this.#becomeIdle();
    return this.#notice(null);
  }

  #notice(refresh: number | null): IsComposing {
    return { state: this.#state, contentType: this.#contentType, lastActive: "", refresh };
  }

  #becomeIdle(): void {
    this.#state = "idle";
    this.#idleAt = this.#refreshAt = Infinity;
  }
}

/**
 * The peer's side as we show it: active until idle is said, a message comes, or the notice wears off.
 *
 * Each method gives the state to show when it changed, else null.
 */
export class Receiver {
  #state: ComposingState = "idle";
  #expiresAt = Infinity;

  get state(): ComposingState {
    return this.#state;
  }

  /** Takes a notice (RFC 3994 §3.3). */
  receive(notice: Pick<IsComposing, "state" | "refresh">, now: number): ComposingState | null {
    if (notice.state === "idle") return this.#become("idle", Infinity);
    return this.#become("active", now + (notice.refresh ? Math.min(notice.refresh, MAX_REFRESH) : DEFAULT_REFRESH));
  }

  /** Takes a message: what was being composed is here. */
  receiveMessage(): ComposingState | null {
    return this.#become("idle", Infinity);
  }

  /** When `handleDeadline` is due; Infinity while idle. */
  deadline(): number {
    return this.#expiresAt;
  }

  /** Forgets a peer from whom nothing more was heard. */
  handleDeadline(now: number): ComposingState | null {
    return now < this.#expiresAt ? null : this.#become("idle", Infinity);
  }

  #become(state: ComposingState, expiresAt: number): ComposingState | null {
    this.#expiresAt = expiresAt;
    if (state === this.#state) return null;
    this.#state = state;
    return state;
  }
}
