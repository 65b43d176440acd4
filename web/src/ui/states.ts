/**
 * Every state of the interface over the scripted client: states.html?state=<name>&theme=dark&lang=fr&operator=orange.
 * Built beside the client for browser tests and pictures; nothing links to it.
 */

import type { Session } from "../client/model";
import type { App } from "./context.svelte";
import * as fixtures from "./fixtures";
import { conversationPath } from "./routes";
import { Scripted } from "./scripted";
import { start } from "./start";

const NUMBER = "+33 6 39 98 00 01";
const [camille, , jonas, lucia, ana, lea, keller] = fixtures.people.map(({ id }) => conversationPath(id));
const lucias = fixtures.people[3]?.id ?? "";
const long = fixtures.people[3]?.id ?? "";
const provisioning = { phase: "provisioning", number: NUMBER, operator: "joyn", step: "settings" } as const;

interface State {
  path?: string;
  session?: Session;
  empty?: boolean;
  /** Before the interface starts. */
  before?: (client: Scripted) => void;
  /** Once it is there. */
  after?: (app: App) => void | Promise<void>;
}

/** A photo of noise, as large as photos are. */
async function drawing(name: string, side: number): Promise<File> {
  const canvas = new OffscreenCanvas(side, side / 2);
  const context = canvas.getContext("2d");
  for (let at = 0; context && at < 400; at++) {
    context.fillStyle = `hsl(${(at * 47) % 360} 60% 60%)`;
    context.fillRect((at * 173) % side, (at * 71) % (side / 2), side / 8, side / 8);
  }
  return new File([await canvas.convertToBlob({ type: "image/jpeg" })], name, { type: "image/jpeg" });
}

/** What the browser says when it is asked where it is; undefined when it may not say it. */
function standAt(coords: Pick<GeolocationCoordinates, "latitude" | "longitude" | "accuracy"> | undefined): void {
  navigator.geolocation.getCurrentPosition = (found, failed) => {
    if (coords) found({ coords, timestamp: Date.now() } as GeolocationPosition);
    else failed?.({ code: 1, PERMISSION_DENIED: 1 } as GeolocationPositionError);
  };
}

const states: Record<string, State> = {
  number: { session: { phase: "number" } },
  "bad-number": { session: { phase: "number", problem: "bad-number" } },
  "too-many": { session: { phase: "number", problem: "too-many", until: fixtures.at(14, 50) } },
  code: { session: { phase: "code", number: NUMBER, again: Date.now() + 24_000 } },
  "code-wrong": {
    session: { phase: "code", number: NUMBER, again: Date.now() + 24_000, problem: "wrong", triesLeft: 2 },
  },
  "code-expired": { session: { phase: "code", number: NUMBER, again: 0, problem: "expired" } },
  locked: { session: { phase: "locked", number: NUMBER, until: fixtures.at(14, 50) } },
  terms: {
    session: {
      phase: "terms",
      number: NUMBER,
      terms: {
        title: "Terms of use",
        text: "By going on you accept the terms of the service.\n\nThey are short.",
        accept: true,
        reject: true,
      },
    },
  },
  provisioning: { session: { ...provisioning, slow: "no" } },
  "provisioning-slow": { session: { ...provisioning, step: "connecting", slow: "retry" } },
  "not-eligible": { session: { phase: "not-eligible", number: NUMBER } },
  "operator-unknown": { session: { phase: "operator-unknown", number: NUMBER } },
  "signed-out": { session: { phase: "signed-out-elsewhere" } },
  starting: { session: { phase: "starting" } },
  empty: { empty: true },
  list: {},
  conversation: { path: camille ?? "" },
  unread: { path: jonas ?? "" },
  stored: { path: ana ?? "" },
  delivery: { path: lea ?? "" },
  "not-on-joyn": { path: keller ?? "" },
  stranger: { path: "/c/+33639980009" },
  new: { path: "/c/+33639980077" },
  blocked: { path: jonas ?? "", before: (client) => void client.block(fixtures.people[2]?.id ?? "", true) },
  offline: {
    path: camille ?? "",
    before: (client) => client.connection.set({ state: "offline", since: Date.now() - 20_000 }),
  },
  many: { path: conversationPath(long), before: (client) => client.put(long, fixtures.many(long, 10_000)) },
  files: { path: lucia ?? "", before: (client) => client.putFiles(lucias) },
  albums: { path: lucia ?? "", before: (client) => client.putFiles(lucias, fixtures.albums(lucias)) },
  "dialog-files": {
    path: lucia ?? "",
    after: async (app) => {
      const files = [await drawing("coast.jpg", 2000), new File(["%PDF"], "layout.pdf", { type: "application/pdf" })];
      app.ask({ kind: "files", conversation: lucias, files, sent: () => undefined });
    },
  },
  voice: { path: lucia ?? "", before: (client) => client.putFiles(lucias, fixtures.voices(lucias)) },
  location: {
    path: lucia ?? "",
    before: (client) =>
      client.putFiles(
        lucias,
        fixtures.places(lucias).map((message) => ({ message })),
      ),
  },
  "menu-attach": {
    path: lucia ?? "",
    after: () => document.querySelector<HTMLElement>("form [aria-haspopup=menu]")?.click(),
  },
  "dialog-location": {
    path: lucia ?? "",
    before: () => standAt({ latitude: 48.1035, longitude: -1.6725, accuracy: 25 }),
    after: (app) => app.ask({ kind: "location", conversation: fixtures.conversation("Lucía Ortega"), sent: () => {} }),
  },
  "dialog-location-blocked": {
    path: lucia ?? "",
    before: () => standAt(undefined),
    after: (app) => app.ask({ kind: "location", conversation: fixtures.conversation("Lucía Ortega"), sent: () => {} }),
  },
  "dialog-viewer": {
    path: lucia ?? "",
    before: (client) => client.putFiles(lucias),
    after: (app) => {
      const conversation = fixtures.conversation("Lucía Ortega");
      let first = "";
      app.client.photos(lucias).subscribe(([one]) => {
        first ||= one?.id ?? "";
      });
      app.ask({ kind: "viewer", conversation, message: first });
    },
  },
  info: { path: `${camille}/info` },
  contacts: { path: "/contacts" },
  "dialog-new": { after: (app) => app.ask({ kind: "new" }) },
  "dialog-keys": { after: (app) => app.ask({ kind: "keys" }) },
  "dialog-emoji": { path: camille ?? "", after: (app) => app.ask({ kind: "emoji", pick: () => undefined }) },
  ...Object.fromEntries(
    ["", "profile", "privacy", "notifications", "appearance", "language", "data", "devices", "help"].map((page) => [
      `settings${page && "-"}${page}`,
      { path: `/settings${page && "/"}${page}` },
    ]),
  ),
};

const asked = new URLSearchParams(location.search);
const state = states[asked.get("state") ?? "list"] ?? {};
const client = new Scripted();
if (!state.empty) client.fill();
state.before?.(client);
const theme = asked.get("theme");
const operator = asked.get("operator");
const session = client.session.get();
if (state.session) client.session.set(state.session);
else if (operator && session.phase === "in")
  client.session.set({ ...session, operator: { ...session.operator, theme: operator } });
client.settings.set({
  ...client.settings.get(),
  language: asked.get("lang") ?? "en",
  ...(theme === "dark" || theme === "light" ? { theme } : {}),
});
document.documentElement.dir = asked.get("dir") ?? "ltr";
history.replaceState(null, "", state.path ?? "/");
const app = await start(client);
await state.after?.(app);
// For tests that let somebody write while the page is open.
Object.assign(globalThis, { scripted: client, states: Object.keys(states) });
