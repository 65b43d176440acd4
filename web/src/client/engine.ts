/**
 * The engine: what the tab with the connection does. It fetches, takes, sends and answers; everything it learns goes
 * into the database, and what is not kept (who types, who is there) to `events`.
 */

import { addressUri, CPIM_CONTENT_TYPE, parseCpim } from "../protocol/cpim";
import { IS_COMPOSING_CONTENT_TYPE } from "../protocol/iscomposing";
import { aorOf } from "./addresses";
import type { ContentServer } from "./content";
import type { Database, OutboxRow } from "./database";
import { Delivery, service } from "./delivery";
import { wrapComposing, wrapText } from "./envelope";
import type { Environment } from "./environment";
import { History } from "./history";
import type { Http } from "./http";
import { Inbox } from "./inbox";
import { Line, type Refusal } from "./line";
import type { Aor, Conversation, Moving } from "./model";
import { Outbox, type Outcome } from "./outbox";
import { type Carried, Sessions } from "./sessions";
import type { MakeSip, SipRequest } from "./sip";
import type { Threads } from "./threads";
import { Uploads } from "./transfers";
import { Typing } from "./typing";

/** Milliseconds for which an answer about somebody's reachability is believed (facts §13: polling costs battery). */
export const REACH_FOR = 60_000;

/** Milliseconds after which a history that could not be had is asked for again. */
export const CATCH_UP_AGAIN = 5_000;

export interface EngineEvents {
  /** Something of theirs has come, and is kept. */
  onMessage(peer: Aor): void;
  onTyping(peer: Aor, typing: boolean): void;
  onReach(peer: Aor, reach: Conversation["reach"]): void;
  onMoving(id: string, moving: Moving | undefined): void;
  onRefused(refusal: Refusal, session: number): void;
}

export class Engine {
  readonly line: Line;
  readonly inbox: Inbox;
  readonly history: History;
  readonly #environment: Environment;
  readonly #threads: Threads;
  readonly #sessions: Sessions;
  readonly #outbox: Outbox;
  readonly #content: ContentServer;
  readonly #uploads: Uploads;
  readonly #typing: Typing;
  readonly #events: EngineEvents;
  readonly #asked = new Map<Aor, number>();
  #looked: Aor | undefined;
  #own: Aor = "";
  #session = 0;

