import "fake-indexeddb/auto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { JoynClient } from "../../src/client/client";
import { Database } from "../../src/client/database";
import type { Channel, Environment } from "../../src/client/environment";
import type { Readable } from "../../src/client/model";
import type { PushSurroundings } from "../../src/client/notifications";
import { makeSipJs } from "../../src/client/sip";
import { chat, configuration, OWN, PEER, ScriptedNode } from "./node";
import { Clock, database, Ether, environment, eventually, Locks, settle } from "./world";

let clock: Clock;
let node: ScriptedNode;
let opened: { close(): void }[];

beforeEach(() => {
  clock = new Clock();
  node = new ScriptedNode();
  node.routes.set("DELETE /api/session", { status: 204 });
  opened = [];
});

afterEach(async () => {
  for (const one of opened) one.close();
  await settle();
});

function tab(parts: Partial<Environment> = {}, push?: PushSurroundings): JoynClient {
  const { fetch, openSocket } = node;
  const surroundings = environment({ clock, fetch, openSocket, ...parts });
  const device = { name: "Test" };
  const client = new JoynClient({ environment: surroundings, loadSip: async () => makeSipJs, push, device });
  opened.push(client);
  return client;
}

/** A client that is signed in. */
async function online(parts: Partial<Environment> = {}, push?: PushSurroundings): Promise<JoynClient> {
  const client = tab(parts, push);
  const started = client.start();
  await signedIn(client);
  await started;
  return client;
}

async function signedIn(client: JoynClient): Promise<void> {
  await eventually(async () => {
    await clock.advance(0);
    return current(client.session).phase === "in";
  }, "signed in");
}

function current<T>(source: Readable<T>): T {
  let value: T | undefined;
  source.subscribe((given) => {
    value = given;
  })();
  return value as T;
}

/** What is on the device, as another tab reads it. */
function open(name: string): Database {
  const db = new Database(name);
  opened.push(db);
  return db;
}

/** Another subscriber, or the same one again, to whom the node answers from now on. */
function another(aor = "tel:+33639980009"): string {
  const operator = { name: "Example", theme: "joyn", country: "FR" };
  const asked = { aor, number: "09", length: 6, again: 0 };
  node.routes.set("POST /api/sign-in", { status: 200, body: asked });
  node.routes.set("POST /api/sign-in/code", { status: 200, body: { aor } });
  node.routes.set("GET /api/session", { status: 200, body: { ...asked, profile_name: "", device: "d9", operator } });
  node.routes.set("GET /config", () => ({ status: 200, body: configuration(node.password) }));
  return aor;
}

async function signInAsAnother(client: JoynClient): Promise<string> {
  const aor = another();
  await client.signIn.requestCode("09", "FR");
  void client.signIn.enterCode("123456");
  await signedIn(client);
  return aor;
}

describe("signing out", () => {
  test("wipes the device and tells the node, though the browser never has its service worker ready", async () => {
    const shared = { database: database() };
    let ready = true;
    const registration = (): Promise<ServiceWorkerRegistration> => {
      const none = { pushManager: { getSubscription: async () => null }, getNotifications: async () => [] };
      return ready ? Promise.resolve(none as unknown as ServiceWorkerRegistration) : new Promise(() => {});
    };
    const client = await online(shared, {
      permission: () => "granted",
      ask: async () => "granted",
      registration,
      registered: registration,
      words: { newMessages: String, gist: ({ text }) => text },
    });
    await node.message(PEER, chat("m1", "secret"));
    const db = open(shared.database);
    await eventually(async () => (await db.messages.count()) === 1, "kept");
    ready = false;
    void client.signIn.signOut();
    await eventually(async () => (await db.messages.count()) === 0, "wiped");
    expect(await db.fact("leaving")).toBe(true);
    await eventually(() => current(client.session).phase === "number", "signed out");
    await eventually(async () => (await db.fact("leaving")) === undefined, "told");
  });

  test("is told to the node as soon as the browser has a network again", async () => {
    const shared = { database: database() };
    const client = await online(shared);
    node.reachable = false;
    node.cut();
    await client.signIn.signOut();
    expect(current(client.session)).toEqual({ phase: "number", problem: "service-down" });
    node.reachable = true;
    node.routes.set("GET /api/session", { status: 401, body: { error: "signed-out" } });
    client.reconnect();
    const db = open(shared.database);
    await eventually(async () => (await db.fact("leaving")) === undefined, "told");
    await eventually(() => !("problem" in current(client.session)), "nothing is said to be wrong any more");
  });
});

