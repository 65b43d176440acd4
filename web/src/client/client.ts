/** The client: what the user interface may do, done in the database, over HTTP, or by the tab that has the connection. */

import { ContentServer, readLimits } from "./content";
import { Correspondence } from "./correspondence";
import { Database } from "./database";
import { Downloads } from "./downloads";
import { Engine, type EngineEvents } from "./engine";
import { type Environment, once } from "./environment";
import { Finder } from "./finder";
import { Http } from "./http";
import type { Inbox } from "./inbox";
import type * as model from "./model";
import type { Aor, Connection, Conversation, Found, Message, Readable, Session, Settings, Undo } from "./model";
import { Notifications, type PushSurroundings } from "./notifications";
import { Notifier } from "./notifier";
import { Numbers } from "./numbers";
import { SearchIndex } from "./search";
import { Shelf } from "./shelf";
import { type Provisioning, SignInMachine } from "./sign-in";
import type { MakeSip } from "./sip";
import { Storage } from "./storage";
import { Held, Live, mapped, until } from "./store";
import { Tabs } from "./tabs";
import { Threads } from "./threads";
import { isUnread, SETTINGS, View } from "./view";

/** Messages that a conversation shows at first, and how many more each time. */
export const PAGE = 60;
/** Milliseconds after the last key stroke in which a draft is saved (design §6). */
export const SAVE_DRAFT_AFTER = 250;
/** Milliseconds after signing in at which what may be needed later is fetched. */
export const FETCH_AHEAD_AFTER = 5_000;
/** Messages that a report names. */
const REPORTED = 10;

export interface Parts {
  environment: Environment;
  loadSip: () => Promise<MakeSip>;
  push: PushSurroundings | undefined;
  device: object;
}

interface Page {
  limit: number;
  readonly live: Live<Message[]>;
}

export class JoynClient implements model.Client {
  readonly session = new Held<Session>({ phase: "starting" });
  readonly connection: Held<Connection>;
  readonly settings: Readable<Settings>;
  readonly conversations: Live<Conversation[]>;
  readonly contacts: Live<model.Contact[]>;
  readonly unread: Readable<number>;
  readonly blocked: Readable<Aor[]>;
  readonly notifications: Readable<model.NotificationState>;
  readonly files: Readable<model.FileLimits | undefined>;
  readonly moving: Readable<ReadonlyMap<string, model.Moving>>;
  readonly signIn: SignInMachine;
  readonly storage: Storage;

  readonly #environment: Environment;
  readonly #db: Database;
  readonly #http: Http;
  readonly #threads: Threads;
  readonly #view: View;
  readonly #numbers = new Numbers("");
  readonly #index: SearchIndex;
  readonly #finder: Finder;
  readonly #shelf: Shelf;
  readonly #inbox: Inbox;
  readonly #tabs: Tabs;
  readonly #correspondence: Correspondence;
  readonly #push: Notifications;
  readonly #notifier: Notifier;
  readonly #downloads: Downloads;
  readonly #open = new Map<Aor, Live<Conversation | undefined>>();
  readonly #pages = new Map<Aor, Page>();
  readonly #defaults: Settings;
  readonly #drafts = new Map<Aor, () => void>();
  readonly #loadSip: () => Promise<MakeSip>;

