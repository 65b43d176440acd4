/** The past: filled in once, then caught up with after each absence; what is here already is only brought up to date. */

import { decodeBase64, utf8 } from "../protocol/bytes";
import { parseCpim } from "../protocol/cpim";
import type { Database } from "./database";
import type { HistoryAnswer, HistoryItem, Http } from "./http";
import type { Inbox } from "./inbox";
import type { Aor } from "./model";

export const PAGE = 200;
/** The cursor before everything. */
const START = "0";

export class History {
  readonly #http: Pick<Http, "history">;
  readonly #db: Database;
  readonly #inbox: Inbox;
  readonly #own: () => Aor;
  #filling: Promise<void> | undefined;

  constructor(http: Pick<Http, "history">, db: Database, inbox: Inbox, own: () => Aor) {
    this.#http = http;
    this.#db = db;
    this.#inbox = inbox;
    this.#own = own;
  }

  /** Brings the newest here; older pages follow by themselves. Rejects with HttpProblem. */
  async catchUp(): Promise<void> {
    const newest = await this.#db.fact("newest");
    if (newest === undefined) {
      await this.#first();
    } else {
      await this.#after(newest);
      await this.#again();
    }
    this.#filling ??= this.#before()
      .catch(() => {}) // the next connection goes on from there
      .finally(() => {
        this.#filling = undefined;
      });
  }

  /** When the older pages are here, or could not be had. */
  async settled(): Promise<void> {
    await this.#filling;
  }

  /** Items in any order, for instance of a search. */
  async take(items: readonly HistoryItem[]): Promise<void> {
    for (const item of items) await this.#keep(item, item.state === "displayed" || item.direction === "outgoing");
  }

  async #first(): Promise<void> {
    const page = await this.#http.history({ limit: PAGE });
    if (this.#own() === "") return;
    await this.#takeBackwards(page);
    await this.#reached(page.items[0]);
  }

  async #after(cursor: string): Promise<void> {
    for (let after = cursor; ;) {
      const page = await this.#http.history({ after, limit: PAGE });
      for (const item of page.items) await this.#keep(item, item.state === "displayed");
      const last = page.items.at(-1);
      if (last === undefined) return;
      await this.#reached(last);
      if (!page.more) return;
      after = last.cursor;
    }
  }

  /** Everything up to this item has been taken. */
  async #reached(newest: HistoryItem | undefined): Promise<void> {
    await this.#db.setFact("newest", newest?.cursor ?? START);
    if (newest !== undefined) await this.#db.setFact("newestAt", Math.round(newest.at * 1000));
  }

  /** The newest once more: what became of them while this device was away. */
  async #again(): Promise<void> {
    const { items } = await this.#http.history({ limit: PAGE });
    for (const item of items.toReversed()) await this.#keep(item, item.state === "displayed");
  }

  async #before(): Promise<void> {
    for (;;) {
      const before = await this.#db.fact("oldest");
      if (!before || this.#own() === "") return;
      await this.#takeBackwards(await this.#http.history({ before, limit: PAGE }));
    }
  }

  /**
   * The newest first. Of a past that this device did not see, only what came after our own last word and nobody has
   * looked at is unread.
   */
  async #takeBackwards(page: HistoryAnswer): Promise<void> {
    const answered = new Set<string>();
    for (const item of page.items) {
      if (item.direction === "outgoing" || item.state === "displayed") answered.add(item.peer);
      else if ((await this.#db.conversations.get(item.peer))?.answered) answered.add(item.peer);
      await this.#keep(item, answered.has(item.peer));
    }
    const last = page.items.at(-1)?.cursor;
    await this.#db.setFact("oldest", page.more ? (last ?? "") : "");
  }

  async #keep(item: HistoryItem, seen: boolean): Promise<void> {
    const own = this.#own();
    if (own === "") throw new Error("signed out meanwhile");
    const incoming = item.direction === "incoming";
    try {
      const cpim = parseCpim(decodeBase64(utf8(item.cpim)));
      const identified = cpim.messageId === "" ? { ...cpim, messageId: item.message_id } : cpim;
      await this.#inbox.take(identified, {
        from: incoming ? item.peer : own,
        to: incoming ? own : item.peer,
        past: { at: Math.round(item.at * 1000), state: item.state, seen },
      });
    } catch (error) {
      // One that cannot be read must not keep the others away; a database that fails must.
      if (!(error instanceof Error) || error.name !== "ParseError") throw error;
    }
  }
}
