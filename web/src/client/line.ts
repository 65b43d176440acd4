/**
 * The connection to the node: made, kept, and made anew, each time with fresh settings and a fresh password.
 *
 * Spec: RFC 5626 §4.5 (ever longer waits), facts §9; design §10 (connection banner). One tab has it: see `leader.ts`.
 */

import { type Configuration, parseConfiguration } from "../protocol/config";
import type { Database } from "./database";
import { type Environment, uuid } from "./environment";
import { type Http, HttpProblem } from "./http";
import type { Aor, Connection, Terms } from "./model";
import { Msrp } from "./msrp";
import type { Invitation, MakeSip, SipClient, SipRequest } from "./sip";
import { Held } from "./store";

/** Milliseconds between attempts: doubled from the one to the other. */
export const RETRY_FIRST = 500;
export const RETRY_MAX = 30_000;

/** What makes the network keep a message (facts §4.8). */
const PUT_OFF = 480;

const ICSI = "urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.";
const IARI = "urn%3Aurn-7%3A3gpp-application.ims.iari.rcs.";
/** As the scripted phone registers; see joyn.model.tags. */
export const TAGS =
  "+g.gsma.rcs.cpm.pager-large;+g.joyn.sync;" +
  `+g.3gpp.iari-ref="${["fthttp", "geopush"].map((name) => IARI + name).join(",")}";` +
  `+g.3gpp.icsi-ref="${["largemsg", "msg", "session", "systemmsg"].map((name) => ICSI + name).join(",")}"`;

/** Why there will be no connection until somebody does something. */
export type Refusal =
  | { why: "signed-out" | "signed-out-elsewhere" }
  | { why: "terms"; terms: Terms }
  | { why: "not-eligible"; title?: string; text?: string };

export interface LineEvents {
  onMessage(request: SipRequest): Promise<number>;
  onInvite(invitation: Invitation): void;
  /** Registered, with these settings. */
  onUp(configuration: Configuration): void;
  onDown(): void;
  onRefused(refusal: Refusal): void;
}

/** What a registration gives. */
export interface Up {
  sip: SipClient;
  msrp: Msrp;
  aor: Aor;
  configuration: Configuration;
  /** What came meanwhile is let through, once. */
  ready(): void;
}

export class Line {
  readonly connection: Held<Connection>;
  /** What there is now; undefined while there is no registration. */
  up: Up | undefined;
  readonly #environment: Environment;
  readonly #http: Http;
  readonly #db: Database;
  readonly #loadSip: () => Promise<MakeSip>;
  readonly #events: LineEvents;
  #running = false;
  #attempt = 0;
  #wait = RETRY_FIRST;
  #stopWaiting = (): void => {};

  constructor(environment: Environment, http: Http, db: Database, loadSip: () => Promise<MakeSip>, events: LineEvents) {
    this.#environment = environment;
    this.#http = http;
    this.#db = db;
    this.#loadSip = loadSip;
    this.#events = events;
    this.connection = new Held<Connection>({ state: "offline", since: environment.now() });
  }

  /** Connects, and stays connected until `stop`. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#again(0);
  }

  /** Connects at once if there is no connection. */
  reconnect(): void {
    if (!this.#running || this.up !== undefined) return;
    this.#wait = RETRY_FIRST;
    this.#again(0);
  }

  /** The browser has no network any more: what connection there is will say nothing, not even that it is over. */
  cut(): void {
    if (!this.#running || this.up === undefined) return;
    this.#down("offline");
    this.#retry();
  }

  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#attempt += 1;
    this.#stopWaiting();
    this.#down("offline");
  }

  #again(delay: number): void {
    this.#stopWaiting();
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#stopWaiting = this.#environment.after(delay, () => void this.#connect(attempt));
  }

