"""Whom a header means, as a program wants to read it: a number, or a URI where there is none.

Spec: facts §1 (the order in which identities count on an incoming chat).
"""

from __future__ import annotations

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.headers import parse_name_addrs
from joyn.protocol.sip.message import SipRequest
from joyn.protocol.sip.uri import number_of

_SEPARATORS = str.maketrans("", "", " -.()/")
STORED_RECEIPTS = "rcse-standfw"
"""User part of the identity that brings stored notifications (facts §4.8)."""


def normalised(address: str) -> str:
    """`+33639980001` for whatever way an international number was written; other addresses unchanged."""
    if address.startswith("+"):
        return address.translate(_SEPARATORS)
    return number_of(address) or address


def uri_of(address: str, domain: str, *, plain: bool = False) -> str:
    """The Request-URI for an address: a tel URI for a number, for plain SIP clients a sip URI."""
    if not address.startswith("+"):
        return address if ":" in address else f"sip:{address}@{domain}"
    return f"sip:{address}@{domain}" if plain else f"tel:{address}"


def sender_of(request: SipRequest) -> str:
    """Who a request is from: Referred-By, P-Asserted-Identity (the tel one first), From (facts §1)."""
    for name in ("referred-by", "p-asserted-identity", "from"):
        uris = _uris(request, name)
        if uris:
            return normalised(next((uri for uri in uris if uri.startswith("tel:")), uris[0]))
    return ""


def recipient_of(request: SipRequest) -> str:
    """Whom the To header names."""
    uris = _uris(request, "to")
    return normalised(uris[0]) if uris else ""


def brings_stored_receipts(request: SipRequest) -> bool:
    """Whether an INVITE is the network's own, to hand over notifications that waited (facts §4.8)."""
    return any(STORED_RECEIPTS in uri for uri in _uris(request, "p-asserted-identity"))


def _uris(request: SipRequest, name: str) -> list[str]:
    try:
        return [address.uri for address in parse_name_addrs(request.headers(name))]
    except ParseError:
        return []