describe("the next subscriber gets nothing", () => {
  test("of a draft that was not saved yet", async () => {
    const shared = { database: database() };
    const client = await online(shared);
    client.draft(PEER, "A's secret");
    await client.signIn.signOut();
    await signInAsAnother(client);
    await clock.advance(1_000);
    expect(await open(shared.database).conversations.toArray()).toEqual([]);
  });

  test("of what the former one takes back too late", async () => {
    const shared = { database: database() };
    const client = await online(shared);
    node.answers.INVITE = node.answers.MESSAGE = 480;
    await client.send(PEER, "A wrote this");
    await client.send("tel:+33639980003", "and this");
    await settle(60);
    const db = open(shared.database);
    const [message] = await db.newest("tel:+33639980003", 1);
    const undos = [
      await client.deleteForMe("tel:+33639980003", message?.id ?? ""),
      await client.archive("tel:+33639980003", true),
      await client.deleteConversation(PEER),
    ];
    await client.signIn.signOut();
    node.answers.INVITE = node.answers.MESSAGE = 200;
    await signInAsAnother(client);
    for (const undo of undos) await undo();
    await clock.advance(600_000);
    expect(node.texts).toEqual([]);
    const left = [db.messages, db.outbox, db.conversations].map((table) => table.count());
    expect(await Promise.all(left)).toEqual([0, 0, 0]);
  });

  test("of what comes to a tab that has not heard of the end", async () => {
    const ether = new Ether();
    let late = false;
    const openChannel = (name: string) => {
      const channel = ether.open(name);
      const post = channel.postMessage.bind(channel);
      channel.postMessage = (message) => void (late ? clock.after(5, () => post(message)) : post(message));
      return channel;
    };
    const shared = { database: database(), openChannel, locks: new Locks() };
    await online(shared);
    const second = tab(shared);
    await second.start();
    late = true;
    await second.signIn.signOut();
    // The network keeps it.
    expect(await node.message(PEER, chat("m1", "for A only"))).toBe(480);
    expect(await open(shared.database).messages.count()).toBe(0);
  });

  test("of blocks that were asked for before", async () => {
    const shared = { database: database() };
    let answer = (): void => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let asked = 0;
    const fetch: Environment["fetch"] = async (path, init) => {
      if (!path.startsWith("/api/blocks")) return node.fetch(path, init);
      asked += 1;
      if (asked > 1) return new Response("[]");
      await held;
      return new Response(JSON.stringify([PEER]));
    };
    const client = await online({ ...shared, fetch });
    await eventually(() => asked === 1, "asked");
    await client.signIn.signOut();
    await signInAsAnother(client);
    await eventually(() => asked === 2, "asked again");
    answer();
    await settle(60);
    expect(await open(shared.database).fact("blocked")).toEqual([]);
  });

  test("of a block that the node did not take", async () => {
    const shared = { database: database() };
    node.routes.set("GET /api/blocks", { status: 200, body: [PEER] });
    let answer = (): void => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const fetch: Environment["fetch"] = async (path, init) => {
      if (init?.method === "PUT") await held;
      return node.fetch(path, init);
    };
    const client = await online({ ...shared, fetch });
    const db = open(shared.database);
    await eventually(async () => (await db.fact("blocked")) !== undefined, "read");
    const blocking = client.block("tel:+33639980003", true);
    await settle(60);
    await client.signIn.signOut();
    node.routes.set("GET /api/blocks", { status: 200, body: [] });
    await signInAsAnother(client);
    answer();
    await expect(blocking).rejects.toThrow();
    expect((await db.fact("blocked")) ?? []).toEqual([]);
  });
});