  constructor(
    environment: Environment,
    http: Http,
    content: ContentServer,
    db: Database,
    threads: Threads,
    loadSip: () => Promise<MakeSip>,
    events: EngineEvents,
  ) {
    this.#environment = environment;
    this.#threads = threads;
    this.#events = events;
    const own = (): Aor => this.#own;
    const session = (): number => this.#session;
    const up = () => this.line.up;
    this.inbox = new Inbox(environment, db, threads, own, session);
    this.history = new History(http, db, this.inbox, own, session);
    this.#sessions = new Sessions(environment, up);
    const delivery = new Delivery(environment, up, this.#sessions);
    this.#outbox = new Outbox(
      environment,
      db,
      (row) => delivery.send(row),
      (row, outcome) => this.#settled(row, outcome),
    );
    this.#content = content;
    this.#uploads = new Uploads(environment, db, threads, content, {
      onMoving: (id, moving) => events.onMoving(id, moving),
      onReady: () => void this.#outbox.wake(),
    });
    this.#typing = new Typing(
      environment,
      (peer, notice) => this.#tellTyping(peer, notice),
      (peer, typing) => events.onTyping(peer, typing),
    );
    this.line = new Line(environment, http, db, loadSip, {
      onMessage: (request) => this.#onRequest(request),
      onInvite: (invitation) => this.#sessions.onInvite(invitation),
      onUp: () => this.#onUp(),
      onDown: () => this.#onDown(),
      onRefused: (refusal) => events.onRefused(refusal, this.#session),
    });
    this.#sessions.onMessage = (carried) => this.#onCarried(carried);
    this.inbox.onTyping = (peer, notice) => this.#typing.receive(peer, notice);
    this.inbox.onMessage = (peer) => {
      this.#typing.received(peer);
      events.onMessage(peer);
    };
    this.inbox.onAnswer = () => void this.#outbox.wake();
  }

  /** Whose it is, and in which session: what it takes is theirs, connected or not. */
  be(own: Aor, session: number): void {
    if (this.#own !== own || this.#session !== session) this.stop();
    this.#own = own;
    this.#session = session;
  }

  /** Connects as them, and stays connected. */
  start(): void {
    this.line.start();
    void this.#uploads.start();
  }

  /** Stops for good when the session is over: what is still on its way is not kept. */
  stop(): void {
    this.#own = "";
    this.line.stop();
    this.#uploads.stop();
    this.#content.forget();
  }

  /** The browser has no network any more. */
  cut(): void {
    this.line.cut();
    this.#uploads.cut();
  }

  /** There may be a network again. */
  reconnect(): void {
    this.line.reconnect();
    if (this.#own !== "") void this.#uploads.start();
  }

  /** Something was put into the outbox. */
  async wake(): Promise<void> {
    await Promise.all([this.#outbox.wake(), this.#uploads.wake()]);
  }

  /** The person types to somebody; an empty text is none. */
  compose(peer: Aor, text: string): void {
    if (this.line.up !== undefined) this.#typing.compose(peer, text);
  }

  /** The person looks at somebody, or at nobody: finds out whether they are there (RCC.07 §2.6.1.3, OPTIONS). */
  async look(peer: Aor | undefined): Promise<void> {
    const { up } = this.line;
    const now = this.#environment.now();
    this.#looked = peer;
    if (up === undefined || peer === undefined || now - (this.#asked.get(peer) ?? -Infinity) < REACH_FOR) return;
    this.#asked.set(peer, now);
    this.#events.onReach(peer, "checking");
    const { status } = await up.sip.options(peer, service("session").slice(0, 1));
    this.#events.onReach(peer, reachOf(status));
  }

  #onUp(): void {
    void this.#outbox.start();
    void this.#uploads.start();
    void this.#catchUp();
    // Whoever is looked at was asked for while there was no line, or may have gone since.
    void this.look(this.#looked);
  }

  /** What the network kept for us comes by itself; the history has the rest. */
  async #catchUp(): Promise<void> {
    const { up } = this.line;
    if (up === undefined) return;
    try {
      await this.history.catchUp();
    } catch {
      this.#environment.after(CATCH_UP_AGAIN, () => {
        if (this.line.up === up) void this.#catchUp();
      });
    }
  }

  #onDown(): void {
    this.#outbox.stop();
    this.#sessions.drop();
    this.#typing.forget();
    this.#asked.clear();
  }

  async #onRequest(request: SipRequest): Promise<number> {
    const { from, to, callId } = request;
    const type = request.contentType.split(";", 1)[0]?.trim().toLowerCase();
    let body = request.body;
    if (type !== CPIM_CONTENT_TYPE) {
      // A plain SIP client's text.
      if (type !== undefined && type !== "" && type !== "text/plain") return 415;
      body = wrapText("", this.#environment.now(), new TextDecoder().decode(request.body));
    }
    return this.#keep(body, { from, to, callId });
  }

  async #onCarried({ peer, contentType, body, stored }: Carried): Promise<number> {
    if (contentType === IS_COMPOSING_CONTENT_TYPE) {
      this.#typing.receive(peer, body);
      return 200;
    }
    if (contentType !== CPIM_CONTENT_TYPE) return 415;
    return this.#keep(body, { from: peer, to: this.#own }, stored);
  }

  /** 200 once it is kept; 480 makes the network keep it. */
  async #keep(body: Uint8Array, way: { from: Aor; to: Aor; callId?: string }, stored = false): Promise<number> {
    let cpim: ReturnType<typeof parseCpim>;
    try {
      cpim = parseCpim(body);
    } catch {
      return 400;
    }
    // Facts §4.8: here, and only here, the CPIM says who it is really from.
    const from = stored ? aorOf(addressUri(cpim.from)) : way.from;
    return this.inbox.take(cpim, { ...way, from }).then(
      () => 200,
      () => 480,
    );
  }

  async #settled(row: OutboxRow, outcome: Outcome): Promise<void> {
    if (row.kind !== "chat" || outcome.is === "later") return;
    if (outcome.is === "sent") this.#typing.sent(row.conversation);
    const state = outcome.is === "sent" ? "sent" : "failed";
    await this.#threads.advance(
      row.conversation,
      row.id,
      state,
      outcome.is === "failed" ? { failure: outcome.why } : {},
    );
  }

  #tellTyping(peer: Aor, notice: Uint8Array): void {
    const leg = this.#sessions.find(peer);
    if (leg !== undefined) {
      void leg.send(IS_COMPOSING_CONTENT_TYPE, notice);
      return;
    }
    const { random, now } = this.#environment;
    const cpim = wrapComposing(random(32), now(), notice);
    void this.line.up?.sip.message(peer, service("msg"), CPIM_CONTENT_TYPE, cpim);
  }
}

function reachOf(status: number): Conversation["reach"] {
  if (status < 300) return "online";
  if (status === 408 || status === 480) return "offline";
  return status === 404 || status === 604 ? "not-on-joyn" : "unknown";
}
