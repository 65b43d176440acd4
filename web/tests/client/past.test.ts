import "fake-indexeddb/auto";

import { beforeEach, describe, expect, test } from "vitest";
import { Database } from "../../src/client/database";
import { History, PAGE } from "../../src/client/history";
import type { HistoryItem } from "../../src/client/http";
import { Inbox } from "../../src/client/inbox";
import { fold, matches, SearchIndex } from "../../src/client/search";
import { Threads } from "../../src/client/threads";
import { parseCpim } from "../../src/protocol/cpim";
import { chat, OWN, PEER, refer } from "./node";
import { Clock, counted, database } from "./world";

let clock: Clock;
let db: Database;
let threads: Threads;
let inbox: Inbox;
let history: History;
let items: HistoryItem[];
let pages: string[];
let session: number;

beforeEach(() => {
  clock = new Clock();
  db = new Database(database());
  threads = new Threads(db, () => clock.now);
  items = [];
  pages = [];
  session = 0;
  inbox = new Inbox(
    { now: () => clock.now, random: counted },
    db,
    threads,
    () => OWN,
    () => session,
  );
  history = new History(
    { history: serve },
    db,
    inbox,
    () => OWN,
    () => session,
  );
});

/** As the node does: the newest first with `before` or neither, the oldest first with `after`. */
async function serve(where: { before?: string; after?: string; limit: number }) {
  pages.push(where.after === undefined ? `before ${where.before ?? "now"}` : `after ${where.after}`);
  const { before = Infinity, after } = where;
  const fitting =
    after === undefined
      ? items.filter(({ cursor }) => Number(cursor) < Number(before)).toReversed()
      : items.filter(({ cursor }) => Number(cursor) > Number(after));
  return { items: fitting.slice(0, where.limit), more: fitting.length > where.limit };
}

function item(id: string, more: Partial<HistoryItem> = {}, cpim = chat(id, id)): HistoryItem {
  const cursor = String(items.length + 1);
  const made: HistoryItem = {
    cursor,
    direction: "incoming",
    peer: PEER,
    message_id: id,
    at: clock.now / 1000 - 3600 + items.length,
    content_type: "text/plain",
    cpim: btoa(String.fromCharCode(...cpim)),
    state: "delivered",
    kind: "chat",
    ...more,
  };
  items.push(made);
  return made;
}

async function texts(): Promise<string[]> {
  return (await db.newest(PEER, 10_000)).reverse().map(({ text }) => text);
}