  /** Attempts are numbered, so that one which was overtaken changes nothing. */
  async #connect(attempt: number): Promise<void> {
    const current = (): boolean => this.#running && attempt === this.#attempt;
    this.#say("connecting");
    let up: Up | Refusal | undefined;
    try {
      up = await this.#register(current);
    } catch (error) {
      if (error instanceof HttpProblem && error.status === 401) {
        up = { why: error.word === "signed-out-elsewhere" ? error.word : "signed-out" };
      } else if (error instanceof HttpProblem && error.status === 403) {
        up = notEligible(error.text("title"), error.text("text"));
      }
    }
    if (!current()) {
      if (up !== undefined && "sip" in up) {
        up.ready();
        void up.sip.close();
      }
    } else if (up === undefined) {
      this.#retry();
    } else if ("why" in up) {
      this.stop();
      this.#events.onRefused(up);
    } else {
      this.#wait = RETRY_FIRST;
      this.up = up;
      this.#say("online");
      up.ready();
      this.#events.onUp(up.configuration);
    }
  }

  #retry(): void {
    this.#say("offline");
    const spread = 0.5 + Number.parseInt(this.#environment.random(4), 16) / 0x1ffff;
    const wait = this.#wait * spread;
    this.#wait = Math.min(2 * this.#wait, RETRY_MAX);
    this.#again(wait);
  }

  async #register(current: () => boolean): Promise<Up | Refusal | undefined> {
    const [document, makeSip, instance] = await Promise.all([
      this.#http.configuration(),
      this.#loadSip(),
      this.#instance(),
    ]);
    const configuration = parseConfiguration(document);
    const { msg, vers, ims, webSocketUri } = configuration;
    if (msg?.accept) {
      const { title, message, accept, reject } = msg;
      return { why: "terms", terms: { title, text: message, accept, reject } };
    }
    if (vers <= 0) return notEligible(msg?.title, msg?.message);
    const identity = await this.#db.fact("identity");
    if (ims === null || webSocketUri === "" || identity === undefined || !current()) return undefined;
    const { aor } = identity;
    const address = ims.publicIdentities.find((uri) => /^sips?:/i.test(uri)) ?? ims.publicIdentities[0] ?? aor;
    const msrp = new Msrp(this.#environment, webSocketUri);
    let lost = false;
    // What waited for us comes right behind the answer to REGISTER, before anything here knows that we are up.
    let ready = (): void => {};
    const up = new Promise<void>((resolve) => {
      ready = resolve;
    });
    const sip: SipClient = makeSip(
      this.#environment,
      {
        url: webSocketUri,
        aor,
        address,
        username: ims.username,
        password: ims.password,
        domain: ims.domain || ims.realm,
        instance,
        tags: TAGS,
      },
      {
        onMessage: async (request) => {
          await up;
          return this.up?.sip === sip ? this.#events.onMessage(request) : PUT_OFF;
        },
        onInvite: async (invitation) => {
          await up;
          if (this.up?.sip === sip) this.#events.onInvite(invitation);
          else invitation.reject(PUT_OFF);
        },
        onLost: () => {
          lost = true;
          if (this.up?.sip !== sip) return;
          this.#down("connecting");
          if (this.#running) this.#retry();
        },
      },
    );
    const answer = await sip.connect();
    if (answer.status >= 300 || lost) return undefined;
    return { sip, msrp, aor, configuration, ready };
  }

  #down(state: Connection["state"]): void {
    const { up } = this;
    this.up = undefined;
    this.#say(state);
    if (up === undefined) return;
    up.msrp.close();
    void up.sip.close();
    this.#events.onDown();
  }

  #say(state: Connection["state"]): void {
    const old = this.connection.value;
    if (old.state === state) return;
    const since = old.state === "online" || state === "online" ? this.#environment.now() : old.since;
    this.connection.set({ state, since });
  }

  async #instance(): Promise<string> {
    return this.#db.transaction("rw", this.#db.facts, async () => {
      const known = await this.#db.fact("instance");
      if (known !== undefined) return known;
      const made = `urn:uuid:${uuid(this.#environment)}`;
      await this.#db.setFact("instance", made);
      return made;
    });
  }
}

/** In the operator's words, where there are any. */
export function notEligible(title?: string, text?: string): Refusal {
  return { why: "not-eligible", ...(title ? { title } : {}), ...(text ? { text } : {}) };
}
