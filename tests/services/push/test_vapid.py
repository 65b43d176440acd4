import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from joyn.services.push.vapid import MAX_TOKENS, RENEW_BEFORE, TOKEN_LIFETIME, Vapid, make_key
from services.push.test_encryption import from_b64url, vector

NOON = 1_800_000_000.0


def from_text(text):
    """from_b64url without its bound on length."""
    return b"".join(from_b64url(text[start : start + 64]) for start in range(0, len(text), 64))


def verified(header):
    """The claims of an Authorization header, once its signature has been checked (RFC 8292 §4.2)."""
    scheme, _, rest = header.partition(" ")
    assert scheme == "vapid"
    parameters = dict(part.strip().split("=", 1) for part in rest.split(","))
    head, claims, signature = parameters["t"].split(".")
    raw = from_text(signature)
    assert len(raw) == 64
    key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), from_text(parameters["k"]))
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key.verify(der, f"{head}.{claims}".encode(), ECDSA(hashes.SHA256()))
    assert json.loads(from_text(head)) == {"typ": "JWT", "alg": "ES256"}
    return json.loads(from_text(claims))


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


def make_vapid(clock=None, key=None):
    return Vapid(key or make_key(), "mailto:push@joyn.example", wall=clock or Clock())


def test_the_example_of_rfc_8292_is_verified_as_ours_are():
    sample = vector("rfc8292-token")
    value = sample["value"]
    claims = verified(sample["wire"])
    assert claims == {"aud": value["audience"], "exp": value["expires"], "sub": value["subject"]}


def test_a_signature_that_was_tampered_with_is_noticed_by_this_test():
    header = make_vapid().authorization("https://push.example")
    start = header.index(".") + 1
    with pytest.raises(InvalidSignature):
        verified(header[:start] + ("f" if header[start] != "f" else "e") + header[start + 1 :])


def test_a_token_says_for_whom_until_when_and_from_whom():
    vapid = make_vapid()
    header = vapid.authorization("https://push.example")
    assert verified(header) == {
        "aud": "https://push.example",
        "exp": int(NOON + TOKEN_LIFETIME),
        "sub": "mailto:push@joyn.example",
    }
    assert header.endswith(f", k={vapid.public}")


def test_a_token_is_used_again_until_shortly_before_its_end():
    clock = Clock()
    vapid = make_vapid(clock)
    first = vapid.authorization("https://push.example")
    clock.now += TOKEN_LIFETIME - RENEW_BEFORE - 1
    assert vapid.authorization("https://push.example") == first
    clock.now += 1
    assert verified(vapid.authorization("https://push.example"))["exp"] == int(clock.now + TOKEN_LIFETIME)


def test_each_push_service_has_its_own_token_and_only_so_many_are_kept():
    vapid = make_vapid()
    first = vapid.authorization("https://0.example")
    for number in range(1, MAX_TOKENS):
        vapid.authorization(f"https://{number}.example")
    assert vapid.authorization("https://0.example") == first
    vapid.authorization("https://one-more.example")
    assert vapid.authorization("https://0.example") == first
    for number in range(MAX_TOKENS):
        vapid.authorization(f"https://other-{number}.example")
    assert vapid.authorization("https://0.example") != first


def test_the_public_key_stays_with_the_private_one():
    key = make_key()
    assert make_vapid(key=key).public == make_vapid(key=key).public
    assert make_vapid().public != make_vapid().public


def test_a_key_of_another_curve_is_refused():
    other = generate_private_key(SECP384R1())
    with pytest.raises(ValueError, match="P-256"):
        make_vapid(key=other.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
