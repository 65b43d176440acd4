"""Codes, devices and configuration on a store in memory, with a clock that stands still and an SMS that arrives."""

import asyncio
import itertools

from contracts.store_values import ALICE, BOB, NOON, make_subscriber
from joyn.model.aor import Numbering
from joyn.model.device import CodeLimits
from joyn.protocol.config_document import understand
from joyn.services.provisioning.catalogue import Catalogue
from joyn.services.provisioning.codes import CodeRules, Codes
from joyn.services.provisioning.devices import Devices
from joyn.services.provisioning.documents import Service
from joyn.services.provisioning.provisioning import Asking, Policy, Provisioning
from joyn.store.sqlite import open_store
from stories import as_test

DAY = 86400.0
PHONE = {"vers": "0", "msisdn": "+33639980001", "terminal_vendor": "Acme", "terminal_model": "One"}
SERVICE = Service(
    domain="joyn.example",
    realm="joyn.example",
    pcscf=("sip.joyn.example:5061",),
    signalling="SIPoTLS",
    media="MSRPoTLS",
)


class Texts:
    """SMS that were sent; with `broken` none can be."""

    def __init__(self) -> None:
        self.sent = []
        self.broken = False

    async def send(self, to, text, *, port=0):
        if self.broken:
            raise OSError("no SMSC")
        self.sent.append((to, text, port))


class Setting:
    """What a test plays with."""

    def __init__(self, store) -> None:
        self.store = store
        self.sms = Texts()
        self.now = NOON
        self.names = itertools.count(1)
        self.signed_out = []
        self.rules = CodeRules(limits=CodeLimits(source_per_hour=4, all_per_minute=6))
        self.devices = Devices(
            store.devices,
            store.subscribers,
            realm="joyn.example",
            wall=lambda: self.now,
            make_id=lambda: f"d{next(self.names)}",
            make_secret=lambda: f"secret{next(self.names)}",
        )
        self.devices.on_signed_out = self.signed_out.append
        letters = itertools.cycle(range(10))
        self.codes = Codes(
            store.devices,
            self.sms,
            self.rules,
            text=lambda code: code,
            wall=lambda: self.now,
            pick=lambda alphabet: alphabet[next(letters)],
            make_cookie=lambda: f"cookie{next(self.names)}",
        )

    def server(self, catalogue="", **policy):
        """A configuration server."""
        values = {"version": 7, "validity": int(7 * DAY), "token_validity": int(30 * DAY), "configuration": "c1"}
        return Provisioning(
            self.store.subscribers,
            Numbering("FR", ("joyn.example",)),
            self.devices,
            self.codes,
            Catalogue.parse(catalogue),
            Policy(**values | policy),
            SERVICE,
            wall=lambda: self.now,
            make_secret=lambda: f"nonce{next(self.names)}",
        )

    async def code(self, aor=ALICE, **settings):
        """The cookie and the code of an SMS."""
        sending = await self.codes.send(aor, **settings)
        return sending.cookie, self.sms.sent[-1][1]


async def provision(setting, server, **parameters):
    """A phone that gets its first configuration: what it understands, and its TOKEN."""
    asked = await server.answer(asking(**parameters))
    assert (asked.status, asked.body) == (200, b"")
    name, cookie = asked.cookie
    code = setting.sms.sent[-1][1]
    extra = {"SMS_port": parameters["SMS_port"]} if "SMS_port" in parameters else {}
    got = await server.answer(Asking(parameters={"OTP": code} | extra, cookies={name: cookie}, secure=True))
    assert got.status == 200
    return understand(got.body), token_of(got.body)


def asking(**changes):
    """A phone's request over TLS."""
    return Asking(parameters=PHONE | changes, secure=True)


def token_of(body):
    """The TOKEN of a document, None when there is none."""
    _, found, rest = body.decode().partition('<parm name="token" value="')
    return rest.partition('"')[0] if found else None


def played(story):
    """A test of a story."""

    def test(**named):
        async def play():
            store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=print)
            try:
                for aor in (ALICE, BOB):
                    await store.subscribers.put(make_subscriber(aor, username=aor))
                await story(Setting(store), **named)
            finally:
                await store.close()

        asyncio.run(play())

    return as_test(story, test)
