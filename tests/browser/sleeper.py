"""A browser that is woken and notified: what stands in for its push service, and what its service worker shows.

Chromium reaches no push service here. So the page's PushManager hands out a subscription at a push service of the
test's own, with the keys of RFC 8291's example; what arrives there is given to the service worker by the browser's
developer protocol, as a push service's message would be.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from browser.people import PATIENCE, Person, Place
from joyn.services.push.encryption import from_b64url
from phone.node import BOB, CAROL, make_phone
from services.push.test_encryption import decrypt, private, vector
from waiting import until

KEYS = vector("rfc8291-watermelon")["value"]

SUBSCRIPTION = """
  ([endpoint, p256dh, auth]) => {
    const kept = "test-push";
    const subscription = {
      toJSON: () => ({ endpoint, keys: { p256dh, auth } }),
      unsubscribe: async () => { localStorage.removeItem(kept); return true; },
    };
    PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
      localStorage.setItem(kept, applicationServerKey);
      return subscription;
    };
    PushManager.prototype.getSubscription = async () => localStorage.getItem(kept) === null ? null : subscription;
    globalThis.woken = 0;
    navigator.serviceWorker.addEventListener("message", () => { woken++; });
  }
"""

CLICK = """
  async () => {
    // A window is opened or focused for a real click only, which the protocol cannot make: what would be is noted.
    const done = [];
    const { openWindow } = Clients.prototype, { focus } = WindowClient.prototype;
    Clients.prototype.openWindow = async (url) => { done.push(`open ${url}`); return null; };
    WindowClient.prototype.focus = async function () { done.push(`focus ${new URL(this.url).pathname}`); return this; };
    const [notification] = await registration.getNotifications();
    const event = new NotificationEvent("notificationclick", { notification });
    let work;
    event.waitUntil = (promise) => { work = promise; };
    dispatchEvent(event);
    await work;
    Object.assign(Clients.prototype, { openWindow });
    Object.assign(WindowClient.prototype, { focus });
    return done;
  }
"""

SHOWN = "registration.getNotifications().then((all) => all.map(({ title, body, data }) => ({ title, body, data })))"

CAUGHT_UP = """
  () => new Promise((done, failed) => {
    const opening = indexedDB.open("joyn");
    opening.onerror = () => failed(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const asking = database.transaction("facts").objectStore("facts").get("newest");
      asking.onerror = () => failed(asking.error);
      asking.onsuccess = () => { database.close(); done(asking.result !== undefined); };
    };
  })
"""


class Call(NamedTuple):
    """A request to the push service."""

    path: str
    headers: Message
    body: bytes

    def read(self) -> bytes:
        """What the browser makes of the body (RFC 8291), the delimiter of RFC 8188 §2 taken off."""
        plain: bytes = decrypt(self.body, private(KEYS["browser_private"]), from_b64url(KEYS["auth"]))
        assert plain.endswith(b"\x02")
        return plain[:-1]


class PushService:
    """A push service on loopback, in a thread of its own: Playwright has the test's. Notes who is called."""

    def __init__(self) -> None:
        calls: queue.Queue[Call] = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                calls.put(Call(self.path, self.headers, body))
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is its parent's
                """Requests are not worth a line."""

        self.calls = calls
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Nobody is served any more."""
        self._server.shutdown()
        self._server.server_close()

    def call(self) -> Call:
        """The next request; raises queue.Empty when none comes."""
        return self.calls.get(timeout=PATIENCE / 1000)


class Sleeper(Person):
    """Carol, whose browser has a subscription to give, and a service worker that can be looked into."""

    def __init__(self, chromium: Any, place: Place, endpoint: str) -> None:
        super().__init__(chromium, place, CAROL)
        self.context.grant_permissions(["notifications"], origin=place.url)
        keys = [endpoint, KEYS["p256dh"], KEYS["auth"]]
        # The developer protocol is spoken through a page that is none of the client's.
        self._desk = self.context.new_page()
        self.context.add_init_script(f"if (location.protocol === 'http:') ({SUBSCRIPTION})({keys})")
        self._registrations: list[dict[str, Any]] = []
        self._protocol = self.context.new_cdp_session(self._desk)
        self._protocol.on("ServiceWorker.workerRegistrationUpdated", self._registered)
        self._protocol.send("ServiceWorker.enable")

    def _registered(self, event: dict[str, Any]) -> None:
        self._registrations = [one for one in event["registrations"] if not one["isDeleted"]]

    def switch_on(self) -> None:
        """Notifications, in the settings, and the history is here: what comes before it is no news on a new device."""
        self.page.goto(f"{self.place.url}/settings/notifications")
        self.page.get_by_role("button", name="Turn on").click()
        self.page.get_by_text("On", exact=True).wait_for()
        self.until(lambda: self.page.evaluate(CAUGHT_UP), "the history is here")

    def sleep(self) -> None:
        """The last page is closed."""
        self.page.close()
        self.until(lambda: self.worker("clients.matchAll().then((all) => all.length)") == 0, "no page is left")

    def wake(self, data: bytes) -> None:
        """A push message comes from the push service."""
        [registration] = self._registrations
        which = {"origin": self.place.url, "registrationId": registration["registrationId"]}
        self._protocol.send("ServiceWorker.deliverPushMessage", which | {"data": data.decode()})

    def worker(self, script: str) -> Any:
        """What a script finds in the service worker."""
        [worker] = self.context.service_workers
        return worker.evaluate(script)

    def until(self, condition: Any, what: Any) -> None:
        """As of everybody, also when no page is open."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not condition():
            assert time.monotonic() < deadline, what if isinstance(what, str) else what()
            self._desk.wait_for_timeout(50)


def written(place: Place, text: str, *, by: str = BOB, to: str = CAROL, until_stored: bool = False) -> None:
    """Bob writes to Carol from a phone; returns once the node has the message, or says that it keeps it for later."""

    async def write() -> None:
        async with make_phone(place.servers, by) as phone:
            sent = await phone.send(to, text, mode="pager", request=("processing", "positive-delivery"))
            if until_stored:
                await until(lambda: sent.reached("stored"))

    # Playwright keeps an event loop running in the thread of its tests.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, write()).result()
