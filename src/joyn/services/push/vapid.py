"""Telling push services who sends: a signed token for each, and the key that browsers subscribe with.

Spec: RFC 8292 (VAPID), RFC 7515 and RFC 7518 §3.4 (ES256).
A push service that was given our key takes messages from nobody else for that subscription.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from joyn.services.push.encryption import b64url, point_of

__all__ = ["Vapid", "make_key"]

TOKEN_LIFETIME = 12 * 3600.0
"""Seconds; RFC 8292 §2 allows 24 hours, and clocks differ."""
RENEW_BEFORE = 3600.0
"""Seconds before its end from which a token is not used any more."""
MAX_TOKENS = 256
"""Push services whose token is kept; the least recently used are forgotten first."""


def make_key() -> bytes:
    """A new private key, as `Vapid` takes it (PKCS #8)."""
    return generate_private_key(SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


class Vapid:
    """The operator's identity towards push services.

    `subject` is the mailto: or https: URI under which their operators reach ours. Raises ValueError for a key that is
    none of P-256.
    """

    def __init__(self, key: bytes, subject: str, *, wall: Callable[[], float]) -> None:
        loaded = load_der_private_key(key, None)
        if not isinstance(loaded, EllipticCurvePrivateKey) or not isinstance(loaded.curve, SECP256R1):
            raise ValueError("no private key of P-256")  # noqa: TRY004 - the bytes are wrong, not the argument
        self._key = loaded
        self._subject = subject
        self._wall = wall
        self._tokens: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self.public = b64url(point_of(loaded.public_key()))
        """What a browser subscribes with (applicationServerKey), and `k` of each request."""

    def authorization(self, origin: str) -> str:
        """The Authorization header for requests to a push service, `https://host[:port]` (RFC 8292 §3)."""
        now = self._wall()
        token, until = self._tokens.get(origin, ("", 0.0))
        if until - RENEW_BEFORE <= now:
            until = now + TOKEN_LIFETIME
            token = self._sign({"aud": origin, "exp": int(until), "sub": self._subject})
            self._tokens[origin] = (token, until)
            if len(self._tokens) > MAX_TOKENS:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(origin)
        return f"vapid t={token}, k={self.public}"

    def _sign(self, claims: dict[str, object]) -> str:
        signed = f"{_json({'typ': 'JWT', 'alg': 'ES256'})}.{_json(claims)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ECDSA(hashes.SHA256())))
        return f"{signed}.{b64url(r.to_bytes(32) + s.to_bytes(32))}"


def _json(part: Mapping[str, object]) -> str:
    return b64url(json.dumps(part, separators=(",", ":")).encode())
