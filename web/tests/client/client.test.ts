import "fake-indexeddb/auto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FETCH_AHEAD_AFTER, JoynClient } from "../../src/client/client";
import { Database } from "../../src/client/database";
import { PAGER_LIMIT } from "../../src/client/delivery";
import type { Environment } from "../../src/client/environment";
import type { Conversation, Message, Readable } from "../../src/client/model";
import { makeSipJs } from "../../src/client/sip";
import { chat, configuration, header, OWN, PEER, receipt, refer, ScriptedNode } from "./node";
import { Clock, database, Ether, environment, eventually, Locks, settle } from "./world";

let clock: Clock;
let node: ScriptedNode;
let opened: JoynClient[];

beforeEach(() => {
  clock = new Clock();
  node = new ScriptedNode();
  opened = [];
});

afterEach(async () => {
  for (const client of opened) client.close();
  await settle();
});

function tab(parts: Partial<Environment> = {}, loadSip = async () => makeSipJs): JoynClient {
  const { fetch, openSocket } = node;
  const surroundings = environment({ clock, fetch, openSocket, ...parts });
  const client = new JoynClient({
    environment: surroundings,
    loadSip,
    push: undefined,
    device: { name: "Test" },
  });
  opened.push(client);
  return client;
}

/** A client that is signed in and connected. */
async function online(parts: Partial<Environment> = {}): Promise<JoynClient> {
  const client = tab(parts);
  const started = client.start();
  await eventually(async () => {
    await clock.advance(0);
    return current(client.session).phase === "in";
  }, "signed in");
  await started;
  return client;
}

function current<T>(source: Readable<T>): T {
  let value: T | undefined;
  source.subscribe((given) => {
    value = given;
  })();
  return value as T;
}

/** What a watched query comes to. */
async function shown<T>(source: Readable<T>, fits: (value: T) => boolean): Promise<T> {
  let value: T | undefined;
  const stop = source.subscribe((given) => {
    value = given;
  });
  try {
    await eventually(() => value !== undefined && fits(value), `${fits}: ${JSON.stringify(value)}`);
  } finally {
    stop();
  }
  return value as T;
}

function messages(client: JoynClient, fits: (all: Message[]) => boolean, id = PEER): Promise<Message[]> {
  return shown(client.messages(id), fits);
}

/** How much of anybody's there is in a database. */
async function kept(name: string): Promise<number> {
  const db = new Database(name);
  try {
    const counts = [db.messages, db.conversations, db.outbox].map((table) => table.count());
    return (await Promise.all(counts)).reduce((sum, count) => sum + count);
  } finally {
    db.close();
  }
}

function hasOne({ length }: readonly unknown[]): boolean {
  return length === 1;
}

function list(client: JoynClient, fits: (all: Conversation[]) => boolean): Promise<Conversation[]> {
  return shown(client.conversations, fits);
}

