"""What a device gets in pager mode: CPIM as it was sent, or bare text for a client that knows none."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from joyn.model.aor import Aor, Numbering
from joyn.model.binding import Binding
from joyn.model.message import Entry, EntryKind, Message, State
from joyn.protocol.sip.message import SipRequest
from joyn.services.messaging.delivery import Attempts, Outcome, outcome_of
from joyn.services.messaging.identity import IdentityHeaders
from joyn.services.messaging.pager import MAX_IN_DATAGRAM, Pager
from joyn.transport.sip import Endpoint, Flow

ALICE, BOB = Aor("tel:+33639980001"), Aor("tel:+33639980002")
CPIM = (
    b"From: <sip:anonymous@anonymous.invalid>\r\nTo: <sip:anonymous@anonymous.invalid>\r\n\r\n"
    b"Content-type: text/plain;charset=UTF-8\r\n\r\nsalut"
)
PLAIN, RCS = "", ";+g.oma.sip-im"
NAMES: dict[Aor, str] = {}


def message_to(parameters: str) -> SipRequest:
    """The MESSAGE that goes to a device which registered these Contact parameters."""
    sent, _ = attempt(parameters, make_entry())
    return sent[0]


def attempt(parameters: str, entry: Entry, transport: str = "UDP") -> tuple[list[SipRequest], Outcome | None]:
    """What is sent to such a device for an entry, and how the attempt has ended if it has."""
    sent: list[SipRequest] = []
    endpoint = SimpleNamespace(
        make_tag=lambda: "tag",
        make_call_id=lambda: "call",
        send_request=lambda flow, request, on_response, key: sent.append(request),
    )
    flow = SimpleNamespace(listener=SimpleNamespace(transport=transport, sent_by="127.0.0.1:5060"))
    identity = IdentityHeaders(Numbering("FR", ("joyn.localhost",)), endpoint.make_tag, lambda aor: NAMES.get(aor, ""))
    pager = Pager(cast(Endpoint, endpoint), identity, Attempts(lambda: 0.0), lambda binding: cast(Flow, flow))
    binding = Binding(
        aor=BOB,
        instance="",
        reg_id=0,
        contact="sip:bob@127.0.0.1:5070",
        parameters=parameters,
        node="n",
        flow="udp|udp|127.0.0.1|5070",
        call_id="c",
        cseq=1,
        expires_at=3600.0,
        registered_at=0.0,
    )

    async def begin() -> Outcome | None:
        done = pager.begin(binding, entry, deferred=False).done
        return done.result() if done.done() else None

    outcome = asyncio.run(begin())
    return sent, outcome


def make_entry(cpim: bytes = CPIM) -> Entry:
    times: dict[str, Any] = {"accepted_at": 0.0, "deliver_until": 60.0, "retain_until": 60.0}
    message = Message(
        sender=ALICE, conversation=BOB, message_id="m", content_type="text/plain", cpim=cpim, digest=b"", **times
    )
    return Entry(mailbox=BOB, seq=1, kind=EntryKind.INCOMING, instance="", state=State.PENDING, message=message)


def test_an_rcs_device_gets_the_cpim_as_it_was_sent() -> None:
    request = message_to(RCS)
    assert (request.header("content-type"), request.body) == ("message/cpim", CPIM)


def test_a_plain_client_gets_bare_text() -> None:
    request = message_to(PLAIN)
    assert (request.header("content-type"), request.body) == ("text/plain;charset=UTF-8", b"salut")


@pytest.mark.parametrize(
    ("parameters", "to"), [(RCS, "<tel:+33639980002>"), (PLAIN, "<sip:+33639980002@joyn.localhost;user=phone>")]
)
def test_a_plain_client_is_called_by_a_sip_uri_which_is_all_it_reads(parameters: str, to: str) -> None:
    assert message_to(parameters).header("to") == to


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("Alice", '"Alice" '),
        ('Al "the" Ice\\', '"Al the Ice" '),
        ('x" <tel:+33639980002>', '"x tel:+33639980002" '),
        ("Élodie 🎈", '"Élodie 🎈" '),
        ("A\r\nX-Evil: 1", '"AX-Evil: 1" '),
        ("\u202egnp", '"gnp" '),
        ("\r\n", ""),
    ],
)
def test_a_sender_is_called_what_they_call_themselves(monkeypatch: pytest.MonkeyPatch, name: str, shown: str) -> None:
    monkeypatch.setitem(NAMES, ALICE, name)
    request = message_to(RCS)
    sip = "<sip:+33639980001@joyn.localhost;user=phone>"
    assert request.header("from") == f"{shown}{sip};tag=tag"
    assert request.header("p-asserted-identity") == f"{shown}<{ALICE}>, {shown}{sip}"
    assert request.header("x-evil") is None


@pytest.mark.parametrize(("transport", "sent", "outcome"), [("UDP", 0, Outcome.REFUSED), ("TCP", 1, None)])
def test_what_does_not_fit_a_datagram_is_not_tried_over_udp(transport: str, sent: int, outcome: Outcome | None) -> None:
    requests, ended = attempt(PLAIN, make_entry(CPIM + bytes(MAX_IN_DATAGRAM)), transport)
    assert (len(requests), ended) == (sent, outcome)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.TAKEN),
        (202, Outcome.LATER),
        (302, Outcome.LATER),
        (403, Outcome.REFUSED),
        (480, Outcome.LATER),
        (503, Outcome.LATER),
        (603, Outcome.REFUSED),
    ],
)
def test_what_a_device_s_answer_means(status: int, outcome: Outcome) -> None:
    assert outcome_of(status, local=False) is outcome
    assert outcome_of(status, local=True) is Outcome.GONE