  constructor({ environment, push, device, ...parts }: Parts) {
    const { now } = environment;
    const loadSip = once(parts.loadSip);
    this.#loadSip = loadSip;
    const db = new Database(environment.database);
    const http = new Http(environment);
    const threads = new Threads(db, now);
    const content = new ContentServer(environment, http);
    const makeEngine = (events: EngineEvents) => new Engine(environment, http, content, db, threads, loadSip, events);
    const tabs = new Tabs(environment, db, makeEngine);
    this.#environment = environment;
    this.#db = db;
    this.#http = http;
    this.#threads = threads;
    this.#tabs = tabs;
    this.#inbox = tabs.engine.inbox;
    this.#view = new View(db, this.#numbers, tabs.presence, now);
    this.#index = new SearchIndex(db);
    this.#finder = new Finder(db, http, this.#view, this.#numbers, this.#index, tabs);
    this.#shelf = new Shelf(db, threads);
    this.#correspondence = new Correspondence(environment, db, threads, () => tabs.ask({ do: "wake" }));
    this.#push = new Notifications(http, push);
    this.#notifier = new Notifier(environment, db, this.#view, this.#push);
    this.#downloads = new Downloads(environment, db, content);
    this.#downloads.onMoving = (id, moving) => tabs.tell({ is: "moving", id, moving });
    this.storage = new Storage(environment, db);
    this.files = new Live(() => db.fact("files"), undefined);
    this.moving = tabs.moving;
    this.notifications = this.#push.state;
    this.connection = tabs.connection;
    this.#defaults = { ...SETTINGS, language: environment.language.slice(0, 2) };
    this.settings = new Live(() => db.readSettings(this.#defaults), this.#defaults);
    this.conversations = new Live(() => this.#view.conversations(), []);
    this.contacts = new Live(() => this.#view.contacts(), []);
    this.unread = mapped(this.conversations, (all) => all.filter((one) => isUnread(one, now())).length);
    this.blocked = new Live(async () => [...(await this.#view.blocked())], []);
    this.signIn = new SignInMachine(environment, http, db, this.session, this.#provisioning(), device);
    this.#numbers.onReady = () => this.#refresh();
    tabs.onPresence = () => this.#refresh();
    tabs.onRefused = (refusal, session) => void this.signIn.refused(refusal, session);
    tabs.onSession = () => void this.#follow();
    // The permission may have been taken back meanwhile, or the tab be closing.
    tabs.onMessage = (id) => void this.#notifier.arrived(id).catch(() => {});
  }

  /** Begins: paints what is here, then asks the node. */
  async start(): Promise<void> {
    this.#tabs.start();
    this.conversations.subscribe((all) => this.#notifier.follow(all));
    let inside = false;
    this.session.subscribe((session) => {
      if (session.phase === "in" && !inside) void this.#settleIn(session.operator.country);
      inside = session.phase === "in";
    });
    await this.signIn.start();
  }

  /** The tab is closing. */
  close(): void {
    this.#tabs.close();
    this.#notifier.close();
    this.#downloads.stop();
    this.#db.close();
  }

  // Reading.

  conversation(id: Aor): Readable<Conversation | undefined> {
    const live = this.#open.get(id) ?? new Live<Conversation | undefined>(() => this.#view.conversation(id), undefined);
    this.#open.set(id, live);
    return live;
  }

  messages(id: Aor): Readable<Message[]> {
    return this.#page(id).live;
  }

  async loadEarlier(id: Aor): Promise<boolean> {
    const page = this.#page(id);
    const rows = await this.#db.newest(id, page.limit + PAGE + 1);
    if (rows.length > page.limit) {
      page.limit += PAGE;
      page.live.refresh();
    }
    return rows.length > page.limit;
  }

  async look(id: Aor | undefined): Promise<void> {
    this.#notifier.shown = id;
    this.#tabs.ask({ do: "look", id });
    if (id === undefined) return;
    const unseen = await this.#db.messages.where({ conversation: id, unseen: 1 }).sortBy("at");
    await this.#threads.adjust(id, (row) => {
      row.markedUnread = false;
      if (unseen[0] !== undefined) row.unreadFrom = unseen[0].id;
      else delete row.unreadFrom;
    });
  }

  async markRead(id: Aor): Promise<void> {
    const told = await this.#db.transaction("rw", this.#db.tables, async () => {
      const seen = await this.#threads.see(id);
      const { readReceipts } = await this.#db.readSettings(this.#defaults);
      const { stranger, blocked } = await this.#view.conversation(id);
      // Design §5: a stranger learns nothing before they are answered.
      if (!readReceipts || stranger || blocked) return false;
      for (const row of seen) await this.#inbox.receipt(id, row.id, "displayed");
      return seen.length > 0;
    });
    if (told) this.#tabs.ask({ do: "wake" });
  }

  leave(id: Aor): void {
    this.#pages.delete(id);
    this.#open.delete(id);
    this.#tabs.ask({ do: "compose", id, text: "" });
    void this.#threads.adjust(id, (row) => {
      delete row.unreadFrom;
    });
  }

  // Writing.

  async send(id: Aor, text: string, reply?: string): Promise<void> {
    this.#drafts.get(id)?.();
    await this.#answer(id, () => this.#correspondence.send(id, text, reply));
  }

  /** Writes to somebody; a stranger has been answered by that, and is told now what was read before. */
  async #answer(id: Aor, write: () => Promise<void>): Promise<void> {
    const { stranger } = await this.#view.conversation(id);
    await write();
    if (!stranger) return;
    const { readReceipts } = await this.#db.readSettings(this.#defaults);
    if (!readReceipts) return;
    const rows = await this.#db.messages.where({ conversation: id, unseen: 0 }).toArray();
    for (const row of rows) if (!row.own && row.wantsDisplay) await this.#inbox.receipt(id, row.id, "displayed");
    this.#tabs.ask({ do: "wake" });
  }

  sendFiles(id: Aor, files: readonly model.Outgoing[]): Promise<void> {
    return this.#answer(id, () => this.#correspondence.sendFiles(id, files));
  }

  sendLocation(id: Aor, place: Omit<model.Place, "until">): Promise<void> {
    return this.#answer(id, () => this.#correspondence.sendLocation(id, place));
  }

  content(id: Aor, message: string): ReturnType<model.Client["content"]> {
    return new Live(async () => (await this.#db.contents.get([id, message])) ?? {}, {});
  }

  photos(id: Aor): Readable<Message[]> {
    return new Live(() => this.#view.photos(id), []);
  }

  lookAtFile(id: Aor, message: string): Promise<void> {
    // One that does not come by itself can still be asked for.
    return this.#downloads.look(id, message).catch(() => {});
  }

  showFile(id: Aor, message: string): Promise<void> {
    return this.#downloads.show(id, message);
  }

  fetchFile(id: Aor, message: string): Promise<void> {
    return this.#downloads.fetch(id, message);
  }

  async pauseFile(id: Aor, message: string, paused: boolean): Promise<void> {
    this.#downloads.pause(message);
    await this.#correspondence.pause(id, message, paused);
  }

  retry(id: Aor, message: string): Promise<void> {
    return this.#correspondence.retry(id, message);
  }

  cancelSending(id: Aor, message: string): Promise<void> {
    return this.#correspondence.cancel(id, message);
  }

  edit(id: Aor, message: string, text: string): Promise<void> {
    return this.#correspondence.edit(id, message, text);
  }

  react(id: Aor, message: string, emoji: string): Promise<void> {
    return this.#correspondence.react(id, message, emoji);
  }

  async deleteForMe(id: Aor, message: string): Promise<Undo> {
    return this.#waking(await this.#threads.remove(id, message));
  }

  async deleteForEveryone(id: Aor, message: string): Promise<void> {
    const { language } = await this.#db.readSettings(this.#defaults);
    await this.#correspondence.deleteForEveryone(id, message, language);
  }

  async forward(message: { conversation: Aor; id: string }, to: Aor[]): Promise<void> {
    const row = await this.#db.messages.get([message.conversation, message.id]);
    if (row !== undefined) for (const id of to) await this.#correspondence.forward(row, id);
  }

  draft(id: Aor, text: string): void {
    this.#drafts.get(id)?.();
    const session = this.#db.session();
    const stop = this.#environment.after(SAVE_DRAFT_AFTER, () => {
      this.#drafts.delete(id);
      void session.then((number) => this.#shelf.saveDraft(number, id, text));
    });
    this.#drafts.set(id, stop);
    void this.#db.readSettings(this.#defaults).then(({ typing }) => {
      if (typing) this.#tabs.ask({ do: "compose", id, text });
    });
  }

  // Conversations.

  pin(id: Aor, pinned: boolean): Promise<void> {
    return this.#shelf.pin(id, pinned);
  }

  movePin(id: Aor, place: number): Promise<void> {
    return this.#shelf.movePin(id, place);
  }

  mute(id: Aor, until: number): Promise<void> {
    return this.#shelf.mute(id, until);
  }

  markUnread(id: Aor): Promise<void> {
    return this.#shelf.markUnread(id);
  }

  archive(id: Aor, archived: boolean): Promise<Undo> {
    return this.#shelf.archive(id, archived);
  }

  async deleteConversation(id: Aor): Promise<Undo> {
    return this.#waking(await this.#threads.clear(id));
  }

  /** Taking the step back may put something into the outbox again. */
  #waking(undo: Undo): Undo {
    return async () => {
      await undo();
      this.#tabs.ask({ do: "wake" });
    };
  }

  /** Shown at once; taken back, and rejected with HttpProblem, when the node does not take it. */
  async block(id: Aor, blocked: boolean): Promise<void> {
    const session = await this.#db.session();
    const before = await this.#view.blocked();
    const others = [...before].filter((one) => one !== id);
    const after = new Set(blocked ? [...others, id] : others);
    const show = (ids: Set<Aor>) => this.#db.during(session, () => this.#db.setFact("blocked", [...ids]));
    if (!(await show(after))) return;
    try {
      await this.#http.block(id, blocked);
    } catch (error) {
      await show(before);
      throw error;
    }
  }

  async report(id: Aor): Promise<void> {
    const rows = await this.#db.newest(id, 10 * REPORTED);
    const theirs = rows.filter(({ own, kind }) => !own && kind !== "note").map((row) => row.id);
    await this.#http.report(id, theirs.slice(0, REPORTED));
  }

  async name(id: Aor, name: string): Promise<void> {
    if (name.trim() === "") await this.#db.contacts.delete(id);
    else await this.#db.contacts.put({ id, name: name.trim() });
  }

  // Finding.

  readNumber(text: string): { id: Aor; number: string } | undefined {
    void this.#numbers.load().catch(() => {});
    return this.#numbers.read(text);
  }

  search(text: string, more: (found: Found) => void): Promise<Found> {
    return this.#finder.search(text, more);
  }

  // The device and the subscriber.

  async devices(): Promise<model.Device[]> {
    const all = await this.#http.devices();
    return all.map(({ last_active, ...device }) => ({ ...device, lastActive: last_active * 1000 }));
  }

  signOutDevice(id: string): Promise<void> {
    return this.#http.signOutDevice(id);
  }

  signOutOthers(): Promise<void> {
    return this.#http.signOutOthers();
  }

  async setProfileName(profileName: string): Promise<void> {
    const session = await this.#db.session();
    await this.#http.setProfile(profileName);
    await this.#db.during(session, async () => {
      const identity = await this.#db.fact("identity");
      if (identity === undefined) return;
      await this.#db.setFact("identity", { ...identity, profileName });
      const { value } = this.session;
      if (value.phase === "in") this.session.set({ ...value, profileName });
    });
  }

  async update(settings: Partial<Settings>): Promise<void> {
    await this.#db.settings.bulkPut(Object.entries(settings).map(([key, value]) => ({ key, value })));
  }

  enableNotifications(): Promise<boolean> {
    return this.#push.enable();
  }

  reconnect(): void {
    this.#downloads.hurry();
    void this.signIn.reconnect().catch(() => {}); // the tab may be closing
    this.#tabs.ask({ do: "reconnect" });
  }

  /** The browser has no network any more. */
  cut(): void {
    this.#downloads.cut();
    this.#tabs.cut();
  }

  #provisioning(): Provisioning {
    return {
      connect: () => {
        this.#tabs.ask({ do: "start" });
        this.#tabs.announce({ is: "session" });
      },
      connected: async () => {
        await until(this.connection, ({ state }) => state === "online");
      },
      filled: async () => {
        const newest = new Live(() => this.#db.fact("newest"), undefined);
        await until(newest, (cursor) => cursor !== undefined);
      },
      left: async (leaving) => {
        this.#forget();
        await this.#db.wipe(leaving);
        this.#tabs.announce({ is: "session" });
        // Last, and nobody waits: the browser may take its time, or never answer.
        void this.#push.forget().catch(() => {});
      },
      entered: async () => {
        this.#forget();
        await this.#db.wipe(false, ["settings"]);
      },
    };
  }

  /** What is in memory of whoever was signed in here. What they were writing comes to nothing. */
  #forget(): void {
    this.#tabs.stop();
    this.#downloads.stop();
    for (const stop of this.#drafts.values()) stop();
    this.#drafts.clear();
    this.#index.clear();
    this.#pages.clear();
  }

  /** Another tab has signed in or out. */
  async #follow(): Promise<void> {
    const known = await this.#db.fact("identity");
    const { value } = this.session;
    if (known === undefined || (value.phase === "in" && value.aor !== known.aor)) this.#forget();
    await this.signIn.follow();
  }

  /** What is wanted once somebody is signed in, and can wait. */
  async #settleIn(country: string): Promise<void> {
    this.#numbers.country = country;
    // Any tab may have to take over the connection, and the node may have another version of the client by then.
    this.#environment.after(FETCH_AHEAD_AFTER, () => {
      void this.#loadSip().catch(() => {});
      void this.#downloads.sweep().catch(() => {});
    });
    // Where no service worker is at work the browser never answers: nothing waits for it.
    void this.#push.resume().catch(() => {});
    await Promise.allSettled([this.#numbers.load(), this.#readBlocks(), readLimits(this.#http, this.#db)]);
    this.#refresh();
  }

  #refresh(): void {
    this.conversations.refresh();
    this.contacts.refresh();
    for (const live of this.#open.values()) live.refresh();
  }

  #page(id: Aor): Page {
    const known = this.#pages.get(id);
    if (known !== undefined) return known;
    const made: Page = { limit: PAGE, live: new Live<Message[]>(() => this.#view.messages(id, made.limit), []) };
    this.#pages.set(id, made);
    return made;
  }

  async #readBlocks(): Promise<void> {
    const session = await this.#db.session();
    const blocked = await this.#http.blocks();
    await this.#db.during(session, () => this.#db.setFact("blocked", blocked));
  }
}
