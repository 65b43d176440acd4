/** The engine behind the user interface. See `model.ts` for what it does, `client.ts` for how it is put together. */

import { say } from "../i18n/index";
import { inShort } from "../i18n/said";
import { JoynClient } from "./client";
import { browserEnvironment, describeDevice } from "./environment";
import type { Client } from "./model";
import { browserPush } from "./notifications";

/** The client of this page; it starts by itself. */
export function createClient(): Client {
  const client = new JoynClient({
    environment: browserEnvironment(),
    // SIP is a third of what the client weighs, and the first painting does not need it.
    loadSip: async () => (await import("./sip")).makeSipJs,
    push: browserPush({
      newMessages: (count) => say("notifications.new", { count }),
      gist: (message) => inShort(message, say),
    }),
    device: describeDevice(navigator.userAgent),
  });
  window.addEventListener("offline", () => client.cut());
  window.addEventListener("online", () => client.reconnect());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") client.reconnect();
  });
  // The service worker was woken: something waits for a page that has no connection (worker/sw.ts).
  if ("serviceWorker" in navigator) navigator.serviceWorker.addEventListener("message", () => client.reconnect());
  window.addEventListener("pagehide", ({ persisted }) => {
    if (!persisted) client.close();
  });
  void client.start();
  return client;
}
