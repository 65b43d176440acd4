import { start } from "./ui/start";

const { createClient } = await import("./client/index");
await start(createClient());

if ("serviceWorker" in navigator && import.meta.env.PROD) {
  void navigator.serviceWorker.register("/sw.js").catch(() => undefined);
}
