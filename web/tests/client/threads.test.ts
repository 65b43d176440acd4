import "fake-indexeddb/auto";

import { beforeEach, describe, expect, test } from "vitest";
import { Database, type MarkRow, type MessageRow } from "../../src/client/database";
import type { DeliveryState } from "../../src/client/model";
import { EDIT_WINDOW, KEPT_FOR, MAX_MARKS, OVERTAKING, type NewMessage, Threads } from "../../src/client/threads";
import { canBeDone } from "../../src/client/view";
import { Clock, database } from "./world";

const PEER = "tel:+33639980002";
const OWN = "tel:+33639980001";
const STATES: DeliveryState[] = ["pending", "sent", "stored", "failed", "delivered", "displayed"];

let clock: Clock;
let db: Database;
let threads: Threads;

beforeEach(() => {
  clock = new Clock();
  db = new Database(database());
  threads = new Threads(db, () => clock.now);
});

function own(id: string, more: Partial<NewMessage> = {}): NewMessage {
  return { conversation: PEER, id, own: true, by: OWN, at: clock.now, kind: "text", text: id, ...more };
}

function theirs(id: string, more: Partial<NewMessage> = {}): NewMessage {
  return { conversation: PEER, id, own: false, by: PEER, at: clock.now, kind: "text", text: id, unseen: 1, ...more };
}

function mark(target: string, what: string, more: Partial<MarkRow> = {}): MarkRow {
  return {
    conversation: PEER,
    target,
    by: PEER,
    what,
    at: clock.now,
    arrived: clock.now,
    id: what,
    text: "",
    on: true,
    ...more,
  };
}

async function row(id: string): Promise<MessageRow | undefined> {
  return db.messages.get([PEER, id]);
}

async function conversation() {
  return db.conversations.get(PEER);
}

describe("states", () => {
  test.each(STATES.flatMap((from) => STATES.map((to) => [from, to] as const)))("%s, then %s", async (from, to) => {
    await threads.add(own("m", { state: from }));
    const advances = STATES.indexOf(to) > STATES.indexOf(from);
    expect(await threads.advance(PEER, "m", to)).toBe(advances);
    expect((await row("m"))?.state).toBe(advances ? to : from);
    expect((await conversation())?.last?.state).toBe(advances ? to : from);
  });

  test("Retry is the one way back, and only for what failed", async () => {
    await threads.add(own("m"));
    expect(await threads.revive(PEER, "m")).toBe(false);
    await threads.advance(PEER, "m", "failed", { failure: "refused" });
    expect((await row("m"))?.failure).toBe("refused");
    expect(await threads.revive(PEER, "m")).toBe(true);
    expect(await row("m")).toMatchObject({ state: "pending" });
    expect((await row("m"))?.failure).toBeUndefined();
  });

  test("the other side's messages have none to advance", async () => {
    await threads.add(theirs("m"));
    expect(await threads.advance(PEER, "m", "displayed")).toBe(false);
  });
});

describe("keeping", () => {
  test("a message is kept once", async () => {
    expect(await threads.add(theirs("m"))).toBe(true);
    expect(await threads.add(theirs("m", { text: "another" }))).toBe(false);
    expect((await row("m"))?.text).toBe("m");
    expect((await conversation())?.unread).toBe(1);
  });

  test("nobody takes the place of our own message by using its id", async () => {
    await threads.add(own("m"));
    expect(await threads.add(theirs("m"))).toBe(false);
    expect(await row("m")).toMatchObject({ own: true, text: "m" });
  });

  test("the conversation follows its newest message, not the last that came", async () => {
    await threads.add(theirs("new", { at: clock.now }));
    await threads.add(theirs("old", { at: clock.now - 1000 }));
    expect((await conversation())?.last?.text).toBe("new");
    expect((await conversation())?.at).toBe(clock.now);
  });

  test("our own word says that what came before has been read", async () => {
    await threads.add(theirs("before", { at: clock.now - 10 }));
    await threads.add(theirs("after", { at: clock.now + 10 }));
    await threads.add(own("answer"));
    expect((await row("before"))?.unseen).toBe(0);
    expect((await conversation())?.unread).toBe(1);
  });

  test("an archived conversation comes back with a new message", async () => {
    await threads.add(theirs("one"));
    await threads.adjust(PEER, (row) => {
      row.archived = true;
    });
    await threads.add(theirs("two"));
    expect((await conversation())?.archived).toBe(false);
  });
});

