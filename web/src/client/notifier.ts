/**
 * Tells of what comes while nobody looks: one notification for each conversation, gone when that is read (design §10).
 *
 * The tab with the connection shows them; every tab says what it shows itself, and takes away what has been read.
 */

import type { Database, MessageRow } from "./database";
import type { Channel, Environment } from "./environment";
import type { Aor, Conversation, Gist, Settings } from "./model";
import type { Notifications } from "./notifications";
import { gistOf, SETTINGS, type View } from "./view";

/** Milliseconds in which another tab says that it shows a conversation. */
export const ANSWER_WITHIN = 300;
/** Milliseconds after it came for which a message is news: what the network brings again is not. */
export const FRESH = 60_000;
/** Messages among which the newest unread one is. */
const LOOKED_AT = 20;
/** Characters of a message; no system shows more. */
const MAX_BODY = 400;
/** The service worker's own, which does not know who wrote (worker/sw.ts). */
const ANYBODY = "joyn-messages";

/** Something that came, and what there is to know before it is told. */
export interface Arrival {
  message: Pick<MessageRow, "own" | "kind" | "text" | "file" | "unseen" | "arrived">;
  conversation: Pick<Conversation, "id" | "name" | "unread" | "mutedUntil" | "blocked">;
  /** A tab that can be seen shows the conversation. */
  shown: boolean;
  content: Settings["notifications"];
  now: number;
}

export interface Notice {
  title: string;
  options: NotificationOptions & { renotify: boolean };
}

/** What it is said in, in the person's language. */
export interface Words {
  /** "New message", for one or several. */
  newMessages(count: number): string;
  /** What a message says, in short. */
  gist(message: Gist): string;
}

/** What a notification of it says; undefined when there is to be none. */
export function noticeOf({ message, conversation, shown, content, now }: Arrival, words: Words): Notice | undefined {
  const { id, name, unread, mutedUntil, blocked } = conversation;
  const { own, kind, unseen, arrived } = message;
  if (own || !unseen || kind === "deleted" || kind === "note" || now - arrived > FRESH) return undefined;
  if (shown || blocked || mutedUntil > now) return undefined;
  const whole = content === "full" && kind !== "unsupported" ? words.gist(gistOf(message)) : "";
  const said = Array.from(whole.slice(0, 2 * MAX_BODY));
  return {
    title: content === "none" ? "joyn" : name,
    options: {
      body: said.slice(0, MAX_BODY).join("") || words.newMessages(Math.max(1, unread)),
      icon: "/icon-192.png",
      badge: "/icon-192.png",
      tag: id,
      renotify: true,
      data: id,
    },
  };
}

/** Between tabs: who shows this, and that one does. */
type Word = { asks: Aor } | { shows: Aor };

export class Notifier {
  /** What this tab shows to somebody who can see it. */
  shown: Aor | undefined;
  readonly #environment: Pick<Environment, "now" | "after">;
  readonly #db: Database;
  readonly #view: Pick<View, "conversation">;
  readonly #notifications: Notifications;
  readonly #channel: Channel | undefined;
  /** Conversations about which the tabs are being asked. */
  readonly #asking = new Map<Aor, (shown: boolean) => void>();
  /** The last message that was told of each conversation. */
  readonly #told = new Map<Aor, string>();
  #unread: ReadonlySet<Aor> | undefined;

  constructor(
    environment: Pick<Environment, "now" | "after" | "openChannel" | "database">,
    db: Database,
    view: Pick<View, "conversation">,
    notifications: Notifications,
  ) {
    this.#environment = environment;
    this.#db = db;
    this.#view = view;
    this.#notifications = notifications;
    this.#channel = environment.openChannel(`${environment.database}-shown`);
    if (this.#channel !== undefined) this.#channel.onmessage = ({ data }) => this.#hear(data as Word);
  }

  close(): void {
    this.#channel?.close();
  }

  /** Something of theirs has come, and is kept. */
  async arrived(id: Aor): Promise<void> {
    // What comes while the tabs are asked is told with it.
    if (this.#asking.has(id)) return;
    const [shown, place] = await Promise.all([this.#isShown(id), this.#notifications.place()]);
    // Before the history is here, a new device is brought what is not news.
    if (place === undefined || (await this.#db.fact("newest")) === undefined) return;
    const message = (await this.#db.newest(id, LOOKED_AT)).find(({ unseen }) => unseen);
    if (message === undefined || this.#told.get(id) === message.id) return;
    const conversation = await this.#view.conversation(id);
    const { notifications: content } = await this.#db.readSettings(SETTINGS);
    const arrival = { message, conversation, shown, content, now: this.#environment.now() };
    const notice = noticeOf(arrival, this.#notifications.words);
    if (notice === undefined) return;
    this.#told.set(id, message.id);
    await place.showNotification(notice.title, notice.options);
    for (const one of await place.getNotifications({ tag: ANYBODY })) one.close();
    await this.#takeAway(); // it may have been read meanwhile
  }

  /** The conversations as they are now: where something has been read, its notification goes. */
  follow(conversations: readonly Pick<Conversation, "id" | "unread">[]): void {
    const unread = new Set(conversations.filter((one) => one.unread > 0).map(({ id }) => id));
    const before = this.#unread;
    this.#unread = unread;
    // At first too: the page may have been closed as soon as it was read.
    if (before === undefined || [...before].some((id) => !unread.has(id))) void this.#takeAway().catch(() => {});
  }

  async #takeAway(): Promise<void> {
    const place = await this.#notifications.place();
    for (const notification of (await place?.getNotifications()) ?? []) {
      const { data } = notification;
      if (typeof data === "string" && !(await this.#db.conversations.get(data))?.unread) notification.close();
    }
  }

  /** Whether any tab shows it: one that does answers. */
  async #isShown(id: Aor): Promise<boolean> {
    if (this.shown === id) return true;
    if (this.#channel === undefined) return false;
    const channel = this.#channel;
    const shown = await new Promise<boolean>((resolve) => {
      this.#asking.set(id, resolve);
      this.#environment.after(ANSWER_WITHIN, () => resolve(false));
      channel.postMessage({ asks: id } satisfies Word);
    });
    this.#asking.delete(id);
    return shown;
  }

  #hear(word: Word): void {
    if ("shows" in word) this.#asking.get(word.shows)?.(true);
    else if (this.shown === word.asks) this.#channel?.postMessage({ shows: word.asks } satisfies Word);
  }
}
