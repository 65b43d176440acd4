/**
 * The inbox: what comes is kept before it is answered, shown once, and said to be delivered.
 *
 * Spec: RFC 5438 §7; facts §4.5, §4.8 (what comes again is acknowledged again), §4.9, §12. Receipts count only from the
 * person the message went to, and edits only from its author: both follow from looking in their own conversation.
 */

import type { Cpim } from "../protocol/cpim";
import { FILE_INFO_CONTENT_TYPE } from "../protocol/file-info";
import { LOCATION_CONTENT_TYPE } from "../protocol/geolocation";
import { IMDN_CONTENT_TYPE, type Imdn, parseImdn } from "../protocol/imdn";
import { IS_COMPOSING_CONTENT_TYPE } from "../protocol/iscomposing";
import { parseRevocation, REVOCATION_CONTENT_TYPE } from "../protocol/revocation";
import type { Database, FileRow, MarkRow } from "./database";
import { MAX_EMOJI, type Reference, referenceOf, wrapReceipt, writtenAt } from "./envelope";
import type { Environment } from "./environment";
import { failureOfReceipt } from "./failure";
import type { Aor, DeliveryState, Place } from "./model";
import { readPlace } from "./place";
import { readFacts } from "./shared-file";
import type { Threads } from "./threads";

/** Who a message is from and to, as the network asserts. */
export interface Way {
  from: Aor;
  to: Aor;
  /** The SIP Call-ID, in place of the Message-ID that plain SIP clients do not give. */
  callId?: string;
  /** It is of the past: nothing is acknowledged, and these are its time and state. */
  past?: { at: number; state: DeliveryState; seen: boolean };
}

/** Shown as something this client cannot show; any other unknown type is left alone (facts §12). */
const SHOWN = /^(?:image|audio|video)\/|^application\/vnd\.gsma\.(?:rcs-ft-http|botmessage)\b/;

export class Inbox {
  /** Somebody types. */
  onTyping: (peer: Aor, notice: Uint8Array) => void = () => {};
  /** Somebody wrote. */
  onMessage: (peer: Aor) => void = () => {};
  /** Something was put into the outbox. */
  onAnswer: () => void = () => {};
  readonly #environment: Pick<Environment, "now" | "random">;
  readonly #db: Database;
  readonly #threads: Threads;
  readonly #own: () => Aor;
  readonly #session: () => number;

  /** `own` is whose messages come, `session` the session in which they do. */
  constructor(
    environment: Pick<Environment, "now" | "random">,
    db: Database,
    threads: Threads,
    own: () => Aor,
    session: () => number,
  ) {
    this.#environment = environment;
    this.#db = db;
    this.#threads = threads;
    this.#own = own;
    this.#session = session;
  }

  /** Takes a message. Rejects only when it could not be kept: then the network must keep it. */
  async take(cpim: Cpim, way: Way): Promise<void> {
    const { contentType } = cpim;
    const reference = referenceOf(cpim);
    if (contentType === IS_COMPOSING_CONTENT_TYPE) this.onTyping(way.from, cpim.body);
    else if (contentType === IMDN_CONTENT_TYPE) await this.#takeReceipt(cpim, way);
    else if (contentType === REVOCATION_CONTENT_TYPE) await this.#takeRevocation(cpim, way);
    else if (reference !== null && reference.kind !== "reply") await this.#takeMark(cpim, way, reference);
    else if (contentType.startsWith("text/")) await this.#takeMessage(cpim, way, "text", reference?.target);
    else if (contentType === FILE_INFO_CONTENT_TYPE) await this.#takeFile(cpim, way);
    else if (contentType === LOCATION_CONTENT_TYPE) await this.#takeLocation(cpim, way);
    else if (SHOWN.test(contentType)) await this.#takeMessage(cpim, way, "unsupported");
  }

