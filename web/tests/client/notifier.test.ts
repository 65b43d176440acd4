import "fake-indexeddb/auto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Database } from "../../src/client/database";
import type { Environment } from "../../src/client/environment";
import type { Http } from "../../src/client/http";
import { Notifications } from "../../src/client/notifications";
import { ANSWER_WITHIN, type Arrival, FRESH, Notifier, noticeOf, type Words } from "../../src/client/notifier";
import { Numbers } from "../../src/client/numbers";
import { Threads } from "../../src/client/threads";
import { View } from "../../src/client/view";
import { OWN, PEER } from "./node";
import { Clock, database, Ether, environment, settle } from "./world";

const OTHER = "tel:+33639980003";
const words: Words = {
  newMessages: (count) => `new: ${count}`,
  gist: ({ kind, text, seconds }) => (seconds === undefined ? (kind === "text" ? text : kind) : `${seconds} s`),
};

describe("what a notification says", () => {
  const now = Date.UTC(2026, 10, 22, 12);
  const arrival: Arrival = {
    message: { own: false, kind: "text", text: "à midi ?", unseen: 1, arrived: now },
    conversation: { id: PEER, name: "Noor", unread: 2, mutedUntil: 0, blocked: false },
    shown: false,
    content: "full",
    now,
  };
  const said = (given: Partial<Arrival>): string[] | undefined => {
    const notice = noticeOf({ ...arrival, ...given }, words);
    return notice && [notice.title, notice.options.body as string];
  };
  const message = (part: Partial<Arrival["message"]>) => ({ message: { ...arrival.message, ...part } });
  const conversation = (part: Partial<Arrival["conversation"]>) => ({
    conversation: { ...arrival.conversation, ...part },
  });

  test.each([
    ["full", "Noor", "à midi ?"],
    ["name", "Noor", "new: 2"],
    ["none", "joyn", "new: 2"],
  ] as const)("%s", (content, title, body) => {
    expect(said({ content })).toEqual([title, body]);
  });

  test("one for each conversation, and each time anew", () => {
    expect(noticeOf(arrival, words)?.options).toMatchObject({ tag: PEER, data: PEER, renotify: true });
  });

  test("what has no text is a new message", () => {
    expect(said(message({ kind: "unsupported", text: "" }))).toEqual(["Noor", "new: 2"]);
    expect(said(message({ text: "" }))).toEqual(["Noor", "new: 2"]);
  });

  test("what is heard or on a map is said in words", () => {
    expect(said(message({ kind: "location", text: "the quay" }))).toEqual(["Noor", "location"]);
    const file = { name: "v.webm", size: 1, type: "audio/webm", url: "", until: 0, here: true };
    expect(said(message({ kind: "file", text: "v.webm", file: { ...file, seconds: 7 } }))?.[1]).toBe("7 s");
  });

  test("a long text is cut between characters", () => {
    expect(said(message({ text: "😀".repeat(10_000) }))?.[1]).toBe("😀".repeat(400));
    expect(said(message({ text: "é".repeat(401) }))?.[1]).toBe("é".repeat(400));
  });

  test.each([
    ["it is shown", { shown: true }],
    ["it is our own", message({ own: true })],
    ["it has been read", message({ unseen: 0 })],
    ["it was deleted", message({ kind: "deleted" })],
    ["it is a note", message({ kind: "note" })],
    ["it is of the past", message({ arrived: now - FRESH - 1 })],
    ["the conversation is muted", conversation({ mutedUntil: now + 1 })],
    ["the conversation is muted for ever", conversation({ mutedUntil: Infinity })],
    ["they are blocked", conversation({ blocked: true })],
  ])("none when %s", (_why, given) => {
    expect(said(given)).toBeUndefined();
  });

  test("again once muting is over, and up to the last moment of being news", () => {
    expect(said({ ...conversation({ mutedUntil: now }), ...message({ arrived: now - FRESH }) })).toBeDefined();
  });
});

