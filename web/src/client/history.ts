/** The past: filled in once, then caught up with after each absence; what is here already is only brought up to date. */

import { decodeBase64, utf8 } from "../protocol/bytes";
import { parseCpim } from "../protocol/cpim";
import type { Database, Facts } from "./database";
import type { HistoryAnswer, HistoryItem, Http } from "./http";
import type { Inbox } from "./inbox";
import type { Aor } from "./model";

export const PAGE = 200;
/** The cursor before everything. */
const START = "0";
const OVER = "signed out meanwhile";

export class History {
  readonly #http: Pick<Http, "history">;
  readonly #db: Database;
  readonly #inbox: Inbox;
  readonly #own: () => Aor;
  readonly #session: () => number;
  #filling: Promise<void> | undefined;

  /** `own` is whose past it is, `session` the session in which it is asked for. */
  constructor(http: Pick<Http, "history">, db: Database, inbox: Inbox, own: () => Aor, session: () => number) {
    this.#http = http;
    this.#db = db;
    this.#inbox = inbox;
    this.#own = own;
    this.#session = session;
  }

  /** Brings the newest here; older pages follow by themselves. Rejects with HttpProblem. */
  async catchUp(): Promise<void> {
    const session = this.#session();
    const newest = await this.#db.fact("newest");
    if (newest === undefined) {
      await this.#first(session);
    } else {
      await this.#after(newest, session);
      await this.#again(session);
    }
    this.#filling ??= this.#before(session)
      .catch(() => {}) // the next connection goes on from there
      .finally(() => {
        this.#filling = undefined;
      });
  }

  /** When the older pages are here, or could not be had. */
  async settled(): Promise<void> {
    await this.#filling;
  }

  /** Items in any order, for instance of a search; `session` is the one in which they were asked for. */
  async take(items: readonly HistoryItem[], session: number): Promise<void> {
    for (const item of items) {
      await this.#keep(item, item.state === "displayed" || item.direction === "outgoing", session);
    }
  }

  async #first(session: number): Promise<void> {
    const page = await this.#http.history({ limit: PAGE });
    if (this.#own() === "") return;
    await this.#takeBackwards(page, session);
    await this.#note(session, { newest: page.items[0]?.cursor ?? START, newestAt: timeOf(page.items[0]) });
  }

  async #after(cursor: string, session: number): Promise<void> {
    for (let after = cursor; ;) {
      const page = await this.#http.history({ after, limit: PAGE });
      for (const item of page.items) await this.#keep(item, item.state === "displayed", session);
      const last = page.items.at(-1);
      if (last === undefined) return;
      await this.#note(session, { newest: last.cursor, newestAt: timeOf(last) });
      if (!page.more) return;
      after = last.cursor;
    }
  }

  /** The newest once more: what became of them while this device was away. */
  async #again(session: number): Promise<void> {
    const { items } = await this.#http.history({ limit: PAGE });
    for (const item of items.toReversed()) await this.#keep(item, item.state === "displayed", session);
  }

  async #before(session: number): Promise<void> {
    for (;;) {
      const before = await this.#db.fact("oldest");
      if (!before || this.#own() === "") return;
      await this.#takeBackwards(await this.#http.history({ before, limit: PAGE }), session);
    }
  }

  /**
   * The newest first. Of a past that this device did not see, only what came after our own last word and nobody has
   * looked at is unread.
   */
  async #takeBackwards(page: HistoryAnswer, session: number): Promise<void> {
    const answered = new Set<string>();
    for (const item of page.items) {
      if (item.direction === "outgoing" || item.state === "displayed") answered.add(item.peer);
      else if ((await this.#db.conversations.get(item.peer))?.answered) answered.add(item.peer);
      await this.#keep(item, answered.has(item.peer), session);
    }
    const last = page.items.at(-1)?.cursor;
    await this.#note(session, { oldest: page.more ? (last ?? "") : "" });
  }

  /** How far it has come. */
  async #note(session: number, facts: Partial<Pick<Facts, "newest" | "newestAt" | "oldest">>): Promise<void> {
    const rows = Object.entries(facts).map(([key, value]) => ({ key, value }));
    if (!(await this.#db.during(session, () => this.#db.facts.bulkPut(rows)))) throw new Error(OVER);
  }

  async #keep(item: HistoryItem, seen: boolean, session: number): Promise<void> {
    const own = this.#own();
    // The inbox looks at the session that is on now, which may not be the one that asked.
    if (own === "" || session !== this.#session()) throw new Error(OVER);
    const incoming = item.direction === "incoming";
    try {
      const cpim = parseCpim(decodeBase64(utf8(item.cpim)));
      const identified = cpim.messageId === "" ? { ...cpim, messageId: item.message_id } : cpim;
      await this.#inbox.take(identified, {
        from: incoming ? item.peer : own,
        to: incoming ? own : item.peer,
        past: { at: timeOf(item), state: item.state, seen },
      });
    } catch (error) {
      // One that cannot be read must not keep the others away; a database that fails must.
      if (!(error instanceof Error) || error.name !== "ParseError") throw error;
    }
  }
}

/** Milliseconds since 1970, by the server's clock. */
function timeOf(item: HistoryItem | undefined): number {
  return Math.round((item?.at ?? 0) * 1000);
}
