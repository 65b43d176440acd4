import { start } from "./ui/start";

const { createClient } = await import("./client/index");
const app = await start(createClient());

// A notification was clicked (worker/sw.ts): its conversation opens in this page, which stays as it is.
navigator.serviceWorker?.addEventListener("message", ({ data }: MessageEvent<{ open?: string }>) => {
  if (data.open !== undefined) app.open(data.open);
});

if ("serviceWorker" in navigator && import.meta.env.PROD) {
  void navigator.serviceWorker.register("/sw.js").catch(() => undefined);
}
