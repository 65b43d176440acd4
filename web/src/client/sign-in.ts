/**
 * Signing in: from a number to a device that is provisioned, connected and filled.
 *
 * Design §3. Each step is the value of `session`; what a person does in the wrong step changes nothing.
 */

import { parseConfiguration } from "../protocol/config";
import type { Database, Facts } from "./database";
import type { Environment } from "./environment";
import { type Http, HttpProblem, type SessionAnswer } from "./http";
import { notEligible, type Refusal } from "./line";
import type { Operator, Session, SignIn } from "./model";
import type { Held } from "./store";

/** Milliseconds until provisioning is said to take longer than usual, and until a Retry is offered (design §3). */
export const LONGER_AFTER = 15_000;
export const RETRY_AFTER = 60_000;
/** Milliseconds between attempts of a step. */
export const ATTEMPT_EVERY = 3_000;
/** Milliseconds until a node that could not be reached is asked again who is signed in here. */
export const ASK_AGAIN_AFTER = 10_000;

type Step = Extract<Session, { phase: "provisioning" }>["step"];

/** What signing in sets going, and waits for. */
export interface Provisioning {
  /** The identity is known: connect. Called again by each Retry. */
  connect(): void;
  connected(): Promise<void>;
  /** The newest conversations are here. */
  filled(): Promise<void>;
  /** The session is over: stop, and forget everything, but `leaving`: that the node is to be told. */
  left(leaving?: boolean): Promise<void>;
  /** Somebody else is about to get in: the same, but how the page was set on the way stays. */
  entered(): Promise<void>;
}

export class SignInMachine implements SignIn {
  readonly #environment: Pick<Environment, "after">;
  readonly #http: Http;
  readonly #db: Database;
  readonly #session: Held<Session>;
  readonly #provisioning: Provisioning;
  readonly #device: object;
  /** Rises with every change of mind; what was begun before it ends unheard. */
  #turn = 0;
  #number = "";
  #hurry = (): void => {};
  #leaving: Promise<boolean> | undefined;

  /** `device` is what the node shows in the list of devices. */
  constructor(
    environment: Pick<Environment, "after">,
    http: Http,
    db: Database,
    session: Held<Session>,
    provisioning: Provisioning,
    device: object,
  ) {
    this.#environment = environment;
    this.#http = http;
    this.#db = db;
    this.#session = session;
    this.#provisioning = provisioning;
    this.#device = device;
  }

