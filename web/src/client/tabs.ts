/**
 * The tabs of one browser: the one that leads has the engine running, the others have it do things and hear of it.
 *
 * What is kept goes through the database; only what passes (who types, who is there, the connection) is told here.
 */

import type { Database } from "./database";
import type { Engine, EngineEvents } from "./engine";
import type { Environment } from "./environment";
import { Leader } from "./leader";
import type { Refusal } from "./line";
import type { Aor, Connection, Conversation, Moving } from "./model";
import { Held } from "./store";
import type { Presence } from "./view";

/** For the tab that leads. */
export type Order =
  | { do: "start" | "wake" | "reconnect" | "hello" }
  | { do: "look"; id: Aor | undefined }
  | { do: "compose"; id: Aor; text: string };

/** For every tab. */
export type News =
  | { is: "connection"; connection: Connection }
  | { is: "typing"; id: Aor; typing: boolean }
  | { is: "reach"; id: Aor; reach: Conversation["reach"] }
  | { is: "moving"; id: string; moving: Moving | undefined }
  /** `session` is the one that was refused: a tab that slept may hear of it in a later one. */
  | { is: "refused"; refusal: Refusal; session: number }
  /** Another one is signed in, or nobody: the database says who. */
  | { is: "session" };

export class Tabs {
  readonly connection: Held<Connection>;
  /** What is known of people while the connection lasts. */
  readonly presence = { typing: new Set<Aor>(), reach: new Map<Aor, Conversation["reach"]>() } satisfies Presence;
  /** Transfers that move now, by message. */
  readonly moving = new Held<ReadonlyMap<string, Moving>>(new Map());
  /** `presence` has changed. */
  onPresence: () => void = () => {};
  /** The node said that there will be no connection in that session. */
  onRefused: (refusal: Refusal, session: number) => void = () => {};
  /** Another tab has signed in or out. */
  onSession: () => void = () => {};
  /** Somebody wrote; told only to the tab that leads. */
  onMessage: (id: Aor) => void = () => {};
  readonly #db: Database;
  readonly #now: () => number;
  /** It runs in the tab that leads; its inbox and history serve in every one. */
  readonly engine: Engine;
  readonly #leader: Leader;

  /** `makeEngine` is given whom to tell. */
  constructor(environment: Environment, db: Database, makeEngine: (events: EngineEvents) => Engine) {
    this.#db = db;
    this.#now = environment.now;
    this.connection = new Held<Connection>({ state: "connecting", since: environment.now() });
    this.#leader = new Leader(environment);
    this.engine = makeEngine({
      onMessage: (id) => this.onMessage(id),
      onTyping: (id, typing) => this.tell({ is: "typing", id, typing }),
      onReach: (id, reach) => this.tell({ is: "reach", id, reach }),
      onMoving: (id, moving) => this.tell({ is: "moving", id, moving }),
      onRefused: (refusal, session) => this.tell({ is: "refused", refusal, session }),
    });
  }

  start(): void {
    this.#leader.onWord = (word) => this.#hear(word as Order | News);
    this.#leader.onLead = () => {
      this.engine.line.connection.subscribe((connection) => {
        if (this.#leader.leads) this.tell({ is: "connection", connection });
      });
      void this.#connect();
    };
    this.#leader.onYield = () => this.engine.stop();
    this.#leader.stand();
    this.ask({ do: "hello" });
  }

  /** The tab is closing. */
  close(): void {
    this.#leader.resign();
    this.engine.stop();
  }

  /** The browser has no network any more. Each tab hears of it, and says so without waiting for another. */
  cut(): void {
    if (this.#leader.leads) this.engine.cut();
    else this.#hear({ is: "connection", connection: { state: "offline", since: this.#now() } });
  }

  /** Has the leading tab do something. */
  ask(order: Order): void {
    if (this.#leader.leads) this.#obey(order);
    else this.#leader.say(order);
  }

  /** Tells every tab, this one too. */
  tell(news: News): void {
    this.#leader.say(news);
    this.#hear(news);
  }

  /** Tells the other tabs. */
  announce(news: News): void {
    this.#leader.say(news);
  }

  /** The session is over. */
  stop(): void {
    this.engine.stop();
    this.presence.typing.clear();
    this.presence.reach.clear();
  }

  #hear(word: Order | News): void {
    if ("do" in word) {
      if (this.#leader.leads) this.#obey(word);
    } else if (word.is === "refused") {
      this.onRefused(word.refusal, word.session);
    } else if (word.is === "session") {
      this.onSession();
    } else if (word.is === "moving") {
      const all = new Map(this.moving.value);
      if (word.moving === undefined) all.delete(word.id);
      else all.set(word.id, word.moving);
      this.moving.set(all);
    } else {
      this.#learn(word);
      this.onPresence();
    }
  }

  #learn(news: Exclude<News, { is: "moving" | "refused" | "session" }>): void {
    const { typing, reach } = this.presence;
    if (news.is === "typing") {
      if (news.typing) typing.add(news.id);
      else typing.delete(news.id);
    } else if (news.is === "reach") {
      reach.set(news.id, news.reach);
    } else {
      this.connection.set(news.connection);
      if (news.connection.state !== "online") reach.clear();
    }
  }

  #obey(order: Order): void {
    if (order.do === "look") void this.engine.look(order.id);
    else if (order.do === "compose") this.engine.compose(order.id, order.text);
    else if (order.do === "wake") void this.engine.wake();
    else if (order.do === "reconnect") this.engine.reconnect();
    else if (order.do === "hello") this.announce({ is: "connection", connection: this.engine.line.connection.value });
    else void this.#connect();
  }

  /** Has the engine know who is signed in, in the tabs that do not lead too; false for nobody. */
  async know(): Promise<boolean> {
    const { facts } = this.#db;
    const [identity, session] = await this.#db.transaction("r", facts, () =>
      Promise.all([this.#db.fact("identity"), this.#db.session()]),
    );
    if (identity !== undefined) this.engine.be(identity.aor, session);
    return identity !== undefined;
  }

  /** The tab that leads connects as soon as there is somebody to connect as. */
  async #connect(): Promise<void> {
    if (!(await this.know()) || !this.#leader.leads) return;
    this.engine.start();
    this.engine.line.reconnect();
  }
}