describe("registration", () => {
  test("proves the password with SHA-256, names the device, and says what it can", async () => {
    await online();
    const head = node.registers[0] as string;
    const contact = header(head, "Contact");
    expect(contact).toMatch(/<sip:[0-9a-f]+@[0-9a-f]+\.invalid;transport=ws>/);
    expect(contact).toMatch(/\+sip\.instance="<urn:uuid:[0-9a-f-]{36}>"/);
    expect(contact).toContain(";reg-id=1");
    expect(contact).toContain("+g.joyn.sync");
    expect(contact).toContain("oma.cpm.session");
    expect(header(head, "Via")).toMatch(/^SIP\/2\.0\/WSS [0-9a-f]+\.invalid/);
    expect(header(head, "Supported")).toContain("outbound");
  });

  test("is renewed in time with the proof at hand", async () => {
    await online();
    const { challenges } = node;
    await clock.advance(301_000);
    expect(node.registers).toHaveLength(2);
    expect(node.challenges).toBe(challenges);
    expect(header(node.registers[1] as string, "Call-ID")).toBe(header(node.registers[0] as string, "Call-ID"));
  });

  test("comes back after the connection was lost, with a new password", async () => {
    const client = await online();
    const fetched = () => node.requests.filter(({ path }) => path.startsWith("/config")).length;
    const before = fetched();
    node.password = "another";
    node.cut();
    await eventually(() => current(client.connection).state !== "online", "lost");
    await clock.advance(2_000);
    await eventually(() => current(client.connection).state === "online", "back");
    expect(fetched()).toBe(before + 1);
  });

  test("asks again for whoever is looked at, and for nobody else", async () => {
    const client = await online();
    const asked = () => node.sip.filter((head) => head.startsWith("OPTIONS")).length;
    const again = async () => {
      node.cut();
      await clock.advance(2_000);
      await eventually(() => current(client.connection).state === "online", "back");
      await settle();
    };
    await client.look(PEER);
    await again();
    expect(asked()).toBe(2);
    await client.look(undefined);
    await again();
    expect(asked()).toBe(2);
  });

  test("waits ever longer while the node cannot be reached, and tries at once when told to", async () => {
    const client = await online();
    node.reachable = false;
    node.cut();
    await clock.advance(60_000);
    const tries = node.requests.length;
    expect(tries).toBeLessThan(20);
    node.reachable = true;
    client.reconnect();
    await clock.advance(1);
    await eventually(() => current(client.connection).state === "online", "back");
  });

  test("a ping without an answer ends the connection", async () => {
    const client = await online();
    const socket = node.sipSocket;
    if (socket !== undefined) socket.onData = () => {};
    node.reachable = false;
    await clock.advance(131_000);
    expect(current(client.connection).state).not.toBe("online");
  });
});

