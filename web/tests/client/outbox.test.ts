import "fake-indexeddb/auto";

import { beforeEach, expect, test } from "vitest";
import { Database, type OutboxRow } from "../../src/client/database";
import { KEEP_FOR, Outbox, type Outcome, WAIT_FIRST, WAIT_MAX } from "../../src/client/outbox";
import { Clock, database, eventually, settle } from "./world";

let clock: Clock;
let db: Database;
let sent: string[];
let settled: string[];
let answer: (row: OutboxRow) => Outcome | Promise<Outcome>;
let outbox: Outbox;

beforeEach(() => {
  clock = new Clock();
  db = new Database(database());
  sent = [];
  settled = [];
  answer = () => ({ is: "sent" });
  outbox = make();
});

function make(): Outbox {
  return new Outbox(
    { now: () => clock.now, after: clock.after },
    db,
    async (row) => {
      sent.push(row.id);
      return answer(row);
    },
    async (row, outcome) => {
      settled.push(`${row.id} ${outcome.is}`);
    },
  );
}

async function put(lane: string, ...ids: string[]): Promise<void> {
  for (const id of ids) {
    const more = { kind: "chat", cpim: new Uint8Array(), created: clock.now, tries: 0, due: 0, away: false } as const;
    await db.outbox.add({ lane, conversation: lane, id, ...more });
  }
  await outbox.wake();
  await settle();
}

test("nothing leaves before there is a connection, then all of it in order", async () => {
  await put("a", "a1", "a2");
  await put("b", "b1");
  expect(sent).toEqual([]);
  await outbox.start();
  await eventually(() => settled.length === 3, "all");
  expect(sent.filter((id) => id.startsWith("a"))).toEqual(["a1", "a2"]);
  expect(await db.outbox.count()).toBe(0);
});

test("one at a time in a lane, however often it is woken", async () => {
  let release = (): void => {};
  answer = () =>
    new Promise((resolve) => {
      release = () => resolve({ is: "sent" });
    });
  await outbox.start();
  await put("a", "a1", "a2");
  await put("a", "a3");
  expect(sent).toEqual(["a1"]);
  expect((await db.outbox.toArray()).map(({ away }) => away)).toEqual([true, false, false]);
  for (const count of [1, 2, 3]) {
    release();
    await eventually(() => settled.length === count, `${count} settled`);
    await settle();
  }
  expect(sent).toEqual(["a1", "a2", "a3"]);
});

test("a failure is settled and holds up nothing", async () => {
  answer = ({ id }) => (id === "a1" ? { is: "failed", why: "refused" } : { is: "sent" });
  await outbox.start();
  await put("a", "a1", "a2");
  await put("b", "b1");
  await eventually(() => settled.length === 3, "all");
  expect(settled.toSorted()).toEqual(["a1 failed", "a2 sent", "b1 sent"]);
});

test("a wait holds up its own lane only, and grows from one attempt to the next", async () => {
  let broken = true;
  answer = ({ lane }) => (lane === "a" && broken ? { is: "later" } : { is: "sent" });
  await outbox.start();
  await put("a", "a1", "a2");
  await put("b", "b1");
  await eventually(() => settled.includes("b1 sent"), "the other lane");
  expect(sent.filter((id) => id.startsWith("a"))).toEqual(["a1"]);
  await clock.advance(WAIT_FIRST - 1);
  expect(sent.filter((id) => id === "a1")).toHaveLength(1);
  await clock.advance(1);
  expect(sent.filter((id) => id === "a1")).toHaveLength(2);
  await clock.advance(WAIT_FIRST);
  expect(sent.filter((id) => id === "a1")).toHaveLength(2);
  broken = false;
  await clock.advance(WAIT_FIRST);
  await eventually(() => settled.includes("a2 sent"), "both");
  expect(sent.filter((id) => id.startsWith("a"))).toEqual(["a1", "a1", "a1", "a2"]);
  expect(WAIT_MAX).toBeGreaterThan(WAIT_FIRST);
});

test("an error on the way is a wait, and a new connection ends it", async () => {
  answer = () => {
    throw new Error("broken");
  };
  await outbox.start();
  await put("a", "a1");
  expect(settled).toEqual([]);
  answer = () => ({ is: "sent" });
  outbox.stop();
  await outbox.start();
  await eventually(() => settled.includes("a1 sent"), "sent");
});

test("what waits survives a restart", async () => {
  await put("a", "a1", "a2");
  outbox = make();
  await outbox.start();
  await eventually(() => settled.length === 2, "both");
  expect(sent).toEqual(["a1", "a2"]);
});

test("what could not leave for a week is given up", async () => {
  await put("a", "a1");
  clock.now += KEEP_FOR;
  await put("a", "a2");
  clock.now += 1;
  await outbox.start();
  await eventually(() => settled.length === 2, "both");
  expect(settled).toEqual(["a1 failed", "a2 sent"]);
  expect(sent).toEqual(["a2"]);
});