  /** What is known here is shown at once; then the node says whether it still holds. */
  async start(): Promise<void> {
    const turn = this.#begin();
    const told = await this.#leave();
    if (turn !== this.#turn) return;
    if (!told) {
      this.#down();
      return;
    }
    const known = await this.#db.fact("identity");
    if (turn !== this.#turn) return;
    if (known !== undefined) this.#enter(known);
    const session = await this.#db.session();
    try {
      const answer = await this.#http.session();
      if (turn !== this.#turn) return;
      if (known === undefined) await this.#provision(turn, answer);
      else await this.#refresh(turn, answer);
    } catch (error) {
      if (turn !== this.#turn) return;
      const { status, word } = problem(error);
      if (status === 401) await this.refused({ why: word === "signed-out-elsewhere" ? word : "signed-out" }, session);
      else if (known === undefined) this.#down();
    }
  }

  async country(): Promise<string | undefined> {
    return (await this.#http.operator().catch(() => undefined))?.country;
  }

  async requestCode(number: string, country: string): Promise<void> {
    const turn = this.#begin();
    this.#number = number;
    try {
      if (!(await this.#leave())) throw new HttpProblem(0, "offline");
      const answer = await this.#http.requestCode(number, country, this.#device);
      if (turn !== this.#turn) return;
      this.#number = answer.number;
      this.#session.set({ phase: "code", number: answer.number, again: answer.again * 1000 });
    } catch (error) {
      if (turn !== this.#turn) return;
      const next = afterNumber(problem(error), number);
      if ("problem" in next && next.problem === "service-down") this.#down();
      else this.#session.set(next);
    }
  }

  async enterCode(code: string): Promise<void> {
    const now = this.#session.value;
    if (now.phase !== "code") return;
    const turn = this.#begin();
    try {
      await this.#http.enterCode(code);
      const answer = await this.#http.session();
      if (turn === this.#turn) await this.#provision(turn, answer);
    } catch (error) {
      if (turn !== this.#turn) return;
      const found = problem(error);
      const triesLeft = found.number("tries_left");
      const { triesLeft: _, problem: __, ...asked } = now;
      if (found.word === "wrong") {
        this.#session.set({ ...asked, problem: "wrong", ...(triesLeft === undefined ? {} : { triesLeft }) });
      } else if (found.word === "expired") {
        this.#session.set({ ...asked, problem: "expired" });
      } else if (found.word === "locked") {
        this.#session.set({ phase: "locked", number: now.number, until: (found.number("until") ?? 0) * 1000 });
      } else {
        this.#session.set({ ...now, problem: "service-down" });
      }
    }
  }

  async changeNumber(): Promise<void> {
    this.#begin();
    this.#session.set({ phase: "number" });
  }

  async acceptTerms(): Promise<void> {
    if (this.#session.value.phase !== "terms") return;
    const turn = this.#begin();
    await this.#http.answerTerms(true);
    const answer = await this.#http.session();
    if (turn === this.#turn) await this.#provision(turn, answer);
  }

  async refuseTerms(): Promise<void> {
    if (this.#session.value.phase !== "terms") return;
    this.#begin();
    await this.#http.answerTerms(false).catch(() => {});
    await this.#provisioning.left();
    this.#session.set({ phase: "number" });
  }

  /** Tries at once what is being tried anyway, or starts again where nothing is. */
  async retry(): Promise<void> {
    const { phase } = this.#session.value;
    if (phase === "provisioning") {
      this.#provisioning.connect();
      this.#hurry();
    } else if (phase === "number") {
      await this.start();
    } else if (phase === "locked" || phase === "not-eligible" || phase === "operator-unknown") {
      await this.changeNumber();
    } else if (phase === "signed-out-elsewhere") {
      this.#session.set({ phase: "number" });
    }
  }

  /** There may be a network again: what waits for one is tried at once. */
  async reconnect(): Promise<void> {
    const { value } = this.#session;
    if (value.phase !== "number") return;
    if (value.problem === "service-down") await this.start();
    else await this.#leave();
  }

  /** Wipes this device even when the node cannot be told; until it is, nobody gets in here. */
  async signOut(): Promise<void> {
    const turn = this.#begin();
    await this.#provisioning.left(true);
    this.#session.set({ phase: "number" });
    if (!(await this.#leave()) && turn === this.#turn) this.#down();
  }

  /** The node said that there will be no connection in a session. One that has come in its place is not meant. */
  async refused(refusal: Refusal, session: number): Promise<void> {
    const [current, known] = await Promise.all([this.#db.session(), this.#db.fact("identity")]);
    const now = this.#session.value;
    if (current !== session) {
      // Another tab has wiped the device already: there is no more to do than to say why.
      if (known !== undefined || now.phase !== "in") return;
      this.#begin();
      this.#session.set(ended(refusal));
      return;
    }
    this.#begin();
    const number = "number" in now ? now.number : this.#number;
    if (refusal.why === "terms") {
      this.#session.set({ phase: "terms", number, terms: refusal.terms });
      return;
    }
    if (refusal.why === "not-eligible") {
      const { title, text } = refusal;
      this.#session.set({ phase: "not-eligible", number, ...(title ? { title } : {}), ...(text ? { text } : {}) });
      return;
    }
    await this.#provisioning.left();
    this.#session.set(ended(refusal));
  }

  /** Another tab has signed in or out. */
  async follow(): Promise<void> {
    const known = await this.#db.fact("identity");
    const { value } = this.#session;
    if (value.phase === "provisioning") return;
    const shown = value.phase === "in" ? value.aor : undefined;
    if (known?.aor === shown) return;
    this.#begin();
    if (known === undefined) this.#session.set({ phase: "number" });
    else this.#enter(known);
  }

  /** The node cannot be reached. It is asked again by itself, as the words on the screen say. */
  #down(): void {
    const turn = this.#begin();
    this.#session.set({ phase: "number", problem: "service-down" });
    this.#environment.after(ASK_AGAIN_AFTER, () => {
      if (turn === this.#turn) void this.start();
    });
  }

  /** Tells the node that somebody has signed out here, if it does not know; false when it cannot be told. */
  #leave(): Promise<boolean> {
    // Once at a time: a late answer to another would take the next session's cookie away.
    this.#leaving ??= this.#tell().finally(() => {
      this.#leaving = undefined;
    });
    return this.#leaving;
  }

  async #tell(): Promise<boolean> {
    if ((await this.#db.fact("leaving")) === undefined) return true;
    try {
      await this.#http.signOut();
    } catch (error) {
      if (problem(error).status !== 401) return false; // 401: it is over already
    }
    await this.#db.facts.delete("leaving");
    return true;
  }

  #enter(known: Facts["identity"]): void {
    const { aor, number, profileName, operator } = known;
    this.#session.set({ phase: "in", aor, number, profileName, operator });
    this.#provisioning.connect();
  }

  async #refresh(turn: number, answer: SessionAnswer): Promise<void> {
    const identity = identityOf(answer);
    const another = await this.#become(turn, identity);
    if (turn !== this.#turn) return;
    if (this.#session.value.phase === "in") this.#session.set({ phase: "in", ...identity });
    if (another) this.#provisioning.connect();
  }

  /**
   * From now on this device is theirs. True when it was not: then nothing is left to them of whoever had it, nor of
   * what was written here since those left. Whoever changed their mind meanwhile becomes nobody.
   */
  async #become(turn: number, identity: Facts["identity"]): Promise<boolean> {
    const former = await this.#db.fact("identity");
    const another = former?.aor !== identity.aor;
    if (turn === this.#turn && another) await this.#provisioning.entered();
    if (turn === this.#turn) await this.#db.setFact("identity", identity);
    return another;
  }

  async #provision(turn: number, answer: SessionAnswer): Promise<void> {
    const identity = identityOf(answer);
    const { number, operator } = identity;
    let slow: "no" | "longer" | "retry" = "no";
    let step: Step = "number";
    const show = (): void => {
      if (turn === this.#turn)
        this.#session.set({ phase: "provisioning", number, operator: operator.name, step, slow });
    };
    const later = (delay: number, to: typeof slow): (() => void) =>
      this.#environment.after(delay, () => {
        slow = to;
        show();
      });
    const stops = [later(LONGER_AFTER, "longer"), later(RETRY_AFTER, "retry")];
    const reach = async (next: Step, work: () => Promise<void>): Promise<void> => {
      step = next;
      show();
      if (turn === this.#turn) await work();
    };
    show();
    try {
      await reach("settings", () => this.#settings(turn, identity));
      await reach("connecting", () => this.#provisioning.connected());
      await reach("conversations", () => this.#provisioning.filled());
      if (turn === this.#turn) this.#session.set({ phase: "in", ...identity });
    } finally {
      for (const stop of stops) stop();
    }
  }

  /** Reads the settings until they come; those that want an answer first, or say no, end the provisioning. */
  async #settings(turn: number, identity: Facts["identity"]): Promise<void> {
    const session = await this.#db.session();
    while (turn === this.#turn) {
      try {
        const { msg, vers } = parseConfiguration(await this.#http.configuration());
        if (turn !== this.#turn) return;
        if (msg?.accept) {
          const { title, message: text, accept, reject } = msg;
          return await this.refused({ why: "terms", terms: { title, text, accept, reject } }, session);
        }
        if (vers <= 0) return await this.refused(notEligible(msg?.title, msg?.message), session);
        await this.#become(turn, identity);
        if (turn === this.#turn) this.#provisioning.connect();
        return;
      } catch (error) {
        if (turn !== this.#turn) return;
        const found = problem(error);
        if (found.status === 401) return await this.refused({ why: "signed-out" }, session);
        if (found.status === 403) {
          return await this.refused(notEligible(found.text("title"), found.text("text")), session);
        }
      }
      await new Promise<void>((resolve) => {
        const stop = this.#environment.after(ATTEMPT_EVERY, resolve);
        this.#hurry = () => {
          stop();
          resolve();
        };
      });
    }
  }

  #begin(): number {
    this.#turn += 1;
    this.#hurry();
    return this.#turn;
  }
}

function ended({ why }: Refusal): Session {
  return { phase: why === "signed-out-elsewhere" ? why : "number" };
}

function afterNumber(found: HttpProblem, number: string): Session {
  const until = found.number("until");
  switch (found.word) {
    case "bad-number":
      return { phase: "number", problem: "bad-number" };
    case "operator-unknown":
      return { phase: "operator-unknown", number };
    case "not-eligible": {
      const [title, text] = [found.text("title"), found.text("text")];
      return { phase: "not-eligible", number, ...(title ? { title } : {}), ...(text ? { text } : {}) };
    }
    case "locked":
      return { phase: "locked", number, until: (until ?? 0) * 1000 };
    case "too-many":
      return { phase: "number", problem: "too-many", ...(until === undefined ? {} : { until: until * 1000 }) };
    default:
      return { phase: "number", problem: "service-down" };
  }
}

function identityOf(answer: SessionAnswer): Facts["identity"] {
  const { name, theme, country, terms_url, help_url } = answer.operator;
  const operator: Operator = {
    name,
    theme,
    country,
    ...(terms_url ? { termsUrl: terms_url } : {}),
    ...(help_url ? { helpUrl: help_url } : {}),
  };
  return { aor: answer.aor, number: answer.number, profileName: answer.profile_name, operator };
}

function problem(error: unknown): HttpProblem {
  return error instanceof HttpProblem ? error : new HttpProblem(0, "offline");
}