describe("sending", () => {
  test("opens a session and keeps it for the next message", async () => {
    const client = await online();
    await client.send(PEER, "Bonjour");
    await eventually(() => node.texts.length === 1, "the first");
    await client.send(PEER, "à toi");
    await eventually(() => node.texts.length === 2, "the second");
    expect(node.taken.map(({ way, to }) => [way, to])).toEqual([
      ["session", PEER],
      ["session", PEER],
    ]);
    expect(node.sip.filter((head) => head.startsWith("INVITE"))).toHaveLength(1);
    const [first] = node.taken;
    expect([...(first?.cpim.dispositionNotification ?? [])].sort()).toEqual([
      "display",
      "negative-delivery",
      "positive-delivery",
      "processing",
    ]);
    const all = await messages(client, (all) => all.length === 2 && all.every(({ state }) => state === "sent"));
    expect(all.map(({ id }) => id)).toEqual(node.taken.map(({ cpim }) => cpim.messageId));
  });

  test("addresses numbers as tel URIs, which sip.js cannot write by itself", async () => {
    node.answers.INVITE = 488;
    const client = await online();
    await client.send(PEER, "hello");
    await eventually(() => node.texts.length === 1, "it");
    const invite = node.sip.find((head) => head.startsWith("INVITE")) as string;
    expect(invite.split("\r\n", 1)[0]).toBe(`INVITE ${PEER} SIP/2.0`);
    expect(header(invite, "To")).toBe(`<${PEER}>`);
    expect(header(invite, "P-Preferred-Identity")).toBe(`<${OWN}>`);
  });

  test("goes as MESSAGE when no session can be had", async () => {
    node.answers.INVITE = 488;
    const client = await online();
    await client.send(PEER, "hello");
    await eventually(() => node.texts.length === 1, "it");
    expect(node.taken[0]?.way).toBe("pager");
    const message = node.sip.find((head) => head.startsWith("MESSAGE")) as string;
    expect(header(message, "Content-Type")).toBe("message/cpim");
    expect(header(message, "P-Preferred-Service")).toContain("oma.cpm.msg");
  });

  test("a refusal fails the message, Retry sends it again with its id", async () => {
    node.answers.INVITE = 404;
    const client = await online();
    await client.send(PEER, "hello");
    const [failed] = await messages(client, ([one]) => one?.state === "failed");
    expect(failed?.failure).toBe("unknown-number");
    expect(failed?.can.retry).toBe(true);
    node.answers.INVITE = 200;
    await client.retry(PEER, failed?.id as string);
    const [sent] = await messages(client, ([one]) => one?.state === "sent");
    expect(sent?.failure).toBeUndefined();
    expect(node.taken.map(({ cpim }) => cpim.messageId)).toEqual([failed?.id]);
  });

  test.each([
    [404, "unknown-number"],
    [408, "expired"],
    [403, "refused"],
    [488, "refused"],
    [0, "refused"],
  ])("what the network says later, %i, is said to the person as %s", async (cause, why) => {
    const client = await online();
    await client.send(PEER, "hello");
    const [sent] = await messages(client, ([one]) => one?.state === "sent");
    await node.message(PEER, receipt(sent?.id as string, "failed", "delivery", undefined, cause));
    const [failed] = await messages(client, ([one]) => one?.state === "failed");
    expect(failed?.failure).toBe(why);
  });

  test("413 in a session ends only a message that is too large; another has its turn later", async () => {
    const client = await online();
    node.msrpAnswer = 413;
    await client.send(PEER, "x".repeat(PAGER_LIMIT));
    const [large] = await messages(client, ([message]) => message?.state === "failed");
    expect(large?.failure).toBe("too-large");
    await client.send(PEER, "small");
    await settle(60);
    node.msrpAnswer = 200;
    await clock.advance(5_000);
    await messages(client, ([, message]) => message?.state === "sent");
    expect(node.texts).toEqual(["small"]);
  });

  test("what is written offline leaves in its order when the connection is back, after a restart too", async () => {
    const name = database();
    const first = await online({ database: name });
    node.reachable = false;
    node.cut();
    await eventually(() => current(first.connection).state !== "online", "lost");
    for (const text of ["one", "two", "three"]) {
      await first.send(PEER, text);
      clock.now += 1;
    }
    await messages(first, (all) => all.length === 3 && all.every(({ state }) => state === "pending"));
    first.close();
    node.reachable = true;
    await online({ database: name });
    await eventually(() => node.texts.length === 3, "all");
    expect(node.texts).toEqual(["one", "two", "three"]);
  });

  test("a message that has not left can be held back", async () => {
    const client = await online();
    node.reachable = false;
    node.cut();
    await eventually(() => current(client.connection).state !== "online", "lost");
    await client.send(PEER, "never mind");
    const [message] = await messages(client, (all) => all.length === 1);
    expect(message?.can.cancelSending).toBe(true);
    await client.cancelSending(PEER, message?.id as string);
    node.reachable = true;
    client.reconnect();
    await clock.advance(60_000);
    expect(node.texts).toEqual([]);
    await messages(client, (all) => all.length === 0);
  });

  test.each([
    ["its conversation", (client: JoynClient) => client.deleteConversation(PEER)],
    ["it", async (client: JoynClient) => client.deleteForMe(PEER, (await messages(client, hasOne))[0]?.id ?? "")],
  ])("what has not left does not leave when %s is deleted, but does when that is undone", async (_, remove) => {
    const client = await online();
    node.answers.INVITE = node.answers.MESSAGE = 480;
    await client.send(PEER, "regretted");
    await settle(60);
    const undo = await remove(client);
    node.answers.INVITE = node.answers.MESSAGE = 200;
    await clock.advance(600_000);
    expect(node.texts).toEqual([]);
    await undo();
    await eventually(() => node.texts.length === 1, "it leaves");
    await messages(client, ([message]) => message?.state === "sent");
  });

  test("a message that the network keeps can be taken back", async () => {
    const client = await online();
    await client.send(PEER, "wait");
    const [message] = await messages(client, ([one]) => one?.state === "sent");
    const id = message?.id as string;
    await node.message(PEER, receipt(id, "stored", "processing"));
    await messages(client, (all) => all.some(({ state, id: one }) => one === id && state === "stored"));
    await client.cancelSending(PEER, id);
    await eventually(() => node.taken.some(({ cpim }) => cpim.contentType.includes("revoke")), "the wish");
  });
});