describe("the place of what comes", () => {
  const MINUTE = 60_000;
  const comes = async (id: string, claimed: number): Promise<void> => {
    await threads.add(theirs(id, { at: await threads.timeOf(PEER, PEER, claimed), written: claimed }));
  };
  const order = async () => (await db.newest(PEER, 100)).reverse().map(({ id }) => id);

  test("is before what overtook it on the way", async () => {
    await comes("1", clock.now - 3 * MINUTE);
    await comes("3", clock.now - MINUTE);
    await comes("2", clock.now - 2 * MINUTE);
    expect(await order()).toEqual(["1", "2", "3"]);
  });

  test("is behind what it came after, of anybody else, whatever its clock says", async () => {
    await comes("1", clock.now - 3 * MINUTE);
    await threads.add(own("question", { at: clock.now - 2 * MINUTE }));
    await comes("answer", clock.now - 10 * MINUTE);
    await comes("more", clock.now - 9 * MINUTE);
    expect(await order()).toEqual(["1", "question", "answer", "more"]);
  });

  test("is among the newest, and no older than the network keeps anything", async () => {
    for (let count = 0; count <= OVERTAKING; count++) await comes(String(count), clock.now - MINUTE + count);
    await comes("late", clock.now - MINUTE - 1);
    expect((await order()).at(-1)).toBe("late");
    await db.messages.clear();
    await comes("1", clock.now - MINUTE);
    await comes("2001", clock.now - KEPT_FOR);
    await comes("tomorrow", clock.now);
    expect(await order()).toEqual(["1", "2001", "tomorrow"]);
  });

  test("is the network's, but of ours in the order we wrote them", async () => {
    await threads.add(own("1", { at: clock.now - 3 }));
    await threads.add(own("2", { at: clock.now - 2 }));
    await threads.place(PEER, "1", clock.now + MINUTE);
    expect(await order()).toEqual(["1", "2"]);
    await threads.place(PEER, "2", clock.now + 2 * MINUTE);
    await threads.place(PEER, "1", clock.now + MINUTE);
    expect(await order()).toEqual(["1", "2"]);
    expect((await row("1"))?.at).toBe(clock.now + MINUTE);
  });

  test("is behind what came before it, wherever the network's clock has put that", async () => {
    await comes("1", clock.now - MINUTE);
    await threads.place(PEER, "1", clock.now - MINUTE + 350);
    await comes("2", clock.now - MINUTE);
    await comes("3", clock.now - MINUTE + 1000);
    await threads.place(PEER, "3", clock.now + MINUTE); // their clock is slow
    await comes("4", clock.now - MINUTE + 1000);
    expect(await order()).toEqual(["1", "2", "3", "4"]);
    await comes("late", clock.now - MINUTE + 500);
    expect(await order()).toEqual(["1", "2", "late", "3", "4"]);
  });

  test("is as they came for a clock that tells only seconds", async () => {
    for (const id of ["c", "a", "b"]) await comes(id, clock.now - MINUTE);
    expect(await order()).toEqual(["c", "a", "b"]);
  });
});

describe("marks", () => {
  const reaction = (by: string, on: boolean, at: number) =>
    mark("m", "reaction:👍", { by, on, at, id: `${by}${at}${on}` });

  test("lead to the same whatever the order they come in", async () => {
    const at = clock.now;
    const marks = [
      reaction(OWN, true, at + 1),
      reaction(PEER, true, at + 2),
      reaction(PEER, false, at + 3),
      mark("m", "edit:e2", { at: at + 20, id: "e2", text: "third" }),
      mark("m", "edit:e1", { at: at + 10, id: "e1", text: "second" }),
    ];
    const orders = [marks, marks.toReversed(), [marks[3], marks[0], marks[4], marks[2], marks[1]] as MarkRow[]];
    for (const [place, order] of orders.entries()) {
      for (const before of [0, 2, 5]) {
        const other = new Database(database());
        const some = new Threads(other, () => clock.now);
        for (const one of order.slice(0, before)) await some.mark(one);
        await some.add(theirs("m", { text: "first" }));
        for (const one of order.slice(before)) await some.mark(one);
        expect(await other.messages.get([PEER, "m"]), `order ${place}, ${before} before`).toMatchObject({
          text: "third",
          original: "first",
          earlier: ["first", "second"],
          editedAt: at + 20,
          reactions: [{ emoji: "👍", by: [OWN] }],
        });
        other.close();
      }
    }
  });

  test("a deletion leaves nothing of the text, and nothing brings it back", async () => {
    await threads.add(theirs("m"));
    await threads.mark(mark("m", "delete", { at: clock.now + 5 }));
    await threads.mark(mark("m", "edit:e", { at: clock.now + 9, text: "back" }));
    await threads.mark(mark("m", "reaction:👍"));
    expect(await row("m")).toMatchObject({ kind: "deleted", text: "", original: "", reactions: [] });
    expect((await conversation())?.last?.kind).toBe("deleted");
  });

  test("edits and deletions count only from the author and only in time", async () => {
    await threads.add(theirs("m"));
    await threads.mark(mark("m", "edit:1", { by: OWN, text: "ours" }));
    await threads.mark(mark("m", "delete", { by: "tel:+33639980009" }));
    await threads.mark(mark("m", "edit:2", { arrived: clock.now + EDIT_WINDOW + 1, text: "late" }));
    expect(await row("m")).toMatchObject({ kind: "text", text: "m" });
    await threads.mark(mark("m", "edit:3", { arrived: clock.now + EDIT_WINDOW, text: "in time" }));
    expect((await row("m"))?.text).toBe("in time");
  });

  test("an edit that came late but waited in the network was in time when the history says so", async () => {
    await threads.add(theirs("m"));
    const edit = mark("m", "edit:1", { at: clock.now + 5000, arrived: clock.now + 2 * EDIT_WINDOW, text: "edited" });
    await threads.mark(edit);
    expect((await row("m"))?.text).toBe("m");
    await threads.mark({ ...edit, at: clock.now + 4000, arrived: clock.now + 4000 });
    expect((await row("m"))?.text).toBe("edited");
    await threads.mark(edit);
    expect((await row("m"))?.text).toBe("edited");
  });

  test("one person can lay only so many on a message", async () => {
    await threads.add(theirs("m"));
    for (let count = 0; count <= MAX_MARKS; count++) await threads.mark(mark("m", `reaction:${count}`));
    expect((await row("m"))?.reactions).toHaveLength(MAX_MARKS);
    await threads.mark(mark("m", "reaction:ours", { by: OWN }));
    expect((await row("m"))?.reactions).toHaveLength(MAX_MARKS + 1);
  });
});

