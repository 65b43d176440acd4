import "fake-indexeddb/auto";

import { beforeEach, describe, expect, test } from "vitest";
import { Database, emptyConversation } from "../../src/client/database";
import type { Environment } from "../../src/client/environment";
import { Http } from "../../src/client/http";
import type { Session } from "../../src/client/model";
import { ASK_AGAIN_AFTER, LONGER_AFTER, type Provisioning, RETRY_AFTER, SignInMachine } from "../../src/client/sign-in";
import { Held } from "../../src/client/store";
import { configuration, OWN, ScriptedNode } from "./node";
import { Clock, database, eventually, settle } from "./world";

let clock: Clock;
let node: ScriptedNode;
let db: Database;
let session: Held<Session>;
let seen: Session[];
let machine: SignInMachine;
let done: string[];
let provisioning: Provisioning;
let parts: Pick<Environment, "after" | "fetch">;
let release: { connected: () => void; filled: () => void };

beforeEach(() => {
  clock = new Clock();
  node = new ScriptedNode();
  db = new Database(database());
  session = new Held<Session>({ phase: "starting" });
  seen = [];
  done = [];
  session.subscribe((value) => seen.push(value));
  release = { connected: () => {}, filled: () => {} };
  provisioning = {
    connect: () => void done.push("connect"),
    connected: () =>
      new Promise((resolve) => {
        release.connected = resolve;
      }),
    filled: () =>
      new Promise((resolve) => {
        release.filled = resolve;
      }),
    left: async (leaving) => {
      done.push("left");
      await db.wipe(leaving);
    },
    entered: () => db.wipe(false, ["settings"]),
  };
  parts = { after: clock.after, fetch: node.fetch };
  machine = new SignInMachine(parts, new Http(parts), db, session, provisioning, { name: "Test" });
  answer("GET /api/session", 401, { error: "signed-out" });
});

function answer(route: string, status: number, body: object = {}): void {
  node.routes.set(route, { status, body });
}

function signedIn(): void {
  const operator = { name: "Example", theme: "joyn", country: "FR" };
  answer("GET /api/session", 200, { aor: OWN, number: "06", profile_name: "", device: "d", operator });
}

async function asked(): Promise<void> {
  answer("POST /api/sign-in", 200, { aor: OWN, number: "+33 6 39 98 00 01", length: 6, again: 1800 });
  await machine.requestCode("06 39 98 00 01", "FR");
}

async function phase(wanted: string): Promise<Session> {
  await eventually(() => session.value.phase === wanted, `${wanted}, not ${JSON.stringify(session.value)}`);
  return session.value;
}

describe("the number", () => {
  test("is asked for on a new device", async () => {
    await machine.start();
    expect(session.value).toEqual({ phase: "number" });
  });

  test("goes to the node as it was typed, with the country and the device", async () => {
    await asked();
    expect(node.requests.at(-1)?.body).toEqual({ number: "06 39 98 00 01", country: "FR", device: { name: "Test" } });
    expect(session.value).toEqual({ phase: "code", number: "+33 6 39 98 00 01", again: 1_800_000 });
  });

  test("is read as in the operator's country, when that can be asked", async () => {
    answer("GET /api/operator", 200, { name: "Example", theme: "joyn", country: "RE" });
    expect(await machine.country()).toBe("RE");
    node.reachable = false;
    expect(await machine.country()).toBeUndefined();
  });

  test.each([
    [400, { error: "bad-number" }, { phase: "number", problem: "bad-number" }],
    [404, { error: "operator-unknown" }, { phase: "operator-unknown", number: "1" }],
    [
      403,
      { error: "not-eligible", title: "T", text: "X" },
      { phase: "not-eligible", number: "1", title: "T", text: "X" },
    ],
    [429, { error: "too-many", until: 5 }, { phase: "number", problem: "too-many", until: 5000 }],
    [429, { error: "locked", until: 5 }, { phase: "locked", number: "1", until: 5000 }],
    [503, { error: "service-down" }, { phase: "number", problem: "service-down" }],
    [502, "<html>", { phase: "number", problem: "service-down" }],
  ])("%i %j", async (status, body, expected) => {
    node.routes.set("POST /api/sign-in", { status, body });
    await machine.requestCode("1", "FR");
    expect(session.value).toEqual(expected);
  });

  test("no network is said like a service that is down, and Retry asks again", async () => {
    node.reachable = false;
    await machine.start();
    expect(session.value).toEqual({ phase: "number", problem: "service-down" });
    node.reachable = true;
    await machine.retry();
    expect(session.value).toEqual({ phase: "number" });
  });

  test("a node that cannot be reached is asked again by itself, until a person goes on", async () => {
    node.reachable = false;
    await machine.start();
    await clock.advance(ASK_AGAIN_AFTER);
    expect(session.value).toEqual({ phase: "number", problem: "service-down" });
    node.reachable = true;
    await clock.advance(ASK_AGAIN_AFTER);
    expect(session.value).toEqual({ phase: "number" });
    const { length } = node.requests;
    await clock.advance(10 * ASK_AGAIN_AFTER);
    expect(node.requests).toHaveLength(length);
    node.reachable = false;
    await machine.start();
    node.reachable = true;
    await asked();
    await clock.advance(10 * ASK_AGAIN_AFTER);
    expect(session.value).toMatchObject({ phase: "code" });
  });
});

