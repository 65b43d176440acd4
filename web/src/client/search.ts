/**
 * Search: what is on this device at once, then what the network remembers.
 *
 * Every word must be the beginning of a word of the text; case and accents do not count, as on the node. The texts are
 * held folded in memory: going through twenty thousand takes a few milliseconds.
 */

import type { Database, MessageRow } from "./database";
import type { Aor } from "./model";

/** Messages that one search gives. */
export const MAX_FOUND = 50;

interface Entry {
  conversation: Aor;
  id: string;
  at: number;
  folded: string;
}

/** Letters and digits without case and accents, each word after one space. */
export function fold(text: string): string {
  const bare = text
    .normalize("NFD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase();
  const whole = bare.replace(/œ/g, "oe").replace(/æ/g, "ae").replace(/ß/g, "ss");
  return ` ${whole.replace(/[^\p{L}\p{N}]+/gu, " ").trim()}`;
}

/** Whether a folded text has every word of a folded query. */
export function matches(folded: string, query: string): boolean {
  return query.split(" ").every((word) => word === "" || folded.includes(` ${word}`));
}

export class SearchIndex {
  readonly #db: Database;
  readonly #entries = new Map<string, Entry>();
  #upTo = -1;
  #loading: Promise<void> | undefined;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Reads what was written since the last time, in whatever tab. */
  async refresh(): Promise<void> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    await this.#loading;
  }

  /** The newest messages that match; none for a query without letters and digits. */
  async find(text: string): Promise<MessageRow[]> {
    const query = fold(text).trim();
    if (query === "") return [];
    await this.refresh();
    const hits: Entry[] = [];
    for (const entry of this.#entries.values()) if (matches(entry.folded, query)) hits.push(entry);
    hits.sort((one, other) => other.at - one.at);
    const found: MessageRow[] = [];
    // Some may have been deleted since they were read.
    for (let start = 0; start < hits.length && found.length < MAX_FOUND; start += MAX_FOUND) {
      const some = hits.slice(start, start + MAX_FOUND);
      const rows = await this.#db.messages.bulkGet(some.map(({ conversation, id }) => [conversation, id]));
      for (const [place, row] of rows.entries()) {
        const entry = some[place] as Entry;
        if (row === undefined) this.#entries.delete(keyOf(entry));
        else if (found.length < MAX_FOUND) found.push(row);
      }
    }
    return found;
  }

  /** Forgets everything: the device is signed out. */
  clear(): void {
    this.#entries.clear();
    this.#upTo = -1;
  }

  async #load(): Promise<void> {
    const from = this.#upTo;
    // Written in the same millisecond counts again: it costs little and misses nothing.
    const rows = await this.#db.messages.where("touched").aboveOrEqual(from).toArray();
    for (const row of rows) {
      this.#upTo = Math.max(this.#upTo, row.touched);
      const { conversation, id, at } = row;
      // The name of a voice message is a recorder's, not a person's.
      const named = row.kind === "file" && row.file?.seconds === undefined;
      if (row.kind === "text" || row.kind === "location" || named)
        this.#entries.set(keyOf(row), { conversation, id, at, folded: fold(row.text) });
      else this.#entries.delete(keyOf(row));
    }
  }
}

function keyOf({ conversation, id }: { conversation: Aor; id: string }): string {
  return `${conversation} ${id}`;
}
