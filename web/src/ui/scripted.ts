/**
 * A client without a network, for showing and testing the interface in any state: what is asked of it is done at once
 * in memory, and messages advance by a script.
 */

import type * as Model from "../client/model";
import * as fixtures from "./fixtures";
import { plain } from "./text";

type Aor = Model.Aor;

/** A value that tells of its changes. */
export class Value<T> implements Model.Readable<T> {
  readonly #runs = new Set<(value: T) => void>();
  #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  get(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    for (const run of this.#runs) run(value);
  }

  subscribe(run: (value: T) => void): () => void {
    this.#runs.add(run);
    run(this.#value);
    return () => this.#runs.delete(run);
  }
}

type Content = { whole?: Blob; preview?: Blob; shown?: Blob };

/** How long each state of a sent message lasts. */
const STEP_MS = 600;
const PAGE = 60;

export class Scripted implements Model.Client {
  readonly session = new Value<Model.Session>({
    phase: "in",
    aor: fixtures.OWN,
    number: "+33 6 39 98 00 01",
    profileName: "Maya Leroy",
    operator: {
      name: "joyn",
      theme: "joyn",
      country: "FR",
      helpUrl: "https://help.example/",
      termsUrl: "https://terms.example/",
    },
  });
  readonly connection = new Value<Model.Connection>({ state: "online", since: 0 });
  readonly settings = new Value<Model.Settings>(fixtures.settings);
  readonly conversations = new Value<Model.Conversation[]>([]);
  readonly contacts = new Value<Model.Contact[]>([]);
  readonly unread = new Value(0);
  readonly blocked = new Value<Aor[]>([]);
  readonly files = new Value<Model.FileLimits | undefined>({ max: 100 << 20, warnAbove: 10 << 20 });
  readonly moving = new Value<ReadonlyMap<string, Model.Moving>>(new Map());
  readonly notifications = new Value<Model.NotificationState>("ask");
  readonly #messages = new Map<Aor, Value<Model.Message[]>>();
  /** Older messages that have not been asked for, oldest first. */
  readonly #older = new Map<Aor, Model.Message[]>();
  #devices = fixtures.devices;

  constructor() {
    this.conversations.subscribe((all) => {
      const count = all.filter((one) => one.unread > 0 && one.mutedUntil === 0 && !one.archived).length;
      this.unread.set(count);
    });
  }

  /** Fills it with the usual people and messages. */
  fill(): void {
    this.contacts.set(fixtures.people);
    for (const [id, messages] of fixtures.messages()) this.put(id, messages);
    this.conversations.set(
      fixtures.conversations().map((one) => {
        const mine = this.#of(one.id).get();
        const unreadFrom = one.unread > 0 ? mine[mine.length - Math.min(one.unread, mine.length)]?.id : undefined;
        return unreadFrom ? { ...one, unreadFrom } : one;
      }),
    );
  }

  put(id: Aor, messages: Model.Message[]): void {
    this.#older.set(id, messages.slice(0, -PAGE));
    this.#of(id).set(messages.slice(-PAGE));
  }

  readonly signIn: Model.SignIn = {
    country: async () => "FR",
    requestCode: async (number, country) => {
      const digits = number.replace(/\D/g, "");
      if (digits.length < 9 && country) this.session.set({ phase: "number", problem: "bad-number" });
      else this.session.set({ phase: "code", number: "+33 6 39 98 00 01", again: Date.now() + 30_000 });
    },
    enterCode: async (code) => {
      const number = "+33 6 39 98 00 01";
      if (code === "418902")
        this.session.set({ phase: "provisioning", number, operator: "joyn", step: "settings", slow: "no" });
      else this.session.set({ phase: "code", number, again: Date.now() + 20_000, problem: "wrong", triesLeft: 2 });
    },
    changeNumber: async () => this.session.set({ phase: "number" }),
    acceptTerms: async () => this.session.set({ phase: "number" }),
    refuseTerms: async () => this.session.set({ phase: "number" }),
    retry: async () => undefined,
    signOut: async () => this.session.set({ phase: "number" }),
  };