describe("receipts", () => {
  test("states advance whatever the order, and the first stored one is explained once", async () => {
    const client = await online();
    await client.send(PEER, "hello");
    const [message] = await messages(client, ([one]) => one?.state === "sent");
    const id = message?.id as string;
    await node.message(PEER, receipt(id, "stored", "processing"));
    await node.message(PEER, receipt(id, "displayed", "display"));
    await node.message(PEER, receipt(id, "delivered"));
    const all = await messages(client, (all) => all[0]?.state === "displayed");
    expect(all.map(({ kind }) => kind)).toEqual(["text", "note"]);
    expect(all[0]?.reached.stored).toBe(Date.UTC(2026, 10, 22, 11, 59, 30));
  });

  test("only the person a message went to can say what became of it", async () => {
    const client = await online();
    await client.send(PEER, "hello");
    const [message] = await messages(client, ([one]) => one?.state === "sent");
    expect(await node.message("tel:+33639980009", receipt(message?.id as string, "displayed", "display"))).toBe(200);
    await settle();
    await messages(client, ([one]) => one?.state === "sent");
  });

  test("stored ones are believed of the person their CPIM names", async () => {
    const client = await online();
    await client.send(PEER, "hello");
    const [message] = await messages(client, ([one]) => one?.state === "sent");
    const from = "tel:+33639980000";
    expect(await node.invite(from, "X-Standfw: standfw\r\n", "sendonly")).toBe(200);
    await settle(60);
    expect(await node.send(from, "message/cpim", receipt(message?.id as string, "delivered", "delivery", PEER))).toBe(
      200,
    );
    await messages(client, ([one]) => one?.state === "delivered");
  });
});

