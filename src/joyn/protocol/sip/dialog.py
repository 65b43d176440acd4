"""Dialogs: what both ends remember so that requests inside a session find their way.

Spec: RFC 3261 §12 (also early dialogs, loose and strict routing), §13.2.2.4.
Pure: made from messages of either side, makes requests; the caller brings Via and the other headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.building import build_request
from joyn.protocol.sip.headers import parse_name_addr, parse_name_addrs, parse_route_set
from joyn.protocol.sip.message import Headers, SipMessage, SipRequest, SipResponse
from joyn.protocol.sip.uri import SipUri, parse_uri

# RFC 3261 §12.2, RFC 3311 §5.1, RFC 6665 §3.1 and §4.4.1, RFC 3515 §4: requests whose Contact replaces the target.
_TARGET_REFRESH = frozenset(("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"))


@dataclass(frozen=True, slots=True)
class DialogId:
    """What names a dialog at our end (RFC 3261 §12). A tag is empty for a peer of RFC 2543, which sends none."""

    call_id: str
    local_tag: str
    remote_tag: str

    @classmethod
    def of_request(cls, request: SipRequest) -> DialogId:
        """The dialog a received request belongs to. Raises ParseError when From or To cannot be read."""
        return cls(request.call_id, _tag(request, "to"), _tag(request, "from"))

    @classmethod
    def of_response(cls, response: SipResponse) -> DialogId:
        """The dialog a received response belongs to. Raises ParseError when From or To cannot be read."""
        return cls(response.call_id, _tag(response, "from"), _tag(response, "to"))


class Dialog:
    """One dialog, early or confirmed, seen from our end.

    `local` and `remote` are the From and To values of our requests without tags, `remote_target` a URI, `route_set` one
    text per hop in the order our requests visit them, `local_seq` and `remote_seq` the last CSeq numbers (None: none
    yet), `early` whether no 2xx has been seen.
    """

    __slots__ = (
        "dialog_id",
        "early",
        "invite_seq",
        "local",
        "local_seq",
        "remote",
        "remote_seq",
        "remote_target",
        "route_set",
    )

    def __init__(self, dialog_id: DialogId, *, local: str, remote: str, remote_target: str, early: bool) -> None:
        self.dialog_id = dialog_id
        self.local = local
        self.remote = remote
        self.remote_target = remote_target
        self.early = early
        self.route_set: list[str] = []
        self.local_seq: int | None = None
        self.remote_seq: int | None = None
        self.invite_seq: int | None = None

    @classmethod
    def of_client(cls, request: SipRequest, response: SipResponse) -> Dialog:
        """The dialog that a 101 to 299 opens at the end that sent the request (RFC 3261 §12.1.2). Raises ParseError."""
        target = _contact(response)
        if target is None:
            raise ParseError("response that opens a dialog has no Contact", len(response.raw_head))
        dialog = cls(
            DialogId.of_response(response),
            local=_address(request, "from"),
            remote=_address(request, "to"),
            remote_target=target,
            early=response.status < 200,
        )
        dialog.route_set = parse_route_set(response.headers("record-route"))[::-1]
        dialog.local_seq = request.cseq[0]
        dialog.invite_seq = request.cseq[0] if request.method == "INVITE" else None
        return dialog

    @classmethod
    def of_server(cls, request: SipRequest, local_tag: str, *, early: bool = False) -> Dialog:
        """The dialog that our 101 to 299 to this request opens, tagged `local_tag` (RFC 3261 §12.1.1). ParseError."""
        target = _contact(request)
        if target is None:
            raise ParseError("request that opens a dialog has no Contact", len(request.raw_head))
        dialog = cls(
            DialogId(request.call_id, local_tag, _tag(request, "from")),
            local=_address(request, "to"),
            remote=_address(request, "from"),
            remote_target=target,
            early=early,
        )
        dialog.route_set = parse_route_set(request.headers("record-route"))
        dialog.remote_seq = request.cseq[0]
        return dialog

    def matches(self, request: SipRequest) -> bool:
        """Whether a received request is inside this dialog. Raises ParseError."""
        return DialogId.of_request(request) == self.dialog_id

    def confirm(self, response: SipResponse | None = None) -> None:
        """A 2xx was received (give it) or sent (None): no longer early. Raises ParseError.

        RFC 3261 §13.2.2.4: the route set of an early dialog is taken anew from the 2xx, later it never changes.
        """
        if response is not None:
            if self.early:
                self.route_set = parse_route_set(response.headers("record-route"))[::-1]
            self.remote_target = _contact(response) or self.remote_target
        self.early = False

    def receive(self, request: SipRequest) -> bool:
        """Take note of a request inside the dialog; False when it is out of order, to be answered 500.

        RFC 3261 §12.2.2: its CSeq must be greater than the last; ACK and CANCEL carry that of their INVITE. Raises
        ParseError.
        """
        number = request.cseq[0]
        if request.method in ("ACK", "CANCEL"):
            return True
        if self.remote_seq is not None and number <= self.remote_seq:
            return False
        if request.method in _TARGET_REFRESH:
            self.remote_target = _contact(request) or self.remote_target
        self.remote_seq = number
        return True

    def refreshed(self, response: SipResponse) -> None:
        """A 2xx to a target refresh request of ours has come: go by its Contact from now on. Raises ParseError."""
        self.remote_target = _contact(response) or self.remote_target

    def request(self, method: str, headers: Headers = (), body: bytes = b"") -> SipRequest:
        """A request inside the dialog (RFC 3261 §12.2.1.1). `headers` must hold a Via, which is put on top.

        The CSeq goes up by one, except that an ACK takes that of the last INVITE.
        """
        if method == "ACK":
            number = self.invite_seq or self.local_seq or 1
        else:
            number = self.local_seq = (self.local_seq or 0) + 1
            if method == "INVITE":
                self.invite_seq = number
        uri, routes = self.remote_target, self.route_set
        if routes and not _is_loose(routes[0]):
            # §12.2.1.1: a strict router wants its own address as Request-URI, and the target at the end of the route.
            uri, routes = parse_name_addr(routes[0]).uri, [*routes[1:], f"<{self.remote_target}>"]
        given = list(headers)
        lines = [(name, value) for name, value in given if name.lower() == "via"]
        if not any(name.lower() == "max-forwards" for name, _ in given):
            lines.append(("Max-Forwards", "70"))
        lines += [("Route", route) for route in routes]
        lines += [
            ("From", _tagged(self.local, self.dialog_id.local_tag)),
            ("To", _tagged(self.remote, self.dialog_id.remote_tag)),
            ("Call-ID", self.dialog_id.call_id),
            ("CSeq", f"{number} {method}"),
        ]
        lines += [(name, value) for name, value in given if name.lower() != "via"]
        return build_request(method, uri, lines, body)


@lru_cache(1024)
def _is_loose(route: str) -> bool:
    uri = parse_uri(parse_name_addr(route).uri)
    return isinstance(uri, SipUri) and "lr" in uri.parameters


def _tag(message: SipMessage, name: str) -> str:
    return parse_name_addr(message.header(name) or "").tag or ""


def _address(message: SipMessage, name: str) -> str:
    address = parse_name_addr(message.header(name) or "")
    address.parameters.pop("tag", None)
    return str(address)


def _tagged(address: str, tag: str) -> str:
    return f"{address};tag={tag}" if tag else address


def _contact(message: SipMessage) -> str | None:
    contacts = parse_name_addrs(message.headers("contact"))
    return contacts[0].uri if contacts else None
