/** Finding people, conversations and messages: here at once, then on the node. */

import type { Database, MessageRow } from "./database";
import type { Http } from "./http";
import type { Aor, Found } from "./model";
import type { Numbers } from "./numbers";
import { fold, matches, type SearchIndex } from "./search";
import type { Tabs } from "./tabs";
import type { View } from "./view";

const NOTHING: Found = { people: [], conversations: [], messages: [] };

export class Finder {
  readonly #db: Database;
  readonly #http: Pick<Http, "search">;
  readonly #view: View;
  readonly #numbers: Numbers;
  readonly #index: SearchIndex;
  readonly #tabs: Tabs;

  constructor(db: Database, http: Pick<Http, "search">, view: View, numbers: Numbers, index: SearchIndex, tabs: Tabs) {
    this.#db = db;
    this.#http = http;
    this.#view = view;
    this.#numbers = numbers;
    this.#index = index;
    this.#tabs = tabs;
  }

  /** What is here; then `more`, once, with the messages that only the node had. */
  async search(text: string, more: (found: Found) => void): Promise<Found> {
    const [rows, conversations, people, names] = await Promise.all([
      this.#index.find(text),
      this.#view.conversations(),
      this.#view.contacts(),
      this.#view.names(),
    ]);
    const query = fold(text).trim();
    const digits = text.replace(/\D/g, "");
    const fits = ({ name, id }: { name: string; id: Aor }): boolean =>
      query !== "" && (matches(fold(name), query) || (digits.length > 2 && id.includes(digits)));
    const number = this.#numbers.read(text);
    void this.#searchNode(text, new Set(rows.map(({ id }) => id))).then(more);
    return {
      people: people.filter(fits),
      conversations: conversations.filter(fits),
      messages: rows.map((row) => this.#shown(row, names)),
      ...(number === undefined ? {} : { number }),
    };
  }

  async #searchNode(text: string, known: ReadonlySet<string>): Promise<Found> {
    if (fold(text).trim() === "") return NOTHING;
    try {
      const session = await this.#db.session();
      const { items } = await this.#http.search(text);
      // Kept, so that they can be gone to.
      if (!(await this.#tabs.know())) return NOTHING;
      await this.#tabs.engine.history.take(items, session);
      const keys = items.map(({ peer, message_id }): [Aor, string] => [peer, message_id]);
      const [rows, names] = await Promise.all([this.#db.messages.bulkGet(keys), this.#view.names()]);
      const fresh = rows.flatMap((row) =>
        (row?.kind === "text" || row?.kind === "file" || row?.kind === "location") && !known.has(row.id) ? [row] : [],
      );
      return { ...NOTHING, messages: fresh.map((row) => this.#shown(row, names)) };
    } catch {
      return NOTHING; // what is here is all there is
    }
  }

  #shown({ conversation, id, at, text, own }: MessageRow, names: Map<Aor, string>): Found["messages"][number] {
    return { conversation, id, at, text, own, name: names.get(conversation) ?? this.#numbers.write(conversation) };
  }
}