describe("receiving", () => {
  test("as MESSAGE: kept, shown, said delivered; displayed when it is looked at", async () => {
    const client = await online();
    await client.name(PEER, "Léa");
    expect(await node.message(PEER, chat("m1", "Bonjour ☀"))).toBe(200);
    const [one] = await messages(client, (all) => all.length === 1);
    expect(one).toMatchObject({ id: "m1", own: false, text: "Bonjour ☀", at: Date.UTC(2026, 10, 22, 11, 59) });
    await eventually(() => node.receipts.length === 1, "delivered");
    expect(node.receipts).toEqual(["m1 delivered"]);
    expect(header(node.sip.at(-1) as string, "Accept-Contact")).toBe("*;+g.oma.sip-im");
    const [listed] = await list(client, ([first]) => first?.unread === 1);
    expect(listed).toMatchObject({ id: PEER, name: "Léa", stranger: false });
    await shown(client.unread, (count) => count === 1);
    await client.look(PEER);
    await client.markRead(PEER);
    await eventually(() => node.receipts.length === 2, "displayed");
    expect(node.receipts[1]).toBe("m1 displayed");
    await list(client, ([first]) => first?.unread === 0);
  });

  test("in a session: receipts go back in it", async () => {
    const client = await online();
    expect(await node.invite(PEER)).toBe(200);
    await settle(60);
    expect(await node.send(PEER, "message/cpim", chat("m1", "hello"))).toBe(200);
    await messages(client, (all) => all.length === 1);
    await eventually(() => node.receipts.length === 1, "delivered");
    expect(node.taken[0]?.way).toBe("session");
  });

  test("a message from a phone whose clock is wrong stands where it came, and its conversation first", async () => {
    const client = await online();
    const other = "tel:+33639980003";
    await node.message(PEER, chat("m1", "one"));
    await node.message(other, chat("n1", "another"));
    await clock.advance(60_000);
    await node.message(PEER, chat("m2", "from 2001", { at: "2001-01-01T00:00:00Z" }));
    await node.message(PEER, chat("m3", "from tomorrow", { at: "2026-11-23T12:00:00Z" }));
    await client.send(PEER, "ours");
    await node.message(other, chat("n2", "written before", { at: "2026-11-22T11:58:00Z" }));
    const all = await messages(client, ({ length }) => length === 4);
    expect(all.map(({ text }) => text)).toEqual(["one", "from 2001", "from tomorrow", "ours"]);
    expect(all[1]?.at).toBe(clock.now);
    await clock.advance(1_000);
    await node.message("tel:+33639980004", chat("o1", "a clock that lags", { at: "2020-01-01T00:00:00Z" }));
    const [first] = await list(client, ({ length }) => length === 3);
    expect(first?.last?.text).toBe("a clock that lags");
  });

  test("what comes after a conversation was deleted is shown, however old its sender's clock says it is", async () => {
    const client = await online();
    await node.message(PEER, chat("m1", "old"));
    await client.deleteConversation(PEER);
    await clock.advance(5_000);
    expect(await node.message(PEER, chat("m1", "old"))).toBe(200);
    expect(await node.message(PEER, chat("m2", "new", { at: "2026-11-22T11:00:00Z" }))).toBe(200);
    const all = await messages(client, ({ length }) => length > 0);
    expect(all.map(({ text }) => text)).toEqual(["new"]);
    await eventually(() => node.receipts.length === 3, "receipts");
    expect(node.receipts).toEqual(["m1 delivered", "m1 delivered", "m2 delivered"]);
  });

  test("what is not kept is not said delivered", async () => {
    const client = await online();
    await client.send(PEER, "ours");
    const [{ id } = { id: "" }] = await messages(client, ({ length }) => length === 1);
    await node.message(PEER, chat(id, "theirs, by the name of ours"));
    await settle(60);
    expect((await messages(client, ({ length }) => length === 1))[0]?.text).toBe("ours");
    expect(node.receipts).toEqual([]);
  });

  test("what comes again is shown once and said delivered again", async () => {
    const client = await online();
    await node.message(PEER, chat("m1", "hello"));
    await node.invite(PEER);
    await settle(60);
    await node.send(PEER, "message/cpim", chat("m1", "hello"));
    await eventually(() => node.receipts.length === 2, "two receipts");
    expect((await messages(client, (all) => all.length > 0)).length).toBe(1);
    expect((await list(client, (all) => all.length > 0))[0]?.unread).toBe(1);
  });

  test("a stranger does not learn what was read, nor does anybody of someone who does not say", async () => {
    const client = await online();
    await node.message(PEER, chat("m1", "who are you?"));
    await messages(client, (all) => all.length === 1);
    await client.markRead(PEER);
    await client.name(PEER, "Léa");
    await client.update({ readReceipts: false });
    await node.message(PEER, chat("m2", "hello?"));
    await messages(client, (all) => all.length === 2);
    await client.markRead(PEER);
    await eventually(() => node.receipts.length === 2, "both delivered");
    await settle();
    expect(node.receipts).toEqual(["m1 delivered", "m2 delivered"]);
  });

  test("a copy of what another device of ours sent is ours, and asks nothing of us", async () => {
    const client = await online();
    await node.message(PEER, chat("m1", "hello"));
    await node.message(OWN, chat("c1", "from my phone", { at: "2026-11-22T11:59:10Z" }), PEER);
    const all = await messages(client, (all) => all.length === 2);
    expect(all[1]).toMatchObject({ id: "c1", own: true, state: "sent" });
    await settle();
    expect(node.receipts).toEqual(["m1 delivered"]);
    expect((await list(client, (all) => all.length > 0))[0]?.unread).toBe(0); // we have answered
  });

  test("what waited in the network and comes right behind the registration is taken", async () => {
    const answers: Promise<number>[] = [];
    node.onRegistered = () => {
      node.onRegistered = () => {};
      answers.push(node.message(PEER, chat("m1", "waited")), node.invite(PEER, `Referred-By: <${PEER}>\r\n`));
    };
    const client = await online();
    expect(await Promise.all(answers)).toEqual([200, 200]);
    await settle(60);
    expect(await node.send(PEER, "message/cpim", chat("m2", "too"))).toBe(200);
    await messages(client, (all) => all.length === 2);
  });

  test("what is not understood is accepted and not shown", async () => {
    const client = await online();
    const odd = new TextDecoder().decode(chat("m1", "x")).replace("text/plain;charset=UTF-8", "application/x-odd");
    expect(await node.message(PEER, new TextEncoder().encode(odd))).toBe(200);
    const file = odd.replace("application/x-odd", "application/vnd.gsma.rcs-ft-http+xml").replace("m1", "m2");
    expect(await node.message(PEER, new TextEncoder().encode(file))).toBe(200);
    expect(await node.message(PEER, new TextEncoder().encode("nonsense"))).toBe(400);
    const all = await messages(client, (all) => all.length > 0);
    expect(all.map(({ id, kind }) => [id, kind])).toEqual([["m2", "unsupported"]]);
  });
});