describe("the notifier", () => {
  let clock: Clock;
  let shared: Environment;
  let db: Database;
  let threads: Threads;
  let screen: { title: string; body: string; tag: string; data: unknown; close(): void }[];
  let rings: number;
  let permission: NotificationPermission;
  let subscribed: boolean;
  let opened: Notifier[];

  /** A browser's registration, as far as it is used. */
  const registration = {
    pushManager: { getSubscription: async () => (subscribed ? {} : null) },
    showNotification: async (title: string, { body = "", tag = "", data }: NotificationOptions) => {
      const close = (): void => {
        screen = screen.filter((other) => other.tag !== tag);
      };
      close();
      rings += 1;
      screen.push({ title, body, tag, data, close });
    },
    getNotifications: async ({ tag }: { tag?: string } = {}) =>
      screen.filter((one) => tag === undefined || one.tag === tag),
  } as unknown as ServiceWorkerRegistration;

  function tab(): Notifier {
    const notifications = new Notifications({} as Pick<Http, "pushKey" | "setPush">, {
      permission: () => permission,
      ask: async () => permission,
      registration: async () => registration,
      registered: async () => registration,
      words,
    });
    const view = new View(db, new Numbers("FR"), { typing: new Set(), reach: new Map() }, shared.now);
    const made = new Notifier(shared, db, view, notifications);
    opened.push(made);
    return made;
  }

  async function comes(id: string, conversation = PEER): Promise<void> {
    const about = { conversation, id, own: false, by: conversation, at: clock.now, kind: "text" as const, text: id };
    clock.now += 1;
    await threads.add({ ...about, unseen: 1 });
  }

  async function told(notifier: Notifier, conversation = PEER): Promise<void> {
    const done = notifier.arrived(conversation);
    await clock.advance(ANSWER_WITHIN);
    await done;
  }

  const bodies = (): string[] => screen.map(({ body }) => body);

  beforeEach(async () => {
    clock = new Clock();
    shared = environment({ clock, openChannel: new Ether().open, database: database() });
    db = new Database(shared.database);
    threads = new Threads(db, shared.now);
    [screen, rings, permission, subscribed, opened] = [[], 0, "granted", true, []];
    await db.setFact("newest", "1");
    await db.contacts.put({ id: PEER, name: "Noor" });
  });

  afterEach(() => {
    for (const one of opened) one.close();
    db.close();
  });

  test("tells of a message, and of the next in its place", async () => {
    const notifier = tab();
    await comes("one");
    await told(notifier);
    expect(screen).toMatchObject([{ title: "Noor", body: "one", tag: PEER, data: PEER }]);
    await comes("two");
    await told(notifier);
    expect([bodies(), rings]).toEqual([["two"], 2]);
  });

  test("each conversation has its own", async () => {
    const notifier = tab();
    await comes("one");
    await comes("two", OTHER);
    await Promise.all([told(notifier), told(notifier, OTHER)]);
    expect(screen.map(({ title, body }) => [title, body])).toEqual([
      ["Noor", "one"],
      ["+33639980003", "two"],
    ]);
  });

  test("several at once ring once, and what comes again does not ring", async () => {
    const notifier = tab();
    await comes("one");
    const first = notifier.arrived(PEER);
    await comes("two");
    await Promise.all([first, told(notifier)]);
    expect([bodies(), rings]).toEqual([["two"], 1]);
    await told(notifier);
    expect(rings).toBe(1);
  });

  test.each([
    ["this tab", 0],
    ["another tab", 1],
  ])("is silent while %s shows the conversation", async (_which, place) => {
    const tabs = [tab(), tab()] as const;
    tabs[place as 0 | 1].shown = PEER;
    await comes("one");
    await told(tabs[0]);
    expect(rings).toBe(0);
    // Another conversation is not what they look at.
    await comes("two", OTHER);
    await told(tabs[0], OTHER);
    expect(bodies()).toEqual(["two"]);
  });

  test.each([
    ["the person has not allowed them", () => (permission = "default")],
    ["they are off on this device", () => (subscribed = false)],
    ["the history is not here yet", () => db.facts.delete("newest")],
  ])("is silent when %s", async (_why, prepare) => {
    await prepare();
    await comes("one");
    await told(tab());
    expect(rings).toBe(0);
  });

  test("follows the settings", async () => {
    await db.settings.put({ key: "notifications", value: "none" });
    await comes("one");
    await told(tab());
    expect(screen).toMatchObject([{ title: "joyn", body: "new: 1" }]);
  });

  test("takes the place of the one of a push", async () => {
    await registration.showNotification("joyn", { tag: "joyn-messages" });
    await comes("one");
    await told(tab());
    expect(bodies()).toEqual(["one"]);
  });

  test("takes away what is read, here or as our own answer from elsewhere tells, and nothing else", async () => {
    const [leading, other] = [tab(), tab()];
    const follow = async (): Promise<void> => {
      const all = await db.conversations.toArray();
      for (const one of [leading, other]) one.follow(all);
      await settle();
    };
    await registration.showNotification("joyn", { tag: "joyn-messages" });
    for (const id of [PEER, OTHER]) {
      await comes(`of ${id}`, id);
      await told(leading, id);
    }
    await follow();
    expect(screen).toHaveLength(2);
    await threads.see(PEER);
    await follow();
    expect(bodies()).toEqual([`of ${OTHER}`]);
    const answer = { id: "answer", own: true, by: OWN, at: clock.now, kind: "text" as const, text: "oui" };
    await threads.add({ ...answer, conversation: OTHER });
    await follow();
    expect(screen).toEqual([]);
  });

  test("at its start takes away what was read as the last page closed", async () => {
    await registration.showNotification("Noor", { tag: PEER, data: PEER });
    tab().follow([]);
    await settle();
    expect(screen).toEqual([]);
  });

  test("signing out leaves none", async () => {
    await registration.showNotification("Noor", { tag: PEER, data: PEER });
    subscribed = false;
    await new Notifications({} as Pick<Http, "pushKey" | "setPush">, {
      permission: () => permission,
      ask: async () => permission,
      registration: async () => registration,
      registered: async () => registration,
      words,
    }).forget();
    expect(screen).toEqual([]);
  });

  test("signing out makes the browser forget its subscription, where it has one", async () => {
    let unsubscribed = 0;
    const subscription = { unsubscribe: async () => (unsubscribed += 1) };
    const pushManager = { getSubscription: async () => (subscribed ? subscription : null) };
    const known = { ...registration, pushManager } as unknown as ServiceWorkerRegistration;
    const notifications = new Notifications({} as Pick<Http, "pushKey" | "setPush">, {
      permission: () => permission,
      ask: async () => permission,
      registration: () => new Promise(() => {}),
      registered: async () => known,
      words,
    });
    await notifications.forget();
    expect(unsubscribed).toBe(1);
    subscribed = false;
    await notifications.forget();
    expect(unsubscribed).toBe(1);
  });
});
