"""STUN binding requests, as SIP clients send them to keep a UDP flow alive.

Spec: RFC 8489 §5, §14.1, §14.2; RFC 5626 §3.5.2.
Pure: a datagram and its source give the answer to send, or None when it is not such a request.
"""

from __future__ import annotations

from ipaddress import ip_address
from struct import pack, unpack_from

MAGIC_COOKIE = 0x2112A442
BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
XOR_MAPPED_ADDRESS = 0x0020
HEADER = 20
"""Bytes of a STUN header: type, length, cookie, transaction id of 12 bytes."""


def answer_binding_request(data: bytes, source: tuple[str, int]) -> bytes | None:
    """The binding success response that tells `source` how it looks from here; None when `data` is no such request."""
    if len(data) < HEADER or len(data) % 4:
        return None
    kind, length, cookie = unpack_from("!HHI", data)
    if kind != BINDING_REQUEST or cookie != MAGIC_COOKIE or length != len(data) - HEADER:
        return None
    address = ip_address(source[0].partition("%")[0])
    # RFC 8489 §14.2: the address is XORed with the cookie (and, for IPv6, the transaction id after it).
    mask = data[4 : 4 + len(address.packed)]
    mapped = bytes(a ^ b for a, b in zip(address.packed, mask, strict=True))
    family = 1 if address.version == 4 else 2
    value = pack("!BBH", 0, family, source[1] ^ (MAGIC_COOKIE >> 16)) + mapped
    attribute = pack("!HH", XOR_MAPPED_ADDRESS, len(value)) + value
    return pack("!HHI", BINDING_SUCCESS, len(attribute), MAGIC_COOKIE) + data[8:HEADER] + attribute