describe("typing", () => {
  test("theirs is shown until they stop, and ours is told when allowed", async () => {
    const client = await online();
    await node.invite(PEER);
    await settle(60);
    await node.message(PEER, chat("m1", "hello"));
    const notice = '<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state></isComposing>';
    await node.send(PEER, "application/im-iscomposing+xml", new TextEncoder().encode(notice));
    await list(client, ([one]) => one?.typing === true);
    await clock.advance(121_000);
    await list(client, ([one]) => one?.typing === false);
    client.draft(PEER, "h");
    await eventually(() => node.composing.length === 1, "told");
    expect(node.composing[0]).toContain("<state>active</state>");
    await client.update({ typing: false });
    await clock.advance(20_000);
    client.draft(PEER, "he");
    await clock.advance(1_000);
    expect(node.composing.filter((text) => text.includes("active"))).toHaveLength(1);
    await list(client, ([one]) => one?.draft === "he");
  });
});

describe("replies, reactions, edits, deletions", () => {
  test("leave as text with a reference, which a phone that knows none of it can show", async () => {
    const client = await online();
    await node.message(PEER, chat("m1", "Coming?"));
    await messages(client, (all) => all.length === 1);
    await client.send(PEER, "Yes", "m1");
    const [, own] = await messages(client, (all) => all[1]?.state === "sent");
    const id = own?.id as string;
    expect(own?.reply).toEqual({ id: "m1", found: { own: false, kind: "text", text: "Coming?" } });
    await client.react(PEER, "m1", "👍");
    await client.react(PEER, "m1", "👍");
    await client.edit(PEER, id, "Yes!");
    await client.deleteForEveryone(PEER, id);
    const texts = () => node.taken.filter(({ cpim }) => cpim.contentType === "text/plain");
    await eventually(() => texts().length === 5, "all");
    const named = (name: string) => texts().map(({ cpim }) => cpim.extension("http://www.gsma.com", name));
    expect(named("Reference-Type")).toEqual(["Reply", "+Reaction", "-Reaction", "Edit", "Delete"]);
    expect(named("Reference-ID")).toEqual(["m1", "m1", "m1", id, id]);
    expect(node.texts).toEqual(["Yes", "👍", "👍", "Yes!", "This message was deleted."]);
    await messages(client, (all) => all[1]?.kind === "deleted");
  });

  test("may come before their message", async () => {
    const client = await online();
    await node.message(PEER, refer("r1", "+Reaction", "m1", "🎉"));
    await node.message(PEER, refer("e1", "Edit", "m1", "second", "2026-11-22T11:59:20Z"));
    await node.message(PEER, chat("m1", "first"));
    const [one] = await messages(client, (all) => all.length === 1);
    expect(one).toMatchObject({ text: "second", earlier: ["first"] });
    expect(one?.reactions).toEqual([{ emoji: "🎉", by: [PEER], own: false }]);
  });

  test("about what we never had get no answer", async () => {
    await online();
    const asking = new TextDecoder()
      .decode(refer("r1", "+Reaction", "unknown", "🎉"))
      .replace("n1.Reference-ID", "imdn.Disposition-Notification: positive-delivery\r\nn1.Reference-ID");
    expect(await node.message(PEER, new TextEncoder().encode(asking))).toBe(200);
    await settle(60);
    expect(node.receipts).toEqual([]);
  });

  test("dating an edit back does not make it in time", async () => {
    const client = await online();
    await node.message(PEER, chat("m1", "I owe you 100"));
    await clock.advance(24 * 3_600_000);
    await node.message(PEER, refer("e1", "Edit", "m1", "I owe you nothing", "2026-11-22T12:00:00Z"));
    await settle(60);
    const [message] = await messages(client, ({ length }) => length === 1);
    expect(message?.text).toBe("I owe you 100");
  });

  test("a message cannot be changed by anybody but its author", async () => {
    const client = await online();
    await client.send(PEER, "mine");
    const [own] = await messages(client, ([one]) => one?.state === "sent");
    await node.message(PEER, refer("e1", "Edit", own?.id as string, "yours"));
    await node.message(PEER, refer("d1", "Delete", own?.id as string, ""));
    await settle();
    const [same] = await messages(client, (all) => all.length === 1);
    expect(same).toMatchObject({ text: "mine", kind: "text" });
  });
});