describe("the code", () => {
  test.each([
    [401, { error: "signed-out" }],
    [200, { aor: OWN, number: "06", profile_name: "", device: "d", operator: { name: "E", theme: "", country: "FR" } }],
  ])("is still asked for when an answer of before the request comes late (%i)", async (status, body) => {
    let late = (): void => {};
    const held = new Promise<void>((resolve) => {
      late = resolve;
    });
    const fetch: typeof node.fetch = async (path, init) => {
      if (path === "/api/session") await held;
      return node.fetch(path, init);
    };
    const slow = { ...parts, fetch };
    machine = new SignInMachine(slow, new Http(slow), db, session, provisioning, { name: "Test" });
    answer("GET /api/session", status, body);
    const starting = machine.start();
    await settle();
    await asked();
    late();
    await starting;
    expect(session.value).toMatchObject({ phase: "code" });
    expect(done).toEqual([]);
  });

  test("wrong ones are counted, three lock", async () => {
    await asked();
    answer("POST /api/sign-in/code", 401, { error: "wrong", tries_left: 2 });
    await machine.enterCode("000000");
    expect(session.value).toMatchObject({ phase: "code", problem: "wrong", triesLeft: 2 });
    answer("POST /api/sign-in/code", 429, { error: "locked", until: 2400 });
    await machine.enterCode("000001");
    expect(session.value).toEqual({ phase: "locked", number: "+33 6 39 98 00 01", until: 2_400_000 });
    await machine.enterCode("000002");
    expect(node.requests.filter(({ path }) => path.endsWith("/code"))).toHaveLength(2);
  });

  test("expired, and a node that does not answer, are said apart", async () => {
    await asked();
    answer("POST /api/sign-in/code", 410, { error: "expired" });
    await machine.enterCode("000000");
    expect(session.value).toMatchObject({ phase: "code", problem: "expired" });
    node.reachable = false;
    await machine.enterCode("000000");
    expect(session.value).toMatchObject({ phase: "code", problem: "service-down" });
  });

  test("an answer that comes after Change is not heard", async () => {
    await asked();
    signedIn();
    answer("POST /api/sign-in/code", 200, { aor: OWN });
    const entering = machine.enterCode("418902");
    await machine.changeNumber();
    await entering;
    expect(session.value).toEqual({ phase: "number" });
  });
});