describe("taking away", () => {
  test("a message deleted here stays away until that is undone", async () => {
    await threads.add(theirs("m"));
    const undo = await threads.remove(PEER, "m");
    expect(await threads.add(theirs("m"))).toBe(false);
    expect(await row("m")).toBeUndefined();
    expect((await conversation())?.last).toBeUndefined();
    await undo();
    expect((await row("m"))?.text).toBe("m");
    expect((await conversation())?.unread).toBe(1);
  });

  test("a conversation deleted here keeps its past away, not its future", async () => {
    await threads.add(theirs("m"));
    await db.outbox.add({
      lane: PEER,
      conversation: PEER,
      id: "out",
      kind: "chat",
      cpim: new Uint8Array(),
      created: 0,
      tries: 0,
      due: 0,
      away: false,
    });
    const undo = await threads.clear(PEER);
    expect([await row("m"), await conversation(), await db.outbox.count()]).toEqual([undefined, undefined, 0]);
    expect(await threads.add(theirs("m"))).toBe(false);
    await undo();
    expect((await row("m"))?.text).toBe("m");
    expect(await db.outbox.count()).toBe(1);
    await threads.clear(PEER);
    expect(await threads.add(theirs("next"))).toBe(true);
  });

  test("of the history, only what is newer than a deleted conversation comes", async () => {
    const past = (id: string, arrived: number) => theirs(id, { at: arrived, arrived });
    await threads.add(past("m", clock.now - 1000));
    await db.setFact("newestAt", clock.now - 1000);
    // What we think of the time does not count: what the network takes from now on comes.
    clock.now += 600_000;
    await threads.clear(PEER);
    clock.now -= 600_000;
    expect(await threads.add(past("older", clock.now - 2000))).toBe(false);
    expect(await threads.add(past("m", clock.now - 1000))).toBe(false);
    expect(await threads.add(past("newer", clock.now - 500))).toBe(true);
  });

  test("taking back a second deletion leaves the first as it was", async () => {
    const past = (id: string, arrived: number) => theirs(id, { at: arrived, arrived });
    await db.setFact("newestAt", clock.now - 1000);
    await threads.clear(PEER);
    await threads.add(past("newer", clock.now - 500));
    await (
      await threads.clear(PEER)
    )();
    expect((await row("newer"))?.id).toBe("newer");
    expect(await threads.add(past("older", clock.now - 2000))).toBe(false);
  });

  test("so it is on a device with a fast clock", async () => {
    await db.setFact("newestAt", clock.now - 1000);
    const fast = new Threads(db, () => clock.now + 10 * 60_000);
    await fast.add(theirs("live"));
    await fast.clear(PEER);
    const at = clock.now + 5 * 60_000; // taken by another device of ours; this one has it from the history
    expect(await fast.add(theirs("live", { at: clock.now, arrived: clock.now }))).toBe(false);
    expect(await fast.add(theirs("next", { at, arrived: at }))).toBe(true);
  });
});

test("what may be done with a message follows from its state, its author and the time", async () => {
  const can = async (id: string, after = 0) => canBeDone((await row(id)) as MessageRow, clock.now + after);
  await threads.add(own("pending"));
  await threads.add(own("sent", { state: "sent" }));
  await threads.add(own("stored", { state: "stored" }));
  await threads.add(own("failed", { state: "failed" }));
  await threads.add(theirs("theirs"));
  const none = { edit: false, deleteForEveryone: false, cancelSending: false, retry: false };
  expect(await can("pending")).toEqual({ ...none, cancelSending: true });
  expect(await can("sent")).toEqual({ ...none, edit: true, deleteForEveryone: true });
  expect(await can("sent", EDIT_WINDOW + 1)).toEqual(none);
  expect(await can("stored", EDIT_WINDOW + 1)).toEqual({ ...none, cancelSending: true });
  expect(await can("failed")).toEqual({ ...none, retry: true });
  expect(await can("theirs")).toEqual(none);
});
