/**
 * The service worker: keeps the client's files, so that it starts without a network, and shows notifications.
 *
 * A push says no more than that something waits (the node sends `{"wake":"messages"}`). A page that is open fetches
 * it; with none open, or none looked at, a notification says that there are messages, without a word of them. What a
 * page knows of them it says in notifications of its own (client/notifier.ts), whose data is the conversation.
 */

const worker = globalThis as unknown as ServiceWorkerGlobalScope;

// Both are put in by the build (vite.config.ts): the client's files, and a name for this set of them.
const FILES = "joyn:files" as unknown as string[];
const CACHE = "client-joyn:version";
const PAGE = "/";
/** What keeps its name from one version to the next. */
const FIXED = [PAGE, "/icons.svg", "/icon.svg", "/first-paint.js", "/manifest.webmanifest"];

const WORDS: Record<string, string> = {
  de: "Neue Nachrichten",
  en: "New messages",
  es: "Mensajes nuevos",
  fr: "Nouveaux messages",
  it: "Nuovi messaggi",
  pt: "Novas mensagens",
};

worker.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll([...FIXED, ...FILES]))
      .then(() => worker.skipWaiting()),
  );
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => worker.clients.claim()),
  );
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== worker.location.origin) return;
  const path = url.pathname;
  if (path.startsWith("/assets/")) event.respondWith(kept(request));
  else if (request.mode === "navigate" && ours(path)) event.respondWith(fresh(request, PAGE));
  else if (FIXED.includes(path)) event.respondWith(fresh(request, path));
});

/** The addresses that the client shows itself (design §2); a demo's stage or an operator's console is not among them. */
function ours(path: string): boolean {
  return /^\/($|c\/|contacts$|settings(\/|$)|sign-in$)/.test(path);
}

/** Assets have their hash in their name: what is kept is right for ever. */
async function kept(request: Request): Promise<Response> {
  return (await caches.match(request)) ?? fetch(request);
}

/** From the network, so that a new version is seen at once; without one, what is kept. */
async function fresh(request: Request, name: string): Promise<Response> {
  try {
    const answer = await fetch(request);
    if (answer.ok) await (await caches.open(CACHE)).put(name, answer.clone());
    return answer;
  } catch (error) {
    const found = await caches.match(name);
    if (found) return found;
    throw error;
  }
}

worker.addEventListener("push", (event) => {
  event.waitUntil(tell());
});

/** One notification for all, replaced by the next; none while the person looks at the page. */
async function tell(): Promise<void> {
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const page of pages) page.postMessage({ wake: "messages" });
  if (pages.some((page) => page.focused)) return;
  const language = worker.navigator.language.slice(0, 2);
  await worker.registration.showNotification("joyn", {
    body: WORDS[language] ?? (WORDS.en as string),
    icon: "/icon-192.png",
    badge: "/icon-192.png",
    tag: "joyn-messages",
  });
}

worker.addEventListener("notificationclick", (event) => {
  const { notification } = event;
  notification.close();
  event.waitUntil(show(typeof notification.data === "string" ? notification.data : undefined));
});

/** The page that is open already, as it is, so that nothing half done there is lost; else a new one. */
async function show(conversation?: string): Promise<void> {
  const pages = await worker.clients.matchAll({ type: "window" });
  const page = pages.find(({ url }) => ours(new URL(url).pathname));
  if (page) {
    if (conversation !== undefined) page.postMessage({ open: conversation });
    await page.focus();
  } else {
    await worker.clients.openWindow(conversation === undefined ? PAGE : pathOf(conversation));
  }
}

/** As ui/routes.ts writes it; a worker of one file imports nothing. */
function pathOf(conversation: string): string {
  return `/c/${/^tel:\+\d+$/.test(conversation) ? conversation.slice(4) : encodeURIComponent(conversation)}`;
}