describe("several tabs", () => {
  for (const kind of ["with locks", "without locks"]) {
    test(`one registers, all see and send, another takes over (${kind})`, async () => {
      const ether = new Ether();
      const locks = kind === "with locks" ? new Locks() : undefined;
      const shared = { database: database(), openChannel: ether.open, locks };
      const first = tab(shared);
      const started = first.start();
      await eventually(async () => {
        await clock.advance(1_000);
        return current(first.connection).state === "online";
      }, "first online");
      await started;
      const second = tab(shared);
      await second.start();
      await clock.advance(6_000);
      expect(node.registers).toHaveLength(1);
      await eventually(() => current(second.connection).state === "online", "second knows");
      await second.send(PEER, "from the second");
      await eventually(() => node.texts.length === 1, "sent by the first");
      await messages(first, ([one]) => one?.state === "sent");
      first.close();
      await clock.advance(10_000);
      await eventually(() => node.registers.filter((head) => !head.includes("Expires: 0")).length === 2, "taken over");
      await eventually(() => current(second.connection).state === "online", "second online");
    });
  }
});

test("what the node finds is found in a tab that does not lead too", async () => {
  const shared = { database: database(), openChannel: new Ether().open, locks: new Locks() };
  await online(shared);
  const second = tab(shared);
  await second.start();
  const found = {
    cursor: "1",
    direction: "outgoing",
    peer: PEER,
    message_id: "old",
    at: 1,
    content_type: "text/plain",
  };
  const cpim = btoa(String.fromCharCode(...chat("old", "long ago")));
  const items = [{ ...found, cpim, state: "delivered", kind: "chat" }];
  node.routes.set("GET /api/search", { status: 200, body: { items, more: false } });
  const more = await new Promise<string[]>((resolve) => {
    void second.search("long", (told) => resolve(told.messages.map(({ text, own }) => `${own} ${text}`)));
  });
  expect(more).toEqual(["true long ago"]);
});

test("a browser that goes offline says so at once in every tab, and connects again when it is back", async () => {
  const shared = { database: database(), openChannel: new Ether().open, locks: new Locks() };
  const first = await online(shared);
  const second = tab(shared);
  await second.start();
  await eventually(() => current(second.connection).state === "online", "told");
  for (const each of [second, first]) {
    node.reachable = false;
    each.cut();
    expect(current(each.connection)).toEqual({ state: "offline", since: clock.now });
  }
  node.reachable = true;
  second.reconnect();
  await clock.advance(100);
  for (const each of [first, second]) await eventually(() => current(each.connection).state === "online", "back");
});

test("a tab takes over although the files of its version are gone from the node by then", async () => {
  const shared = { database: database(), openChannel: new Ether().open, locks: new Locks() };
  const first = await online(shared);
  let there = true;
  const second = tab(shared, async () => {
    if (!there) throw new TypeError("Failed to fetch dynamically imported module");
    return makeSipJs;
  });
  await second.start();
  await clock.advance(FETCH_AHEAD_AFTER);
  there = false;
  first.close();
  await clock.advance(60_000);
  await eventually(() => current(second.connection).state === "online", "takes over");
});

