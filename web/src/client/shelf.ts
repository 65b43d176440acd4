/** How the list of conversations is arranged: pinned, muted, archived, marked. */

import type { Database } from "./database";
import { type Aor, MAX_PINNED, type Undo } from "./model";
import type { Threads } from "./threads";

export class Shelf {
  readonly #db: Database;
  readonly #threads: Threads;

  constructor(db: Database, threads: Threads) {
    this.#db = db;
    this.#threads = threads;
  }

  async pin(id: Aor, pinned: boolean): Promise<void> {
    const others = (await this.#pinned()).filter((other) => other !== id);
    if (pinned && others.length >= MAX_PINNED) return;
    await this.#arrange(pinned ? [...others, id] : others, pinned ? undefined : id);
  }

  async movePin(id: Aor, place: number): Promise<void> {
    const all = await this.#pinned();
    if (!all.includes(id)) return;
    const others = all.filter((other) => other !== id);
    others.splice(Math.max(0, place), 0, id);
    await this.#arrange(others);
  }

  mute(id: Aor, mutedUntil: number): Promise<void> {
    return this.#threads.alter(id, (row) => {
      row.mutedUntil = mutedUntil;
    });
  }

  markUnread(id: Aor): Promise<void> {
    return this.#threads.adjust(id, (row) => {
      row.markedUnread = true;
    });
  }

  async archive(id: Aor, archived: boolean): Promise<Undo> {
    const set = (value: boolean): Promise<void> =>
      this.#threads.adjust(id, (row) => {
        row.archived = value;
      });
    const session = await this.#db.session();
    await set(archived);
    return async () => void (await this.#db.during(session, () => set(!archived)));
  }

  /** An empty draft makes no conversation. `session` is the one in which it was written. */
  async saveDraft(session: number, id: Aor, draft: string): Promise<void> {
    const save = (row: { draft: string }): void => {
      row.draft = draft;
    };
    await this.#db.during(session, () =>
      draft === "" ? this.#threads.adjust(id, save) : this.#threads.alter(id, save),
    );
  }

  async #pinned(): Promise<Aor[]> {
    const rows = (await this.#db.conversations.toArray()).filter(({ pinned }) => pinned !== undefined);
    return rows.sort((one, other) => (one.pinned ?? 0) - (other.pinned ?? 0)).map(({ id }) => id);
  }

  async #arrange(ids: readonly Aor[], unpinned?: Aor): Promise<void> {
    await this.#db.transaction("rw", this.#db.tables, async () => {
      for (const [place, id] of ids.entries()) {
        await this.#threads.alter(id, (row) => {
          row.pinned = place;
        });
      }
      if (unpinned === undefined) return;
      await this.#threads.adjust(unpinned, (row) => {
        delete row.pinned;
      });
    });
  }
}