  async #takeFile(cpim: Cpim, way: Way): Promise<void> {
    const file = readFacts(cpim.body);
    if (file === undefined) await this.#takeMessage(cpim, way, "unsupported");
    else await this.#takeMessage(cpim, way, "file", undefined, { text: file.name, original: cpim.text, file });
  }

  async #takeLocation(cpim: Cpim, way: Way): Promise<void> {
    const place = readPlace(cpim.body);
    if (place === undefined) await this.#takeMessage(cpim, way, "unsupported");
    else await this.#takeMessage(cpim, way, "location", undefined, { text: place.label, original: cpim.text, place });
  }

  /** `said` is what the message says, where that is not its text. */
  async #takeMessage(
    cpim: Cpim,
    way: Way,
    kind: "text" | "file" | "location" | "unsupported",
    reply?: string,
    said: { text: string; original?: string; file?: FileRow; place?: Place } = {
      text: kind === "text" ? cpim.text : "",
    },
  ): Promise<void> {
    const { past } = way;
    const own = way.from === this.#own();
    const conversation = own ? way.to : way.from;
    const id = idOf(cpim, way);
    const now = this.#environment.now();
    const message = {
      conversation,
      id,
      own,
      by: way.from,
      kind,
      ...said,
      // A copy of what another device of ours sent: the network has it.
      state: past?.state ?? (own ? ("sent" as const) : ("delivered" as const)),
      ...(past === undefined ? {} : { arrived: past.at }),
      written: writtenAt(cpim, now),
      ...(reply === undefined ? {} : { reply }),
      unseen: own || past?.seen ? (0 as const) : (1 as const),
      wantsDisplay: !own && cpim.dispositionNotification.has("display"),
    };
    let isNew = false;
    await this.#keep(async () => {
      const at = past?.at ?? (await this.#threads.timeOf(conversation, way.from, message.written));
      isNew = await this.#threads.add({ ...message, at });
      const answer = !own && past === undefined && id === cpim.messageId;
      // Only what is kept, or was before.
      if (answer && (isNew || (await this.#threads.knows(conversation, id, true)))) {
        await this.#acknowledge(cpim, conversation);
      }
    });
    if (past !== undefined && !isNew) await this.#catchUp(conversation, id, own, past);
    if (past === undefined && !own) {
      this.onMessage(conversation);
      this.onAnswer();
    }
  }

  /** What the history says of a message that is here. */
  async #catchUp(conversation: Aor, id: string, own: boolean, past: NonNullable<Way["past"]>): Promise<void> {
    await this.#threads.place(conversation, id, past.at);
    const row = await this.#db.messages.get([conversation, id]);
    if (own) {
      // What failed and is being tried again has a new fate, which the history does not know yet.
      if (past.state === "failed" && row?.state === "pending") return;
      const failure = past.state === "failed" ? { failure: "refused" as const } : {};
      await this.#threads.advance(conversation, id, past.state, { at: "unknown", ...failure });
    } else if (past.seen && row?.unseen) {
      await this.#threads.see(conversation, row.at);
    }
  }

  /** A reaction, an edit or a deletion. */
  async #takeMark(cpim: Cpim, way: Way, { kind, target }: Reference): Promise<void> {
    const conversation = way.from === this.#own() ? way.to : way.from;
    const now = this.#environment.now();
    const at = way.past?.at ?? writtenAt(cpim, now);
    const about = { conversation, by: way.from, at, arrived: way.past?.at ?? now, id: idOf(cpim, way) };
    const mark = markOf({ kind, target }, about, cpim.text);
    if (mark === null) return;
    await this.#keep(async () => {
      // No word about what we never had: it would tell a stranger that this device is there.
      const answer = way.past === undefined && way.from !== this.#own() && cpim.messageId !== "";
      if (answer && (await this.#threads.knows(conversation, target))) await this.#acknowledge(cpim, conversation);
      await this.#threads.mark(mark);
    });
    this.onAnswer();
  }

  /** Changes the database; rejects when the session has ended meanwhile, perhaps in another tab. */
  async #keep(change: () => Promise<void>): Promise<void> {
    if (!(await this.#db.during(this.#session(), change))) throw new Error("the session is over");
  }

  /** Says delivered if that is asked for; in the transaction that keeps the message. */
  async #acknowledge(cpim: Cpim, peer: Aor): Promise<void> {
    if (!cpim.dispositionNotification.has("positive-delivery")) return;
    await this.receipt(peer, cpim.messageId, "delivered");
  }

  /** Puts a receipt into the outbox. */
  async receipt(peer: Aor, about: string, status: "delivered" | "displayed"): Promise<void> {
    const now = this.#environment.now();
    await this.#db.outbox.add({
      lane: `receipts ${peer}`,
      conversation: peer,
      id: about,
      kind: "receipt",
      cpim: wrapReceipt(this.#environment.random(32), now, about, status),
      created: now,
      tries: 0,
      due: 0,
      away: false,
    });
  }

  async #takeReceipt(cpim: Cpim, way: Way): Promise<void> {
    const receipt = readOr(() => parseImdn(cpim.body));
    const state = receipt && stateOf(receipt);
    if (receipt === null || state == null || way.from === this.#own()) return;
    const at = writtenAt(receipt, this.#environment.now());
    const failure = state === "failed" ? { failure: failureOfReceipt(receipt) } : {};
    const changed = await this.#threads.advance(way.from, receipt.messageId, state, { at, ...failure });
    if (changed && state === "stored") await this.#note(way.from, receipt.messageId);
  }

  /** Design §5: the first stored message is explained. */
  async #note(conversation: Aor, about: string): Promise<void> {
    const row = await this.#db.conversations.get(conversation);
    const message = await this.#db.messages.get([conversation, about]);
    if (row === undefined || row.noted || message === undefined) return;
    await this.#threads.alter(conversation, (row) => {
      row.noted = true;
    });
    const note = { conversation, id: "note:stored", own: false, by: "", at: message.at + 1 };
    await this.#threads.add({ ...note, kind: "note", text: "stored" });
  }

  async #takeRevocation(cpim: Cpim, way: Way): Promise<void> {
    const answer = readOr(() => parseRevocation(cpim.body));
    if (answer?.result !== "success") return;
    // Nobody but us may take our messages away: the answer comes in the name of the recipient, from the network.
    const row = await this.#db.messages.get([way.from, answer.messageId]);
    if (row?.own && row.state === "stored") await this.#threads.remove(way.from, answer.messageId);
  }
}

/** The mark that a message with a reference is; null when it says nothing. */
export function markOf(
  { kind, target }: Reference,
  about: Pick<MarkRow, "conversation" | "by" | "at" | "arrived" | "id">,
  text: string,
): MarkRow | null {
  if (kind === "edit") return { ...about, target, what: `edit:${about.id}`, text, on: true };
  if (kind === "delete") return { ...about, target, what: "delete", text: "", on: true };
  const emoji = text.trim();
  if (emoji === "" || emoji.length > MAX_EMOJI) return null;
  return { ...about, target, what: `reaction:${emoji}`, text: "", on: kind === "react" };
}

/** What a receipt says of a message; null for what changes nothing. */
function stateOf({ kind, status }: Imdn): DeliveryState | null {
  if (kind === "display") return status === "displayed" ? "displayed" : "delivered"; // seen, or they do not say
  if (kind === "processing") return status === "stored" ? "stored" : null;
  if (kind !== "delivery") return null;
  if (status === "delivered") return "delivered";
  return status === "failed" || status === "forbidden" || status === "error" ? "failed" : null;
}

function idOf(cpim: Cpim, way: Way): string {
  return cpim.messageId || `sip:${way.callId ?? `${way.past?.at ?? ""}`}`;
}

function readOr<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
