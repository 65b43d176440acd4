from struct import pack

import pytest

from joyn.protocol.stun import answer_binding_request

COOKIE = bytes.fromhex("2112a442")
ID = bytes(range(12))
REQUEST = pack("!HH", 1, 0) + COOKIE + ID


def test_a_binding_request_is_told_its_address() -> None:
    answer = answer_binding_request(REQUEST, ("192.0.2.1", 32853))
    # RFC 5769 §2.2 has the same address and port: a147 and e112a643 are what they look like under the mask.
    assert answer == pack("!HH", 0x0101, 12) + COOKIE + ID + bytes.fromhex("0020 0008 0001 a147 e112a643")


def test_over_ipv6_the_transaction_id_is_part_of_the_mask() -> None:
    answer = answer_binding_request(REQUEST, ("2001:db8::1", 5060))
    assert answer is not None
    masked = answer[28:]
    plain = bytes(a ^ b for a, b in zip(masked, COOKIE + ID, strict=True))
    assert plain == bytes.fromhex("20010db8000000000000000000000001")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        REQUEST[:-1],
        REQUEST + b"\0",
        pack("!HH", 0x0101, 0) + COOKIE + ID,
        pack("!HH", 1, 4) + COOKIE + ID,
        pack("!HH", 1, 0) + bytes(4) + ID,
        b"OPTIONS sip:joyn.localhost SIP/2.0\r\n\r\n",
    ],
)
def test_anything_else_is_not_answered(data: bytes) -> None:
    assert answer_binding_request(data, ("192.0.2.1", 5060)) is None