describe("history", () => {
  test("fills in everything once, page by page", async () => {
    for (let count = 0; count < 2 * PAGE + 5; count++) item(`m${count}`);
    await history.catchUp();
    await history.settled();
    expect((await texts()).length).toBe(2 * PAGE + 5);
    expect((await texts()).slice(0, 3)).toEqual(["m0", "m1", "m2"]);
    expect(pages).toHaveLength(3);
    await history.catchUp();
    await history.settled();
    expect(pages.slice(3)).toEqual([`after ${2 * PAGE + 5}`, "before now"]);
  });

  test("what comes by itself while the history comes, the newest first, stands where the network has it", async () => {
    for (const id of ["one", "two", "three"]) item(id);
    const [newest, older] = [items[2], items.slice(0, 2)];
    if (newest === undefined) throw new Error("no newest");
    items = [newest];
    await history.catchUp();
    await inbox.take(parseCpim(chat("one", "one")), { from: PEER, to: OWN });
    expect(await texts()).toEqual(["three", "one"]);
    items = [...older, newest];
    await db.setFact("oldest", "3");
    await history.catchUp();
    await history.settled();
    expect(await texts()).toEqual(["one", "two", "three"]);
    expect((await db.conversations.get(PEER))?.last?.text).toBe("three");
  });

  test("goes on with older pages where an interruption left it", async () => {
    for (let count = 0; count < PAGE + 5; count++) item(`m${count}`);
    await history.catchUp();
    await history.settled();
    await db.setFact("oldest", "6"); // as if the rest had not come
    await db.messages
      .where("[conversation+at+id]")
      .below([PEER, (items[5]?.at ?? 0) * 1000])
      .delete();
    await history.catchUp();
    await history.settled();
    expect((await texts()).length).toBe(PAGE + 5);
  });

  test("an account without a past begins at 0", async () => {
    await history.catchUp();
    item("m1");
    await history.catchUp();
    expect(pages).toEqual(["before now", "after 0", "before now"]);
    expect(await texts()).toEqual(["m1"]);
  });

  test("what is here is only brought up to date", async () => {
    const at = clock.now - 5000;
    await threads.add({ conversation: PEER, id: "o", own: true, by: OWN, at, kind: "text", text: "o", state: "sent" });
    await threads.add({
      conversation: PEER,
      id: "i",
      own: false,
      by: PEER,
      at: at + 1,
      kind: "text",
      text: "i",
      unseen: 1,
    });
    const known = item("o", { direction: "outgoing", state: "displayed" });
    item("i", { state: "displayed" });
    await history.catchUp();
    expect((await db.messages.get([PEER, "o"]))?.state).toBe("displayed");
    expect((await db.messages.get([PEER, "o"]))?.at).toBe(known.at * 1000);
    expect((await db.conversations.get(PEER))?.unread).toBe(0);
    expect(await db.outbox.count()).toBe(0);
  });

  test("what became of the newest messages meanwhile shows, but not at a time that nobody knows", async () => {
    const sent = item("o", { direction: "outgoing", state: "sent" });
    const seen = item("i");
    await history.catchUp();
    expect((await db.conversations.get(PEER))?.unread).toBe(1);
    sent.state = "displayed";
    seen.state = "displayed";
    await history.catchUp();
    const row = await db.messages.get([PEER, "o"]);
    expect([row?.state, row?.reached]).toEqual(["displayed", { sent: Math.round(sent.at * 1000) }]);
    expect((await db.conversations.get(PEER))?.unread).toBe(0);
  });

  test("a message that is tried again has not failed, whatever the history says", async () => {
    const failed = item("o", { direction: "outgoing", state: "failed" });
    await history.catchUp();
    expect(await db.messages.get([PEER, "o"])).toMatchObject({ state: "failed" });
    await threads.revive(PEER, failed.message_id);
    await history.catchUp();
    expect(await db.messages.get([PEER, "o"])).toMatchObject({ state: "pending" });
  });

  test("of a first past only what follows our own last word, and nobody has looked at, is unread", async () => {
    item("old");
    item("answer", { direction: "outgoing", state: "sent" });
    item("new 1");
    item("new 2");
    await history.catchUp();
    expect((await db.conversations.get(PEER))?.unread).toBe(2);
    item("while away");
    item("seen on the phone", { state: "displayed" });
    await history.catchUp();
    expect((await db.conversations.get(PEER))?.unread).toBe(3);
  });

  test("of a conversation that was deleted brings nothing more but what is newer", async () => {
    for (let number = 1; number <= PAGE + 2; number += 1) item(`${number}`);
    let answer = (): void => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const slow: typeof serve = async (where) => {
      if (where.before !== undefined) await held;
      return serve(where);
    };
    history = new History(
      { history: slow },
      db,
      inbox,
      () => OWN,
      () => session,
    );
    await history.catchUp();
    await threads.clear(PEER);
    answer();
    await history.settled();
    expect(await texts()).toEqual([]);
    item("new");
    await history.catchUp();
    expect(await texts()).toEqual(["new"]);
    await threads.clear(PEER);
    item("newer");
    await history.catchUp();
    expect(await texts()).toEqual(["newer"]);
  });

  test("keeps nothing of a page that was asked for in a session that is over", async () => {
    item("1");
    let answer = (): void => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const slow: typeof serve = async (where) => {
      await held;
      return serve(where);
    };
    history = new History(
      { history: slow },
      db,
      inbox,
      () => OWN,
      () => session,
    );
    const over = history.catchUp();
    await db.wipe();
    session = await db.session(); // they have signed in again
    answer();
    await expect(over).rejects.toThrow();
    expect([await texts(), await db.fact("newest"), await db.fact("oldest")]).toEqual([[], undefined, undefined]);
  });

  test("keeps nothing behind the back of a tab that has ended the session", async () => {
    await db.wipe();
    item("1");
    await expect(history.catchUp()).rejects.toThrow();
    items = [];
    await expect(history.catchUp()).rejects.toThrow();
    expect([await texts(), await db.fact("newest"), await db.fact("oldest")]).toEqual([[], undefined, undefined]);
  });

  test("knows reactions and edits, and passes over what cannot be read", async () => {
    item("m1");
    item("e1", { at: items[0]?.at ?? 0 }, refer("e1", "Edit", "m1", "edited"));
    item("r1", {}, refer("r1", "+Reaction", "m1", "🎉"));
    item("odd", {}, new TextEncoder().encode("nothing of CPIM"));
    await history.catchUp();
    expect(await texts()).toEqual(["edited"]);
    expect((await db.messages.get([PEER, "m1"]))?.reactions).toEqual([{ emoji: "🎉", by: [PEER] }]);
  });
});

describe("search", () => {
  test("folds case, accents and signs", () => {
    expect(fold("Où est l'Œuvre, Éléonore ?")).toBe(" ou est l oeuvre eleonore");
    expect(matches(fold("Rendez-vous à 18 h"), fold("VOUS 18").trim())).toBe(true);
    expect(matches(fold("Rendez-vous"), "endez")).toBe(false);
    expect(matches(fold("naïve Straße"), fold("NAI strasse").trim())).toBe(true);
  });

  test("follows what is written, edited and deleted, also by another tab", async () => {
    const index = new SearchIndex(db);
    const found = async (text: string) => (await index.find(text)).map(({ id }) => id);
    await threads.add({ conversation: PEER, id: "m", own: false, by: PEER, at: clock.now, kind: "text", text: "Été" });
    expect(await found("ete")).toEqual(["m"]);
    const other = new Threads(db, () => clock.now);
    clock.now += 1;
    const mark = { conversation: PEER, target: "m", by: PEER, at: clock.now, arrived: clock.now, id: "e", on: true };
    await other.mark({ ...mark, what: "edit:e", text: "hiver" });
    expect([await found("ete"), await found("hiv")]).toEqual([[], ["m"]]);
    await other.remove(PEER, "m");
    expect(await found("hiver")).toEqual([]);
    expect(await found("  ?! ")).toEqual([]);
  });

  test("goes through twenty thousand messages within 50 ms", async () => {
    const rows = Array.from({ length: 20_000 }, (_, count) => ({
      conversation: `tel:+3363998${String(count % 100).padStart(4, "0")}`,
      id: `m${count}`,
      own: false,
      by: PEER,
      at: count,
      arrived: count,
      kind: "text" as const,
      text: `Message numéro ${count}, on se retrouve à la gare vers midi ?`,
      original: "",
      state: "delivered" as const,
      reached: {},
      reactions: [],
      unseen: 0 as const,
      wantsDisplay: false,
      touched: count,
    }));
    await db.messages.bulkAdd(rows);
    const index = new SearchIndex(db);
    await index.refresh();
    let best = Infinity;
    for (let round = 0; round < 5; round++) {
      const started = performance.now();
      const found = await index.find("gare 19999");
      best = Math.min(best, performance.now() - started);
      expect(found.map(({ id }) => id)).toEqual(["m19999"]);
    }
    expect(best).toBeLessThan(50);
  }, 30_000);
});
