/** What this device keeps of files, and how its room is had back: what can be fetched again need not be here. */

import type { Database } from "./database";
import type { Environment } from "./environment";
import type * as model from "./model";
import type { Aor, Stored, StorageUse } from "./model";

export class Storage implements model.Storage {
  readonly #environment: Pick<Environment, "now" | "storage">;
  readonly #db: Database;

  constructor(environment: Pick<Environment, "now" | "storage">, db: Database) {
    this.#environment = environment;
    this.#db = db;
  }

  async use(): Promise<StorageUse> {
    const { storage } = this.#environment;
    const [conversations, estimate, persisted] = await Promise.all([
      this.#stored(),
      storage?.estimate().catch(() => undefined),
      storage?.persisted().catch(() => undefined),
    ]);
    return {
      conversations,
      ...(estimate?.usage === undefined ? {} : { usage: estimate.usage }),
      ...(estimate?.quota === undefined ? {} : { quota: estimate.quota }),
      ...(persisted === undefined ? {} : { persisted }),
    };
  }

  async free(id: Aor): Promise<void> {
    const { contents, messages, pieces, transfers } = this.#db;
    await this.#db.transaction("rw", [contents, messages, pieces, transfers], async () => {
      const again = await this.#fetchable(id);
      await messages
        .where("[conversation+id]")
        .anyOf([...again].map((message) => [id, message]))
        .modify(({ file }) => {
          if (file === undefined) return;
          if (file.here) file.freed = true;
          file.here = false;
          delete file.kept;
        });
      for (const message of again) {
        await contents.update([id, message], (row: { whole?: Blob; shown?: Blob }) => {
          delete row.whole;
          delete row.shown;
        });
        await pieces.where({ conversation: id, id: message }).delete();
      }
    });
  }

  async persist(): Promise<boolean> {
    return (await this.#environment.storage?.persist()) ?? false;
  }

  async #stored(): Promise<Stored[]> {
    const all = new Map<Aor, Stored>();
    const again = new Map<Aor, Set<string>>();
    const count = async (id: Aor, message: string, bytes: number, kept: number): Promise<void> => {
      if (!again.has(id)) again.set(id, await this.#fetchable(id));
      const stored = all.get(id) ?? { id, bytes: 0, free: 0 };
      stored.bytes += bytes + kept;
      if (again.get(id)?.has(message)) stored.free += bytes;
      all.set(id, stored);
    };
    for (const { conversation, id, whole, shown, preview } of await this.#db.contents.toArray()) {
      await count(conversation, id, (whole?.size ?? 0) + (shown?.size ?? 0), preview?.size ?? 0);
    }
    for (const { conversation, id, blob } of await this.#db.pieces.toArray()) {
      await count(conversation, id, blob.size, 0);
    }
    return [...all.values()].sort((one, other) => other.bytes - one.bytes);
  }

  /** The messages of a conversation whose files the content server still has. */
  async #fetchable(id: Aor): Promise<Set<string>> {
    const now = this.#environment.now();
    const uploads = new Set((await this.#db.transfers.toArray()).map((row) => row.id));
    const files = await this.#db.newestFiles(id, Infinity);
    const again = files.filter(({ id: message, file }) => file?.url && file.until > now && !uploads.has(message));
    return new Set(again.map((row) => row.id));
  }
}