describe("provisioning", () => {
  async function provision(): Promise<void> {
    await asked();
    signedIn();
    answer("POST /api/sign-in/code", 200, { aor: OWN });
    void machine.enterCode("418902");
    await settle();
  }

  test("goes through its four steps", async () => {
    await provision();
    expect(session.value).toMatchObject({ phase: "provisioning", step: "connecting", operator: "Example", slow: "no" });
    expect(done).toEqual(["connect"]);
    expect((await db.fact("identity"))?.aor).toBe(OWN);
    release.connected();
    await settle();
    expect(session.value).toMatchObject({ step: "conversations" });
    release.filled();
    await phase("in");
    const steps = seen.flatMap((value) => (value.phase === "provisioning" ? [value.step] : []));
    expect([...new Set(steps)]).toEqual(["number", "settings", "connecting", "conversations"]);
  });

  test("begins with nothing that was written here since somebody else left", async () => {
    await db.wipe();
    await db.contacts.put({ id: OWN, name: "of nobody's session" });
    await provision();
    expect(await db.contacts.count()).toBe(0);
    expect((await db.fact("identity"))?.aor).toBe(OWN);
  });

  test("is said to take long after 15 s, and offers Retry after 60 s while it goes on", async () => {
    await provision();
    await clock.advance(LONGER_AFTER);
    expect(session.value).toMatchObject({ slow: "longer" });
    await clock.advance(RETRY_AFTER - LONGER_AFTER);
    expect(session.value).toMatchObject({ slow: "retry", step: "connecting" });
    await machine.retry();
    expect(done).toEqual(["connect", "connect"]);
    release.connected();
    await settle();
    release.filled();
    await phase("in");
    await clock.advance(RETRY_AFTER);
    expect(session.value.phase).toBe("in");
  });

  test("fetches the settings until they come", async () => {
    answer("GET /config", 503, {});
    await provision();
    expect(session.value).toMatchObject({ step: "settings" });
    node.routes.set("GET /config", { status: 200, body: configuration("p") });
    await machine.retry();
    await eventually(() => "step" in session.value && session.value.step === "connecting", "connecting");
  });

  const TERMS =
    '<characteristic type="MSG"><parm name="title" value="T"/><parm name="message" value="M"/>' +
    '<parm name="Accept_btn" value="1"/><parm name="Reject_btn" value="0"/></characteristic>';

  test("stops for terms; accepting goes on", async () => {
    node.routes.set("GET /config", { status: 200, body: configuration("p", TERMS) });
    await provision();
    const terms = { title: "T", text: "M", accept: true, reject: false };
    expect(session.value).toEqual({ phase: "terms", number: "06", terms });
    answer("POST /api/terms", 200);
    node.routes.set("GET /config", { status: 200, body: configuration("p") });
    void machine.acceptTerms();
    await eventually(() => done.includes("connect"), "goes on");
    expect(session.value).toMatchObject({ phase: "provisioning", step: "connecting" });
    expect(node.requests.find(({ path }) => path === "/api/terms")?.body).toEqual({ accept: true });
  });

  test("refusing them ends the session", async () => {
    node.routes.set("GET /config", { status: 200, body: configuration("p", TERMS) });
    await provision();
    answer("POST /api/terms", 200);
    await machine.refuseTerms();
    expect(node.requests.at(-1)?.body).toEqual({ accept: false });
    expect(session.value).toEqual({ phase: "number" });
    expect(done).toEqual(["left"]);
  });

  test("a node that wants none of this device says so, unless the session has just ended", async () => {
    answer("GET /config", 403);
    await provision();
    expect(session.value).toEqual({ phase: "not-eligible", number: "06" });
    await machine.retry();
    await asked();
    answer("GET /api/session", 401, { error: "signed-out" });
    await machine.enterCode("418902");
    expect(session.value).toMatchObject({ phase: "code", problem: "service-down" });
  });

  test("a service that is off is said in the operator's words", async () => {
    const off = TERMS.replace('name="Accept_btn" value="1"', 'name="Accept_btn" value="0"');
    const body = configuration("p", off).replace('name="version" value="3"', 'name="version" value="-1"');
    node.routes.set("GET /config", { status: 200, body });
    await provision();
    expect(session.value).toEqual({ phase: "not-eligible", number: "06", title: "T", text: "M" });
    expect(await db.fact("identity")).toBeUndefined();
  });
});

