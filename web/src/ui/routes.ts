/** Design §2: the addresses of the interface. */

import type { Aor } from "../client/model";

export const SETTINGS_PAGES = [
  "profile",
  "privacy",
  "notifications",
  "appearance",
  "language",
  "data",
  "devices",
  "help",
] as const;
export type SettingsPage = (typeof SETTINGS_PAGES)[number];

export type Route =
  | { at: "chats" }
  | { at: "conversation"; id: Aor; info: boolean; message?: string }
  | { at: "contacts" }
  | { at: "settings"; page?: SettingsPage }
  | { at: "sign-in" };

/** Reads an address; one that says nothing is the list. */
export function readRoute(path: string, query = ""): Route {
  const [, first = "", second = "", third = ""] = path.split("/");
  if (first === "c" && second !== "") {
    const id = readId(second);
    const message = new URLSearchParams(query).get("m");
    if (id) return { at: "conversation", id, info: third === "info", ...(message ? { message } : {}) };
  }
  if (first === "contacts") return { at: "contacts" };
  if (first === "settings") {
    const page = SETTINGS_PAGES.find((name) => name === second);
    return page ? { at: "settings", page } : { at: "settings" };
  }
  return first === "sign-in" ? { at: "sign-in" } : { at: "chats" };
}

function readId(part: string): Aor | undefined {
  try {
    const id = decodeURIComponent(part);
    return id.startsWith("+") ? `tel:${id}` : id;
  } catch {
    return undefined;
  }
}

/** A telephone number is written as such, any other address in full. */
export function conversationPath(id: Aor, info = false, message?: string): string {
  const part = /^tel:\+\d+$/.test(id) ? id.slice(4) : encodeURIComponent(id);
  return `/c/${part}${info ? "/info" : ""}${message ? `?m=${encodeURIComponent(message)}` : ""}`;
}