test("every tab shows another subscriber whose session is found", async () => {
  const shared = { database: database(), openChannel: new Ether().open, locks: new Locks() };
  const first = await online(shared);
  const { session } = first;
  const aor = another();
  await tab(shared).start();
  await eventually(() => session.value.phase === "in" && session.value.aor === aor, "shown");
  await eventually(async () => {
    await clock.advance(100);
    return current(first.connection).state === "online";
  }, "connected as them");
});

describe("a tab that slept", () => {
  /** Two tabs, of which the first has the connection; the one named hears nothing until it wakes. */
  async function asleep(which: "first" | "second") {
    const ether = new Ether();
    const held: (() => void)[] = [];
    let sleeps = false;
    const shared = { database: database(), openChannel: ether.open, locks: new Locks() };
    const openChannel = (name: string): Channel => {
      const channel = ether.open(name);
      let hear: Channel["onmessage"] = null;
      channel.onmessage = (event) => void (sleeps ? held.push(() => hear?.(event)) : hear?.(event));
      return {
        postMessage: (message) => channel.postMessage(message),
        close: () => channel.close(),
        set onmessage(listener: Channel["onmessage"]) {
          hear = listener;
        },
      };
    };
    const first = await online(which === "first" ? { ...shared, openChannel } : shared);
    const second = tab(which === "second" ? { ...shared, openChannel } : shared);
    await second.start();
    sleeps = true;
    const wake = async (): Promise<void> => {
      sleeps = false;
      for (const word of held) word();
      await settle(100);
    };
    return { first, second, wake, db: open(shared.database) };
  }

  async function endElsewhere(client: JoynClient): Promise<void> {
    node.routes.set("GET /config", { status: 403 });
    node.routes.set("GET /api/session", { status: 401, body: { error: "signed-out-elsewhere" } });
    node.cut();
    await clock.advance(2_000);
    await eventually(() => current(client.session).phase === "signed-out-elsewhere", "told");
  }

  test("ends no later session by what it hears of an earlier one, and shows who is signed in", async () => {
    const { first, second, wake, db } = await asleep("second");
    await endElsewhere(first);
    const aor = await signInAsAnother(first);
    node.answers.INVITE = node.answers.MESSAGE = 480;
    await first.send(PEER, "theirs, and waits");
    await wake();
    const own = (client: JoynClient): unknown => "aor" in client.session.value && client.session.value.aor;
    await eventually(() => own(second) === aor, "awake");
    expect(current(first.session)).toMatchObject({ phase: "in", aor });
    expect([await db.messages.count(), await db.outbox.count()]).toEqual([1, 1]);
  });

  test("says why the session ended, when nobody is signed in", async () => {
    const { first, second, wake, db } = await asleep("second");
    await endElsewhere(first);
    const session = await db.session();
    await wake();
    await eventually(() => current(second.session).phase === "signed-out-elsewhere", "said");
    expect(await db.session()).toBe(session);
  });

  test.each(["another subscriber", "the same one"])("connects anew for the next session, of %s", async (whose) => {
    const { first, second, wake } = await asleep("first");
    const registered = () => node.registers.filter((head) => !head.includes("Expires: 0")).length;
    expect(registered()).toBe(1);
    await second.signIn.signOut();
    const aor = another(whose === "another subscriber" ? undefined : OWN);
    await second.signIn.requestCode("09", "FR");
    void second.signIn.enterCode("123456");
    await eventually(() => current(second.session).phase === "provisioning", "asks for a connection");
    await settle(60);
    await wake();
    await signedIn(second);
    expect(current(second.session)).toMatchObject({ phase: "in", aor });
    expect(registered()).toBe(2);
    expect(current(first.session)).toMatchObject({ phase: "in", aor });
  });
});