  #of(id: Aor): Value<Model.Message[]> {
    let found = this.#messages.get(id);
    if (!found) {
      found = new Value<Model.Message[]>([]);
      this.#messages.set(id, found);
    }
    return found;
  }

  change(id: Aor, part: Partial<Model.Conversation>): void {
    const all = this.conversations.get();
    const known = all.some((one) => one.id === id) ? all : [...all, this.#new(id)];
    this.conversations.set(known.map((one) => (one.id === id ? { ...one, ...part } : one)));
  }

  #new(id: Aor): Model.Conversation {
    const person = this.contacts.get().find((one) => one.id === id);
    const number = person?.number ?? id.slice(4);
    return fixtures.conversation(person?.name ?? number, { id, number, stranger: !person });
  }

  #edit(id: Aor, message: string, change: (before: Model.Message) => Partial<Model.Message>): void {
    const list = this.#of(id);
    list.set(list.get().map((one) => (one.id === message ? { ...one, ...change(one) } : one)));
  }

  conversation(id: Aor): Model.Readable<Model.Conversation | undefined> {
    const begun = () => this.conversations.get().find((one) => one.id === id);
    return {
      subscribe: (run) =>
        this.conversations.subscribe(() => run(begun() ?? (/^tel:\+\d{6,15}$/.test(id) ? this.#new(id) : undefined))),
    };
  }

  messages(id: Aor): Model.Readable<Model.Message[]> {
    return this.#of(id);
  }

  async loadEarlier(id: Aor): Promise<boolean> {
    const older = this.#older.get(id) ?? [];
    if (older.length === 0) return false;
    this.#older.set(id, older.slice(0, -PAGE));
    this.#of(id).set([...older.slice(-PAGE), ...this.#of(id).get()]);
    return true;
  }

  async look(): Promise<void> {}

  async markRead(id: Aor): Promise<void> {
    const unread = ({ id: one, unread, markedUnread }: Model.Conversation) =>
      one === id && (unread > 0 || markedUnread);
    if (this.conversations.get().some(unread)) this.change(id, { unread: 0, markedUnread: false });
  }

  leave(id: Aor): void {
    const { unreadFrom: _, ...rest } = this.conversations.get().find((one) => one.id === id) ?? this.#new(id);
    this.conversations.set(this.conversations.get().map((one) => (one.id === id ? rest : one)));
  }

  /** Somebody writes. */
  receive(id: Aor, text: string): void {
    const now = Date.now();
    this.#of(id).set([...this.#of(id).get(), fixtures.message(id, text, now)]);
    this.change(id, { at: now, typing: false, last: { own: false, text, at: now, state: "delivered", kind: "text" } });
  }

  async send(id: Aor, text: string, reply?: string): Promise<void> {
    const now = Date.now();
    const target = this.#of(id)
      .get()
      .find((one) => one.id === reply);
    const message = fixtures.message(id, text, now, {
      own: true,
      state: "pending",
      can: { edit: true, deleteForEveryone: true, cancelSending: false, retry: false },
      ...(target ? { reply: { id: target.id, found: { own: target.own, kind: target.kind, text: target.text } } } : {}),
    });
    this.#of(id).set([...this.#of(id).get(), message]);
    for (const [step, state] of (["pending", "sent", "delivered", "displayed"] as const).entries()) {
      setTimeout(() => {
        this.#edit(id, message.id, () => ({ state }));
        this.change(id, { at: now, last: { own: true, text, at: now, state, kind: "text" } });
      }, step * STEP_MS);
    }
  }

  readonly #contents = new Map<string, Value<Content>>();

  content(_id: Aor, message: string): Value<Content> {
    const found = this.#contents.get(message) ?? new Value<Content>({});
    this.#contents.set(message, found);
    return found;
  }

  /** Shows files in every state. */
  putFiles(id: Aor, all = fixtures.files(id)): void {
    for (const { message, content } of all) {
      if (!content) continue;
      this.content(id, message.id).set(
        message.file?.drawn || !message.file?.picture ? { whole: content } : { preview: content },
      );
    }
    this.moving.set(new Map(all.flatMap(({ message, moving }) => (moving ? [[message.id, moving]] : []))));
    this.put(
      id,
      all.map(({ message }) => message),
    );
    const last = all.at(-1)?.message;
    if (last) {
      const { own, text, at, state, kind, file } = last;
      const media = file && { file: file.type, ...(file.seconds === undefined ? {} : { seconds: file.seconds }) };
      this.change(id, { last: { own, text, at, state, kind, ...media } });
    }
  }

  photos(id: Aor): Model.Readable<Model.Message[]> {
    const all = this.#of(id);
    const photo = ({ file }: Model.Message) => file?.picture && file.state !== "gone";
    return { subscribe: (run) => all.subscribe((found) => run(found.filter(photo))) };
  }

  async showFile(id: Aor, message: string): Promise<void> {
    const { preview } = this.content(id, message).get();
    if (preview) this.content(id, message).set({ preview, shown: preview });
  }

  #batch = 0;

  async sendFiles(id: Aor, files: readonly Model.Outgoing[]): Promise<void> {
    this.#batch += 1;
    for (const { blob, name, type, preview, seconds, wave } of files) {
      const said = { name, type, size: blob.size, state: "here", batch: `b${this.#batch}` } as const;
      const message = fixtures.file(id, said, Date.now(), { own: true, state: "pending" });
      if (message.file && seconds !== undefined) Object.assign(message.file, { seconds, wave });
      this.content(id, message.id).set({ whole: blob, ...(preview ? { preview } : {}) });
      this.#of(id).set([...this.#of(id).get(), message]);
      setTimeout(() => this.#edit(id, message.id, () => ({ state: "delivered" })), STEP_MS);
    }
  }

  readonly storage: Model.Storage = {
    use: async () => ({
      conversations: this.#stored,
      usage: 412 << 20,
      quota: 12 * 2 ** 30,
      persisted: this.#persisted,
    }),
    free: async (id) => {
      const less = ({ bytes, free, ...one }: Model.Stored) => ({ ...one, bytes: bytes - free, free: 0 });
      this.#stored = this.#stored.map((one) => (one.id === id ? less(one) : one));
    },
    persist: async () => (this.#persisted = true),
  };
  #stored = fixtures.stored;
  #persisted = false;

  async sendLocation(id: Aor, place: Omit<Model.Place, "until">): Promise<void> {
    const now = Date.now();
    const message = fixtures.place(id, { ...place, until: now + 3_600_000 }, now, { own: true, state: "pending" });
    this.#of(id).set([...this.#of(id).get(), message]);
    setTimeout(() => this.#edit(id, message.id, () => ({ state: "delivered" })), STEP_MS);
  }

  async lookAtFile(): Promise<void> {}

  async fetchFile(id: Aor, message: string): Promise<void> {
    this.content(id, message).set({ whole: new Blob(["made up"]) });
    this.#edit(id, message, ({ file }) => (file ? { file: { ...file, state: "here" } } : {}));
  }

  async pauseFile(id: Aor, message: string, paused: boolean): Promise<void> {
    this.#edit(id, message, ({ file }) => (file ? { file: { ...file, state: paused ? "paused" : "waiting" } } : {}));
    const moving = new Map(this.moving.get());
    moving.delete(message);
    this.moving.set(moving);
  }

  async retry(id: Aor, message: string): Promise<void> {
    this.#edit(id, message, (one) => ({ state: "pending", can: { ...one.can, retry: false } }));
    setTimeout(() => this.#edit(id, message, () => ({ state: "delivered" })), STEP_MS);
  }

  async cancelSending(id: Aor, message: string): Promise<void> {
    await this.deleteForMe(id, message);
  }

  async edit(id: Aor, message: string, text: string): Promise<void> {
    this.#edit(id, message, (one) => ({ text, editedAt: Date.now(), earlier: [...(one.earlier ?? []), one.text] }));
  }

  async react(id: Aor, message: string, emoji: string): Promise<void> {
    this.#edit(id, message, ({ reactions }) => {
      const before = reactions.find((one) => one.emoji === emoji);
      const others = reactions.filter((one) => one !== before);
      const by = before?.by.filter((aor) => aor !== fixtures.OWN) ?? [];
      const own = !before?.own;
      const now = own ? [...by, fixtures.OWN] : by;
      return { reactions: now.length > 0 ? [...others, { emoji, by: now, own }] : others };
    });
  }

  async deleteForMe(id: Aor, message: string): Promise<Model.Undo> {
    const before = this.#of(id).get();
    this.#of(id).set(before.filter((one) => one.id !== message));
    return async () => this.#of(id).set(before);
  }

  async deleteForEveryone(id: Aor, message: string): Promise<void> {
    const can = { edit: false, deleteForEveryone: false, cancelSending: false, retry: false };
    this.#edit(id, message, () => ({ kind: "deleted", text: "", reactions: [], can }));
  }

  async forward(message: { conversation: Aor; id: string }, to: Aor[]): Promise<void> {
    const text =
      this.#of(message.conversation)
        .get()
        .find((one) => one.id === message.id)?.text ?? "";
    for (const id of to) await this.send(id, text);
  }

  draft(id: Aor, text: string): void {
    if (this.conversations.get().some((one) => one.id === id)) this.change(id, { draft: text });
  }

  async pin(id: Aor, pinned: boolean): Promise<void> {
    const order = this.#pinned().filter((one) => one !== id);
    this.#repin(pinned ? [...order, id] : order);
  }

  async movePin(id: Aor, place: number): Promise<void> {
    const order = this.#pinned().filter((one) => one !== id);
    this.#repin(order.toSpliced(place, 0, id));
  }

  #pinned(): Aor[] {
    const pinned = this.conversations.get().filter((one) => one.pinned !== undefined);
    return pinned.toSorted((a, b) => (a.pinned ?? 0) - (b.pinned ?? 0)).map(({ id }) => id);
  }

  #repin(order: Aor[]): void {
    const all = this.conversations.get().map(({ pinned: _, ...one }): Model.Conversation => {
      const place = order.indexOf(one.id);
      return place < 0 ? one : { ...one, pinned: place };
    });
    this.conversations.set(all.toSorted((a, b) => (a.pinned ?? 9) - (b.pinned ?? 9) || b.at - a.at));
  }

  mute = async (id: Aor, until: number): Promise<void> => this.change(id, { mutedUntil: until });
  markUnread = async (id: Aor): Promise<void> => this.change(id, { markedUnread: true });

  async archive(id: Aor, archived: boolean): Promise<Model.Undo> {
    this.change(id, { archived });
    return async () => this.change(id, { archived: !archived });
  }

  async deleteConversation(id: Aor): Promise<Model.Undo> {
    const before = this.conversations.get();
    this.conversations.set(before.filter((one) => one.id !== id));
    return async () => this.conversations.set(before);
  }

  async block(id: Aor, blocked: boolean): Promise<void> {
    this.change(id, { blocked });
    const others = this.blocked.get().filter((one) => one !== id);
    this.blocked.set(blocked ? [...others, id] : others);
  }

  async report(): Promise<void> {}

  async name(id: Aor, name: string): Promise<void> {
    const number = id.slice(4);
    const others = this.contacts.get().filter((one) => one.id !== id);
    this.contacts.set(name ? [...others, { id, name, number }] : others);
    this.change(id, { name: name || number, stranger: !name });
  }

  readNumber(text: string): { id: Aor; number: string } | undefined {
    const digits = text.replace(/[^\d+]/g, "").replace(/^0(?=[67]\d{8}$)/, "+33");
    return /^\+\d{8,15}$/.test(digits) ? { id: `tel:${digits}`, number: digits } : undefined;
  }

  async search(text: string, more: (found: Model.Found) => void): Promise<Model.Found> {
    const has = (value: string) => plain(value).includes(plain(text));
    const name = (id: Aor) => this.conversations.get().find((one) => one.id === id)?.name ?? id;
    const number = this.readNumber(text);
    const messages = [...this.#messages.values()].flatMap((list) => list.get()).filter((one) => has(one.text));
    const found: Model.Found = {
      people: this.contacts.get().filter((one) => has(one.name) || has(one.number)),
      conversations: this.conversations.get().filter((one) => has(one.name)),
      messages: messages
        .slice(-30)
        .map(({ id, conversation, at, text, own }) => ({ id, conversation, at, text, own, name: name(conversation) })),
      ...(number ? { number } : {}),
    };
    setTimeout(() => more({ people: [], conversations: [], messages: [] }), STEP_MS);
    return found;
  }

  devices = async (): Promise<Model.Device[]> => this.#devices;

  async signOutDevice(id: string): Promise<void> {
    this.#devices = this.#devices.filter((one) => one.id !== id);
  }

  async signOutOthers(): Promise<void> {
    this.#devices = this.#devices.filter((one) => one.here);
  }

  async setProfileName(profileName: string): Promise<void> {
    const session = this.session.get();
    if (session.phase === "in") this.session.set({ ...session, profileName });
  }

  update = async (part: Partial<Model.Settings>): Promise<void> =>
    this.settings.set({ ...this.settings.get(), ...part });

  async enableNotifications(): Promise<boolean> {
    this.notifications.set("on");
    return true;
  }

  reconnect(): void {
    this.connection.set({ state: "online", since: 0 });
  }
}
