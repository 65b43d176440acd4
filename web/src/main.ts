import { start } from "./ui/start.ts";

const { createClient } = await import("./client/index.ts");
await start(createClient());

if ("serviceWorker" in navigator && import.meta.env.PROD) {
  void navigator.serviceWorker.register("/sw.js").catch(() => undefined);
}
