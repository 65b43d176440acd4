/** Web push: the browser's permission, its subscription, and the node told of it. Spec: RFC 8030, RFC 8292. */

import type { Http } from "./http";
import type { NotificationState } from "./model";
import type { Words } from "./notifier";
import { Held } from "./store";

type Registration = Pick<ServiceWorkerRegistration, "pushManager" | keyof NotificationPlace>;

/** The part of the browser that is used. */
export interface PushSurroundings {
  permission(): NotificationPermission;
  ask(): Promise<NotificationPermission>;
  /** Resolves when there is a service worker, which may be never. */
  registration(): Promise<Registration>;
  /** What there is of one now. */
  registered(): Promise<Registration | undefined>;
  words: Words;
}

/** Where notifications are shown: on a phone only a service worker can. */
export type NotificationPlace = Pick<ServiceWorkerRegistration, "showNotification" | "getNotifications">;

export class Notifications {
  readonly state: Held<NotificationState>;
  readonly #http: Pick<Http, "pushKey" | "setPush">;
  readonly #surroundings: PushSurroundings | undefined;

  constructor(http: Pick<Http, "pushKey" | "setPush">, surroundings: PushSurroundings | undefined) {
    this.#http = http;
    this.#surroundings = surroundings;
    this.state = new Held<NotificationState>(surroundings === undefined ? "unsupported" : "ask");
    if (surroundings?.permission() === "denied") this.state.set("off");
  }

  /** After signing in: the subscription of an earlier time is told again, since the node may have forgotten it. */
  async resume(): Promise<void> {
    const surroundings = this.#surroundings;
    if (surroundings?.permission() !== "granted") return;
    const { pushManager } = await surroundings.registration();
    if ((await pushManager.getSubscription()) !== null) await this.#subscribe();
  }

  /** Where to show notifications while they are on, whichever tab switched them on. */
  async place(): Promise<NotificationPlace | undefined> {
    if (this.#surroundings?.permission() !== "granted") return undefined;
    const registration = await this.#surroundings.registration();
    return (await registration.pushManager.getSubscription()) === null ? undefined : registration;
  }

  get words(): Words {
    return this.#surroundings?.words ?? { newMessages: () => "", gist: ({ text }) => text };
  }

  /** Asks the person; false when they, or the browser, say no. Rejects with HttpProblem. */
  async enable(): Promise<boolean> {
    if (this.#surroundings === undefined) return false;
    if ((await this.#surroundings.ask()) !== "granted") {
      this.state.set(this.#surroundings.permission() === "denied" ? "off" : "ask");
      return false;
    }
    return this.#subscribe();
  }

  /** The device is signed out: the browser forgets the subscription, and nothing more of anybody is shown. */
  async forget(): Promise<void> {
    if (this.#surroundings?.permission() !== "granted") return;
    const registration = await this.#surroundings.registered();
    for (const notification of (await registration?.getNotifications()) ?? []) notification.close();
    await (await registration?.pushManager.getSubscription())?.unsubscribe();
    this.state.set("ask");
  }

  async #subscribe(): Promise<boolean> {
    const surroundings = this.#surroundings as PushSurroundings;
    const applicationServerKey = await this.#http.pushKey();
    const { pushManager } = await surroundings.registration();
    const subscription = await pushManager
      .subscribe({ userVisibleOnly: true, applicationServerKey })
      .catch(() => undefined);
    const { endpoint, keys } = subscription?.toJSON() ?? {};
    if (!endpoint || !keys?.p256dh || !keys.auth) return false;
    await this.#http.setPush({ endpoint, keys: { p256dh: keys.p256dh, auth: keys.auth } });
    this.state.set("on");
    return true;
  }
}

/** The browser's own, where there is push at all. */
export function browserPush(words: Words): PushSurroundings | undefined {
  if (typeof Notification === "undefined" || !("PushManager" in globalThis) || !navigator.serviceWorker) {
    return undefined;
  }
  return {
    permission: () => Notification.permission,
    ask: () => Notification.requestPermission(),
    registration: () => navigator.serviceWorker.ready,
    registered: () => navigator.serviceWorker.getRegistration(),
    words,
  };
}