describe("signing out", () => {
  test("wipes this device, in every tab", async () => {
    const ether = new Ether();
    const shared = { database: database(), openChannel: ether.open, locks: new Locks() };
    node.routes.set("DELETE /api/session", { status: 204 });
    const first = await online(shared);
    const second = tab(shared);
    await second.start();
    await node.message(PEER, chat("m1", "secret"));
    await messages(second, (all) => all.length === 1);
    await second.signIn.signOut();
    await eventually(() => current(first.session).phase === "number", "first follows");
    expect(current(second.session)).toEqual({ phase: "number" });
    expect(await kept(shared.database)).toBe(0);
    await clock.advance(60_000);
    expect(current(first.connection).state).toBe("offline");
  });

  test("another subscriber gets nothing of the former one's", async () => {
    const shared = { database: database() };
    const client = await online(shared);
    node.answers.INVITE = node.answers.MESSAGE = 480;
    await client.send(PEER, "waits, written by A");
    await settle(60);
    node.routes.set("GET /config", { status: 403 });
    node.cut();
    await clock.advance(2_000);
    await eventually(() => current(client.session).phase === "not-eligible", "not eligible");
    node.answers.INVITE = node.answers.MESSAGE = 200;
    const aor = "tel:+33639980009";
    const operator = { name: "Example", theme: "joyn", country: "FR" };
    const asked = { aor, number: "09", length: 6, again: 0 };
    node.routes.set("POST /api/sign-in", { status: 200, body: asked });
    node.routes.set("POST /api/sign-in/code", { status: 200, body: { aor } });
    node.routes.set("GET /api/session", { status: 200, body: { ...asked, profile_name: "", device: "d9", operator } });
    node.routes.set("GET /config", () => ({ status: 200, body: configuration(node.password) }));
    await client.signIn.changeNumber();
    await client.signIn.requestCode("09", "FR");
    void client.signIn.enterCode("123456");
    await eventually(async () => {
      await clock.advance(0);
      return current(client.session).phase === "in";
    }, "signed in");
    await clock.advance(600_000);
    expect(current(client.session)).toMatchObject({ aor });
    expect(current(client.connection).state).toBe("online");
    expect(node.texts).toEqual([]);
    expect(await kept(shared.database)).toBe(0);
  });

  test("another subscriber's session that is found on starting wipes what was here", async () => {
    const shared = { database: database() };
    const former = await online(shared);
    await node.message(PEER, chat("m1", "secret"));
    await messages(former, hasOne);
    former.close();
    const operator = { name: "Example", theme: "joyn", country: "FR" };
    const body = { aor: "tel:+33639980009", number: "09", profile_name: "", device: "d9", operator };
    node.routes.set("GET /api/session", { status: 200, body });
    const next = await online(shared);
    await clock.advance(2_000);
    await eventually(() => current(next.connection).state === "online", "connected");
    expect(current(next.session)).toMatchObject({ aor: body.aor });
    expect(await kept(shared.database)).toBe(0);
  });

  test("elsewhere ends everything here", async () => {
    const shared = { database: database() };
    const client = await online(shared);
    await node.message(PEER, chat("m1", "secret"));
    await messages(client, (all) => all.length === 1);
    node.routes.set("GET /config", { status: 403 });
    node.routes.set("GET /api/session", { status: 401, body: { error: "signed-out-elsewhere" } });
    node.cut();
    await clock.advance(2_000);
    await eventually(() => current(client.session).phase === "signed-out-elsewhere", "told");
    expect(await kept(shared.database)).toBe(0);
  });

  test("new terms are asked for before the next connection", async () => {
    const client = await online();
    const terms =
      '<characteristic type="MSG"><parm name="title" value="T"/><parm name="message" value="M"/>' +
      '<parm name="Accept_btn" value="1"/><parm name="Reject_btn" value="1"/></characteristic>';
    node.routes.set("GET /config", { status: 200, body: configuration(node.password, terms) });
    node.routes.set("POST /api/terms", () => {
      node.routes.set("GET /config", { status: 200, body: configuration(node.password) });
      return { status: 204 };
    });
    node.cut();
    await clock.advance(2_000);
    await eventually(() => current(client.session).phase === "terms", "asked");
    void client.signIn.acceptTerms();
    await eventually(async () => {
      await clock.advance(10);
      return current(client.session).phase === "in";
    }, "accepted");
    expect(current(client.connection).state).toBe("online");
  });
});
