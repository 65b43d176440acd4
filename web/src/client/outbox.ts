/**
 * The outbox: what has to leave is kept until it has left, in order within its lane, and survives a restart.
 *
 * Design §6: one failure holds up nothing else, a wait holds up its own lane only. One tab empties it: `leader.ts`.
 */

import Dexie from "dexie";
import type { Database, OutboxRow } from "./database";
import type { Environment } from "./environment";
import type { FailureReason } from "./model";

/** What became of an attempt: it left, it is to be tried again, or it will never leave. */
export type Outcome = { is: "sent" } | { is: "later" } | { is: "failed"; why: FailureReason };

/** Milliseconds before another attempt: doubled from the one to the other. */
export const WAIT_FIRST = 2_000;
export const WAIT_MAX = 5 * 60_000;
/** Milliseconds after which something that could not leave is given up. */
export const KEEP_FOR = 7 * 24 * 3_600_000;

export class Outbox {
  readonly #environment: Pick<Environment, "now" | "after">;
  readonly #db: Database;
  readonly #send: (row: OutboxRow) => Promise<Outcome>;
  readonly #settled: (row: OutboxRow, outcome: Outcome) => Promise<void>;
  /** Lanes being emptied; true when they should look again afterwards. */
  readonly #lanes = new Map<string, boolean>();
  #running = false;
  #stopTimer = (): void => {};

  /** `settled` hears of what has left or failed, and what it does is done when its row is gone. */
  constructor(
    environment: Pick<Environment, "now" | "after">,
    db: Database,
    send: (row: OutboxRow) => Promise<Outcome>,
    settled: (row: OutboxRow, outcome: Outcome) => Promise<void>,
  ) {
    this.#environment = environment;
    this.#db = db;
    this.#send = send;
    this.#settled = settled;
  }

  /** There is a connection: everything is tried at once. */
  async start(): Promise<void> {
    this.#running = true;
    await this.#db.outbox
      .toCollection()
      .modify({ due: 0, away: false })
      .catch(() => {});
    await this.wake();
  }

  /** There is none: nothing is tried, what is on its way may come back as `later`. */
  stop(): void {
    this.#running = false;
    this.#stopTimer();
  }

  /** Something was put in. */
  async wake(): Promise<void> {
    if (!this.#running) return;
    const lanes = new Set<string>();
    try {
      await this.#db.outbox.each(({ lane }) => void lanes.add(lane));
    } catch {
      this.#arm(WAIT_FIRST); // the database is busy, or closing
    }
    for (const lane of lanes) {
      if (this.#lanes.has(lane)) this.#lanes.set(lane, true);
      else void this.#empty(lane);
    }
  }

  async #empty(lane: string): Promise<void> {
    try {
      do {
        this.#lanes.set(lane, false);
        while (this.#running && (await this.#next(lane)));
      } while (this.#running && this.#lanes.get(lane));
    } catch {
      this.#arm(WAIT_FIRST);
    } finally {
      this.#lanes.delete(lane);
    }
  }

  /** Tries the first of a lane; true when the one behind it may be tried. */
  async #next(lane: string): Promise<boolean> {
    const row = await this.#db.outbox.where("[lane+seq]").between([lane, Dexie.minKey], [lane, Dexie.maxKey]).first();
    if (row === undefined) return false;
    const now = this.#environment.now();
    if (row.due > now) {
      this.#arm(row.due - now);
      return false;
    }
    const seq = row.seq as number;
    const expired: Outcome = { is: "failed", why: "expired" };
    // Taken out in this very moment by the person.
    if ((await this.#db.outbox.update(seq, { away: true })) === 0 && !row.away) return true;
    const outcome =
      now - row.created > KEEP_FOR ? expired : await this.#send(row).catch((): Outcome => ({ is: "later" }));
    if (outcome.is !== "later") {
      await this.#settled(row, outcome);
      await this.#db.outbox.delete(seq);
      return true;
    }
    const wait = Math.min(WAIT_FIRST * 2 ** row.tries, WAIT_MAX);
    await this.#db.outbox.update(seq, { tries: row.tries + 1, due: this.#environment.now() + wait, away: false });
    this.#arm(wait);
    return false;
  }

  #arm(wait: number): void {
    if (!this.#running) return;
    this.#stopTimer();
    // A lane that is due later wakes up in vain and sets the timer again.
    this.#stopTimer = this.#environment.after(wait, () => void this.wake());
  }
}
