/** What all parts of the interface share: the client, where the person is, and what lies over the page. */

import { createContext } from "svelte";
import type { Aor, Client, Conversation, Message, Settings, Undo } from "../client/model";
import { choose, type Key, type Language, say, speak, type Values } from "../i18n/index";
import { conversationPath, type Route, readRoute } from "./routes";

/** Design §4: how long Undo is offered. */
const UNDO_MS = 6000;
const NOTICE_MS = 4000;

export interface MenuItem {
  label: string;
  icon: string;
  run: () => void;
  danger?: boolean;
  /** A line before it. */
  apart?: boolean;
}

export interface Menu {
  label: string;
  items: MenuItem[];
  /** Where it opens: below an element, or at a point. */
  at: Element | { x: number; y: number };
  /** It begins where the element begins, rather than ending where that ends. */
  start?: boolean;
  /** The message whose quick reactions stand above the items. */
  reactTo?: Message;
}

export type Dialog =
  | { kind: "new" }
  | { kind: "forward"; message: Message }
  | { kind: "info"; message: Message; name: string }
  | { kind: "emoji"; pick: (emoji: string) => void }
  | { kind: "name"; id: Aor; name: string }
  | { kind: "files"; conversation: Aor; files: readonly File[]; sent: () => void }
  | { kind: "location"; conversation: Conversation; sent: () => void }
  | { kind: "viewer"; conversation: Conversation; message: string; reply?: (message: Message) => void }
  | { kind: "keys" }
  | { kind: "confirm"; title: string; text: string; verb: string; icon: string; run: () => void };

export interface Toast {
  id: number;
  text: string;
  undo?: Undo;
}

/** Whether a mouse or a finger leads here. */
export const coarse = (): boolean => matchMedia("(pointer: coarse)").matches;

export class App {
  readonly client: Client;
  route = $state.raw<Route>({ at: "chats" });
  narrow = $state(false);
  menu = $state.raw<Menu | undefined>();
  dialog = $state.raw<Dialog | undefined>();
  toasts = $state.raw<Toast[]>([]);
  searching = $state(false);
  /** Goes up with each catalogue, so that every text is said again. */
  #spoken = $state(0);
  #language: Language = "en";
  #toast = 0;
  /** How many steps of the history are ours to go back. */
  #depth = 0;

  constructor(client: Client) {
    this.client = client;
    this.#locate();
    const wide = matchMedia("(max-width: 719px)");
    this.narrow = wide.matches;
    wide.addEventListener("change", () => {
      this.narrow = wide.matches;
    });
    addEventListener("popstate", () => this.#locate());
    client.settings.subscribe((settings) => this.#wear(settings));
    client.session.subscribe((session) => {
      if (session.phase === "in") this.#brand(session.operator.theme);
    });
  }

  t = (key: Key, values?: Values): string => {
    this.#spoken;
    return say(key, values);
  };

  get language(): Language {
    this.#spoken;
    return this.#language;
  }

  /** Fetches the words before anything is shown. */
  async speak(wanted: string): Promise<void> {
    const language = choose(wanted && wanted !== "system" ? [wanted, ...navigator.languages] : navigator.languages);
    if (this.#spoken > 0 && language === this.#language) return;
    await speak(language);
    this.#language = language;
    this.#spoken += 1;
    document.documentElement.lang = language;
    remember({ language });
  }

  go(path: string, replace = false): void {
    const here = location.pathname + location.search;
    if (path !== here) {
      if (!replace) this.#depth += 1;
      history[replace ? "replaceState" : "pushState"]({ depth: this.#depth }, "", path);
    }
    this.#locate();
  }

  open(id: Aor, message?: string): void {
    this.searching = false;
    // From one conversation to the next is no step: Back leads to the list.
    this.go(conversationPath(id, false, message), this.route.at === "conversation");
  }

  back(): void {
    if (this.#depth > 0) history.back();
    else this.go(this.route.at === "conversation" && this.route.info ? conversationPath(this.route.id) : "/", true);
  }

  /** What was asked of the client and failed is said, once. */
  run(doing: Promise<unknown>): void {
    doing.catch(() => this.notice(this.t("common.problem")));
  }

  /** Opens a dialog over the page; another that was open is gone. */
  ask(dialog: Dialog): void {
    this.dialog = dialog;
  }

  notice(text: string): void {
    this.#show({ id: ++this.#toast, text }, NOTICE_MS);
  }

  /** Does it and offers to undo it. */
  undoable(text: string, doing: Promise<Undo>): void {
    this.run(doing.then((undo) => this.#show({ id: ++this.#toast, text, undo }, UNDO_MS)));
  }

  dismiss(id: number): void {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
  }

  #show(toast: Toast, time: number): void {
    this.toasts = [...this.toasts.slice(-1), toast];
    setTimeout(() => this.dismiss(toast.id), time);
  }

  #locate(): void {
    this.#depth = (history.state as { depth?: number } | null)?.depth ?? 0;
    this.route = readRoute(location.pathname, location.search);
  }

  #wear(settings: Settings): void {
    const { dataset } = document.documentElement;
    if (settings.theme === "system") delete dataset.theme;
    else dataset.theme = settings.theme;
    dataset.size = settings.textSize;
    remember({ theme: dataset.theme ?? "", size: settings.textSize });
    if (this.#spoken > 0) this.run(this.speak(settings.language));
  }

  #brand(theme: string): void {
    document.documentElement.dataset.operator = theme;
    remember({ operator: theme });
  }
}

/** Kept for public/first-paint.js. */
function remember(part: Record<string, string>): void {
  try {
    const look = JSON.parse(localStorage.getItem("joyn-look") ?? "{}") as Record<string, string>;
    localStorage.setItem("joyn-look", JSON.stringify({ ...look, ...part }));
  } catch {
    // Storage is closed: the next visit begins in the system's look.
  }
}

export const [useApp, setApp] = createContext<App>();