describe("coming back", () => {
  beforeEach(async () => {
    const operator = { name: "Example", theme: "joyn", country: "FR" };
    await db.setFact("identity", { aor: OWN, number: "06", profileName: "A", operator });
  });

  test("paints at once, offline too", async () => {
    node.reachable = false;
    await machine.start();
    expect(session.value).toMatchObject({ phase: "in", aor: OWN, profileName: "A" });
    expect(done).toEqual(["connect"]);
  });

  test("takes in what has changed meanwhile", async () => {
    signedIn();
    await machine.start();
    expect(session.value).toMatchObject({ phase: "in", profileName: "" });
  });

  test.each([
    ["signed-out", "number"],
    ["signed-out-elsewhere", "signed-out-elsewhere"],
  ])("%s wipes the device", async (error, expected) => {
    answer("GET /api/session", 401, { error });
    await machine.start();
    expect(session.value).toEqual({ phase: expected });
    expect(done).toEqual(["connect", "left"]);
    expect((await db.facts.toArray()).map(({ key }) => key)).toEqual(["session"]);
  });

  test.each(["offline", "503"])(
    "signing out wipes the device at once and holds once the node is told (%s)",
    async (how) => {
      signedIn();
      node.reachable = how !== "offline";
      answer("DELETE /api/session", 503);
      await machine.start();
      await machine.signOut();
      expect(session.value).toEqual({ phase: "number", problem: "service-down" });
      expect(await db.fact("identity")).toBeUndefined();
      // The browser still has the cookie: neither a reload nor Retry nor another number gets in with it.
      for (const again of [() => machine.start(), () => machine.retry(), () => machine.requestCode("1", "FR")]) {
        await again();
        expect(session.value).toEqual({ phase: "number", problem: "service-down" });
      }
      expect(node.requests.every(({ path }) => path === "/api/session")).toBe(true);
      node.reachable = true;
      node.routes.set("DELETE /api/session", () => {
        answer("GET /api/session", 401, { error: "signed-out" });
        return { status: 204 };
      });
      await machine.start();
      expect(session.value).toEqual({ phase: "number" });
      expect((await db.facts.toArray()).map(({ key }) => key)).toEqual(["session"]);
    },
  );

  describe("offline", () => {
    beforeEach(async () => {
      signedIn();
      await machine.start();
      node.reachable = false;
      await machine.signOut();
      node.routes.set("DELETE /api/session", () => {
        answer("GET /api/session", 401, { error: "signed-out" });
        return { status: 204 };
      });
    });

    test("is told to the node later, also after a number was tried", async () => {
      await machine.requestCode("1", "FR");
      expect(session.value).toEqual({ phase: "number", problem: "service-down" });
      node.reachable = true;
      await clock.advance(ASK_AGAIN_AFTER);
      await eventually(() => !("problem" in session.value), "told");
      expect(await db.fact("leaving")).toBeUndefined();
    });

    test("is told as soon as there is a network", async () => {
      node.reachable = true;
      await machine.reconnect();
      expect(session.value).toEqual({ phase: "number" });
      expect(await db.fact("leaving")).toBeUndefined();
    });

    test("is told by a tab that did not try itself", async () => {
      node.reachable = true;
      session.set({ phase: "number" });
      await machine.reconnect();
      expect(await db.fact("leaving")).toBeUndefined();
    });

    test("is told once at a time", async () => {
      node.reachable = true;
      node.requests = [];
      await Promise.all([machine.reconnect(), machine.requestCode("1", "FR")]);
      expect(node.requests.filter(({ method }) => method === "DELETE")).toHaveLength(1);
    });
  });

  test("a sign-out that the node has not heard of is told when it can be reached, whatever was tried meanwhile", async () => {
    signedIn();
    node.reachable = false;
    await machine.start();
    await machine.signOut();
    await machine.requestCode("1", "FR");
    node.reachable = true;
    node.routes.set("DELETE /api/session", () => {
      answer("GET /api/session", 401, { error: "signed-out" });
      return { status: 204 };
    });
    await clock.advance(ASK_AGAIN_AFTER);
    await eventually(async () => (await db.fact("leaving")) === undefined, "told");
    expect(session.value).toEqual({ phase: "number" });
  });

  test("another tab's sign-in as somebody else is followed", async () => {
    node.reachable = false;
    await machine.start();
    const operator = { name: "Example", theme: "joyn", country: "FR" };
    await db.setFact("identity", { aor: "tel:+33639980009", number: "09", profileName: "B", operator });
    await machine.follow();
    expect(session.value).toMatchObject({ phase: "in", aor: "tel:+33639980009" });
  });
});

test("what was still written after a sign-out is nothing of whoever signs in next", async () => {
  await db.conversations.put(emptyConversation("tel:+33639980002", 0));
  await db.settings.put({ key: "theme", value: "dark" });
  signedIn();
  node.routes.set("GET /config", { status: 200, body: configuration("p") });
  void machine.start();
  await eventually(() => done.includes("connect"), "goes on");
  expect(await db.conversations.count()).toBe(0);
  expect(await db.settings.get("theme")).toEqual({ key: "theme", value: "dark" });
});

test("a late answer about the last session throws nobody out of the step they are in", async () => {
  let late = (): void => {};
  const waiting = new Promise<void>((resolve) => {
    late = resolve;
  });
  const fetch = node.fetch;
  const parts = {
    after: clock.after,
    fetch: async (path: string, init?: RequestInit) => {
      const answered = await fetch(path, init);
      if (path === "/api/session") await waiting;
      return answered;
    },
  };
  const left: string[] = [];
  const provisioning: Provisioning = {
    connect: () => {},
    connected: async () => {},
    filled: async () => {},
    left: async () => void left.push("left"),
    entered: async () => {},
  };
  machine = new SignInMachine(parts, new Http(parts), db, session, provisioning, { name: "Test" });
  const starting = machine.start();
  await settle();
  await asked();
  late();
  await starting;
  expect(session.value).toMatchObject({ phase: "code" });
  expect(left).toEqual([]);
});
