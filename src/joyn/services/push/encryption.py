"""Encrypting a push message for the one browser that asked for it.

Spec: RFC 8291 (keys), RFC 8188 (the aes128gcm content coding), RFC 5869 (HKDF).
Pure: the ephemeral key and the salt are arguments, and neither may ever be used twice.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["MAX_PLAINTEXT", "b64url", "encode", "encrypt", "from_b64url", "keys_of", "point_of"]

RECORD_SIZE = 4096
"""RFC 8291 §4: one record; push services need not take more than 4096 bytes."""
MAX_PLAINTEXT = 3993
"""RFC 8291 §4: what is left of them behind the header, the padding delimiter and the tag."""
AUTH_BYTES = 16
POINT_BYTES = 65
MAX_KEY = 128
"""Characters of a key in base64url, padded or not."""


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64url(text: str) -> bytes:
    """What base64url says, padded or not. Raises ValueError."""
    if len(text) > MAX_KEY:
        raise ValueError("too long for a key")
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("no base64url") from error


def point_of(key: EllipticCurvePublicKey) -> bytes:
    """A public key as the 65 bytes of its uncompressed point (RFC 8291 §3)."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def keys_of(p256dh: str, auth: str) -> tuple[EllipticCurvePublicKey, bytes]:
    """A subscription's keys (RFC 8291 §2). Raises ValueError for what is no point of P-256, or no 16 bytes."""
    point, secret = from_b64url(p256dh), from_b64url(auth)
    if len(point) != POINT_BYTES or len(secret) != AUTH_BYTES:
        raise ValueError("keys of the wrong length")
    return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point), secret


def encrypt(plaintext: bytes, *, p256dh: str, auth: str, ephemeral: EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """The body of a push message with `Content-Encoding: aes128gcm`.

    `ephemeral` is a key of P-256 and `salt` 16 random bytes, both for this message alone. Raises ValueError for keys
    that are none, or more than MAX_PLAINTEXT bytes.
    """
    if len(plaintext) > MAX_PLAINTEXT:
        raise ValueError(f"more than {MAX_PLAINTEXT} bytes")
    public, secret = keys_of(p256dh, auth)
    own = point_of(ephemeral.public_key())
    # RFC 8291 §3.4: the secret that both ends share, and the one the push service never saw.
    info = b"WebPush: info\x00" + point_of(public) + own
    key_material = _hkdf(secret, ephemeral.exchange(ECDH(), public), info, 32)
    return encode(plaintext, key_material, salt, own)


def encode(plaintext: bytes, key_material: bytes, salt: bytes, key_id: bytes) -> bytes:
    """One record of the aes128gcm content coding (RFC 8188 §2)."""
    key = _hkdf(salt, key_material, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _hkdf(salt, key_material, b"Content-Encoding: nonce\x00", 12)
    head = salt + RECORD_SIZE.to_bytes(4) + len(key_id).to_bytes(1) + key_id
    # RFC 8188 §2: the last record ends with 2, and no padding follows.
    return head + AESGCM(key).encrypt(nonce, plaintext + b"\x02", None)


def _hkdf(salt: bytes, key_material: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(key_material)
