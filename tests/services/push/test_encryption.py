import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePublicKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from joyn.services.push.encryption import (
    MAX_PLAINTEXT,
    _hkdf,
    b64url,
    encode,
    encrypt,
    from_b64url,
    keys_of,
    point_of,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "webpush"
BROWSER = derive_private_key(7, SECP256R1())
P256DH = b64url(point_of(BROWSER.public_key()))
AUTH = b64url(b"a" * 16)


def vector(name):
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def private(text):
    return derive_private_key(int.from_bytes(from_b64url(text)), SECP256R1())


def decrypt(body, browser, auth):
    """What a browser does (RFC 8291 §3.4, RFC 8188 §2), from the other end."""
    salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
    sender = body[21 : 21 + length]
    shared = browser.exchange(ECDH(), EllipticCurvePublicKey.from_encoded_point(SECP256R1(), sender))
    info = b"WebPush: info\x00" + point_of(browser.public_key()) + sender
    key_material = _hkdf(auth, shared, info, 32)
    key = _hkdf(salt, key_material, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _hkdf(salt, key_material, b"Content-Encoding: nonce\x00", 12)
    record = body[21 + length :]
    assert len(record) <= size
    return AESGCM(key).decrypt(nonce, record, None)


def test_the_example_of_rfc_8291_comes_out_byte_for_byte():
    sample = vector("rfc8291-watermelon")
    value = sample["value"]
    ephemeral = private(value["ephemeral_private"])
    assert b64url(point_of(ephemeral.public_key())) == value["ephemeral_public"]
    body = encrypt(
        value["plaintext"].encode(),
        p256dh=value["p256dh"],
        auth=value["auth"],
        ephemeral=ephemeral,
        salt=from_b64url(value["salt"]),
    )
    assert body == base64.b64decode(sample["wire_base64"])


def test_the_example_of_rfc_8291_is_read_by_its_browser():
    sample = vector("rfc8291-watermelon")
    value = sample["value"]
    body = base64.b64decode(sample["wire_base64"])
    plain = decrypt(body, private(value["browser_private"]), from_b64url(value["auth"]))
    assert plain == value["plaintext"].encode() + b"\x02"


def test_the_example_of_rfc_8188_comes_out_byte_for_byte():
    sample = vector("rfc8188-walrus")
    value = sample["value"]
    key_material, salt = from_b64url(value["key_material"]), from_b64url(value["salt"])
    assert encode(value["plaintext"].encode(), key_material, salt, b"") == base64.b64decode(sample["wire_base64"])


@settings(max_examples=20)
@given(st.binary(max_size=MAX_PLAINTEXT), st.binary(min_size=16, max_size=16))
def test_whatever_is_sent_is_read(plaintext, salt):
    body = encrypt(plaintext, p256dh=P256DH, auth=AUTH, ephemeral=generate_private_key(SECP256R1()), salt=salt)
    assert len(body) <= 4096
    assert decrypt(body, BROWSER, b"a" * 16) == plaintext + b"\x02"


def test_the_largest_message_fills_4096_bytes_and_one_more_is_refused():
    arguments = {"p256dh": P256DH, "auth": AUTH, "ephemeral": BROWSER, "salt": b"s" * 16}
    assert len(encrypt(b"x" * MAX_PLAINTEXT, **arguments)) == 4096
    with pytest.raises(ValueError, match="3993"):
        encrypt(b"x" * (MAX_PLAINTEXT + 1), **arguments)


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        ("", AUTH),
        (P256DH, ""),
        (P256DH[:-4], AUTH),
        (P256DH, b64url(b"a" * 15)),
        (P256DH, b64url(b"a" * 17)),
        (b64url(b"\x04" + b"\x00" * 64), AUTH),
        (b64url(b"\x04" + b"\xff" * 64), AUTH),
        (b64url(b"\x02" + b"\x01" * 64), AUTH),
        ("é" * 87, AUTH),
        ("!" * 87, AUTH),
        ("A" * 4096, AUTH),
        (P256DH, "A+/" * 7),
    ],
)
def test_keys_that_are_none_are_refused(p256dh, auth):
    with pytest.raises(ValueError):
        keys_of(p256dh, auth)


def test_keys_may_be_padded():
    padded = P256DH + "=" * (-len(P256DH) % 4)
    assert keys_of(padded, AUTH + "==")[1] == b"a" * 16
