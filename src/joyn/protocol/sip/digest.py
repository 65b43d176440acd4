"""Digest authentication: responses, their check, stateless nonces, the replay window, and the client's side.

Spec: RFC 7616, RFC 8760 (SHA-256, SHA-512-256), RFC 2617 and 2069 (what older phones do), RFC 3261 §22.
Pure: secrets, salts and time are arguments; comparisons take constant time; what is remembered is bounded.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Literal

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.auth import Auth, emit_auth_parameters, parse_auth_parameters, parse_auths
from joyn.protocol.sip.message import SipResponse

MAX_NONCE = 256
"""Characters of a nonce of ours; a longer one is forged."""
MIN_SECRET = 16
"""Bytes that the key of the nonces must have at least."""
MAX_REALMS = 8
"""Realms that a client answers at the same time; the oldest is forgotten."""


def _new(name: str) -> Callable[[bytes], hashlib._Hash]:
    return lambda data: hashlib.new(name, data, usedforsecurity=False)


_HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {
    "SHA-512-256": _new("sha512_256"),
    "SHA-256": hashlib.sha256,
    "MD5": hashlib.md5,
}
ALGORITHMS = tuple(_HASHES)
"""What is understood, best first (RFC 8760 §2.4). The -sess variants are not: no phone of the field uses them."""

# A nonce: when it was made in milliseconds, keyed hash, salt. The time comes first, so that nonces sort by age.
_TIME = 12
_MAC = 32
_HEX = frozenset("0123456789abcdefABCDEF")
_ONCE = 2**32


def ha1(username: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """What a server keeps instead of the password (RFC 7616 §3.4.2), in hex. Raises KeyError for other algorithms."""
    return _HASHES[algorithm.upper()](_bytes(f"{username}:{realm}:{password}")).hexdigest()


def response(
    ha1: str,
    nonce: str,
    method: str,
    uri: str,
    *,
    algorithm: str = "MD5",
    qop: str = "",
    nc: str = "",
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """The `response` of credentials (RFC 7616 §3.4.1) in hex; without `qop` as in RFC 2069.

    Raises KeyError for an algorithm not in ALGORITHMS.
    """
    digest = _HASHES[algorithm.upper()]
    a2 = f"{method}:{uri}:{digest(body).hexdigest()}" if qop.lower() == "auth-int" else f"{method}:{uri}"
    ha2 = digest(_bytes(a2)).hexdigest()
    middle = f"{nonce}:{nc}:{cnonce}:{qop}" if qop else nonce
    return digest(_bytes(f"{ha1}:{middle}:{ha2}")).hexdigest()


def verify(credentials: Auth, method: str, ha1: Mapping[str, str], body: bytes = b"") -> bool:
    """Whether credentials prove the password behind `ha1` (algorithm to hex). False for whatever is not understood.

    Says nothing about the nonce (NonceKeeper, ReplayGuard) nor about `uri` being the request's; ask both elsewhere.
    """
    get = credentials.parameters.get
    algorithm = get("algorithm", "MD5").upper() or "MD5"
    known = ha1.get(algorithm)
    given = get("response")
    if known is None or not given or algorithm not in _HASHES:
        return False
    qop, nc, cnonce = get("qop", ""), get("nc", ""), get("cnonce", "")
    # RFC 7616 §3.4: with qop both must be there, else the proof does not cover the count.
    if qop and (qop.lower() not in ("auth", "auth-int") or not nc or not cnonce):
        return False
    expected = response(
        known,
        get("nonce", ""),
        method,
        get("uri", ""),
        algorithm=algorithm,
        qop=qop,
        nc=nc,
        cnonce=cnonce,
        body=body,
    )
    return hmac.compare_digest(expected.encode(), _bytes(given.lower()))


class NonceKeeper:
    """Makes nonces and knows them again without remembering any. Nodes that share `secret` take each other's.

    `secret` has MIN_SECRET bytes or more (ValueError); `lifetime` is in seconds.
    """

    __slots__ = ("_keyed", "lifetime")

    def __init__(self, secret: bytes, lifetime: float) -> None:
        if len(secret) < MIN_SECRET:
            raise ValueError(f"nonce secret shorter than {MIN_SECRET} bytes")
        # BLAKE2 takes a key itself, where HMAC would hash twice; copying the keyed state skips the key's own block too.
        key = hashlib.sha512(secret).digest()
        self._keyed = hashlib.blake2b(key=key, digest_size=_MAC // 2)
        self.lifetime = lifetime

    def make(self, now: float, salt: str) -> str:
        """A nonce made at `now` (wall clock, seconds); `salt` makes it unlike the others of the same millisecond."""
        if _TIME + _MAC + len(salt) > MAX_NONCE or '"' in salt or "\\" in salt:
            raise ValueError("salt too long or not fit for a quoted string")
        made = f"{int(now * 1000):0{_TIME}x}"
        return f"{made}{self._mac(made, salt)}{salt}"

    def check(self, nonce: str, now: float) -> Literal["valid", "stale", "forged"]:
        """What a nonce that came back is worth."""
        made, mac, salt = nonce[:_TIME], nonce[_TIME : _TIME + _MAC], nonce[_TIME + _MAC :]
        if not _TIME + _MAC <= len(nonce) <= MAX_NONCE:
            return "forged"
        if not hmac.compare_digest(self._mac(made, salt).encode(), _bytes(mac)):
            return "forged"
        # A node whose clock is ahead may have made it, so both directions count.
        return "valid" if abs(now - int(made, 16) / 1000) <= self.lifetime else "stale"

    def _mac(self, made: str, salt: str) -> str:
        keyed = self._keyed.copy()
        keyed.update(_bytes(f"{made}:{salt}"))
        return keyed.hexdigest()


class ReplayGuard:
    """Remembers the last nonce count of each nonce, so that no credentials are good twice.

    Holds `max_nonces`. Beyond that the one first seen is forgotten, and with it every unknown nonce made no later:
    those are answered as stale, which costs their clients one more round trip and nobody a message.
    """

    __slots__ = ("_forgotten", "_last", "max_nonces")

    def __init__(self, max_nonces: int) -> None:
        self.max_nonces = max_nonces
        self._last: dict[str, int] = {}
        self._forgotten = ""

    def __len__(self) -> int:
        return len(self._last)

    def fresh(self, nonce: str, nc: str = "") -> bool:
        """Take note of a use of `nonce`, which NonceKeeper found valid; False means: challenge with stale=true.

        `nc` is text as in the credentials; without it (no qop) the nonce is good once. RFC 7616 §3.3, §5.5.
        """
        if not nc:
            count = _ONCE
        elif len(nc) <= 8 and _HEX.issuperset(nc):
            count = int(nc, 16)
        else:
            return False
        last = self._last.get(nonce)
        if last is None:
            if nonce[:_TIME] <= self._forgotten:
                return False
            if len(self._last) >= self.max_nonces:
                oldest = next(iter(self._last))
                del self._last[oldest]
                self._forgotten = max(self._forgotten, oldest[:_TIME])
                if nonce[:_TIME] <= self._forgotten:
                    return False
            last = 0
        elif nc == "":
            return False
        if count <= last:
            return False
        self._last[nonce] = count
        return True


class _Session:
    """One challenge that is being answered."""

    __slots__ = ("algorithm", "count", "ha1", "nonce", "opaque", "proven", "qop", "realm")

    def __init__(self, challenge: Auth, ha1: str, algorithm: str, qop: str) -> None:
        self.realm = challenge.get("realm")
        self.nonce = challenge.get("nonce")
        self.opaque = challenge.parameters.get("opaque")
        self.algorithm = algorithm
        self.ha1 = ha1
        self.qop = qop
        self.count = 0
        self.proven = False


class Authenticator:
    """A client's answers to 401 and 407. `make_cnonce` gives a new random text each time."""

    __slots__ = ("_make_cnonce", "_password", "_sessions", "username")

    def __init__(self, username: str, password: str, make_cnonce: Callable[[], str]) -> None:
        self.username = username
        self._password = password
        self._make_cnonce = make_cnonce
        self._sessions: dict[tuple[str, str], _Session] = {}

    def first_authorization(self, uri: str, realm: str, algorithm: str = "MD5") -> str:
        """The Authorization of the very first REGISTER in IMS (TS 24.229 §5.1.1.2): everything but a proof."""
        parameters = {
            "username": self.username,
            "realm": realm,
            "uri": uri,
            "nonce": "",
            "algorithm": algorithm,
            "response": "",
        }
        return f"Digest {emit_auth_parameters(parameters)}"

    def challenged(self, answer: SipResponse) -> bool:
        """Take in a 401 or 407; True when trying again makes sense: there is a new challenge, and one we can answer.

        A challenge to the very first answer means that the password is wrong, unless it says stale.
        """
        asked, answering = (
            ("proxy-authenticate", "Proxy-Authorization")
            if answer.status == 407
            else ("www-authenticate", "Authorization")
        )
        try:
            challenges = parse_auths(answer.headers(asked))
        except ParseError:
            return False
        best: dict[str, Auth] = {}
        for challenge in challenges:
            algorithm = _algorithm(challenge)
            realm = challenge.get("realm")
            if challenge.scheme.lower() != "digest" or algorithm not in _HASHES or _qop(challenge) is None:
                continue
            if realm not in best or ALGORITHMS.index(algorithm) < ALGORITHMS.index(_algorithm(best[realm])):
                best[realm] = challenge
        fresh = False
        for realm, challenge in best.items():
            fresh = self._open(answering, realm, challenge) or fresh
        return fresh

    def authorize(self, method: str, uri: str, body: bytes = b"") -> list[tuple[str, str]]:
        """The header fields to add to a request, one per realm that has challenged us; the count goes up by one."""
        return [
            (name, f"Digest {emit_auth_parameters(self._answer(session, method, uri, body))}")
            for (name, _), session in self._sessions.items()
        ]

    def succeeded(self, answer: SipResponse) -> None:
        """Take in a 2xx: the password is right; adopt the `nextnonce` of its Authentication-Info (RFC 7616 §3.5)."""
        for session in self._sessions.values():
            session.proven = True
        for header, name in (
            ("authentication-info", "Authorization"),
            ("proxy-authentication-info", "Proxy-Authorization"),
        ):
            value = answer.header(header)
            if not value:
                continue
            try:
                nonce = parse_auth_parameters(value).get("nextnonce")
            except ParseError:
                continue
            sessions = [session for (answering, _), session in self._sessions.items() if answering == name]
            if nonce and len(sessions) == 1:  # the header does not say which realm it is from
                sessions[0].nonce, sessions[0].count = nonce, 0

    def _open(self, answering: str, realm: str, challenge: Auth) -> bool:
        known = self._sessions.get((answering, realm))
        nonce = challenge.get("nonce")
        stale = challenge.get("stale").lower() == "true"
        if known is not None and known.count and (known.nonce == nonce or not (stale or known.proven)):
            del self._sessions[answering, realm]
            return False
        algorithm = _algorithm(challenge)
        session = _Session(
            challenge, ha1(self.username, realm, self._password, algorithm), algorithm, _qop(challenge) or ""
        )
        self._sessions[answering, realm] = session
        if len(self._sessions) > MAX_REALMS:
            del self._sessions[next(iter(self._sessions))]
        return True

    def _answer(self, session: _Session, method: str, uri: str, body: bytes) -> dict[str, str]:
        session.count += 1
        cnonce = nc = ""
        if session.qop:
            cnonce, nc = self._make_cnonce(), f"{session.count:08x}"
        proof = response(
            session.ha1,
            session.nonce,
            method,
            uri,
            algorithm=session.algorithm,
            qop=session.qop,
            nc=nc,
            cnonce=cnonce,
            body=body,
        )
        parameters = {
            "username": self.username,
            "realm": session.realm,
            "nonce": session.nonce,
            "uri": uri,
            "response": proof,
            "algorithm": session.algorithm,
        }
        if session.qop:
            parameters |= {"qop": session.qop, "nc": nc, "cnonce": cnonce}
        if session.opaque is not None:
            parameters["opaque"] = session.opaque
        return parameters


def _algorithm(challenge: Auth) -> str:
    return challenge.get("algorithm").upper() or "MD5"


def _qop(challenge: Auth) -> str | None:
    """What to answer with: auth before auth-int, '' when none is offered, None when we know none of them."""
    offered = challenge.get("qop")
    if not offered:
        return ""
    known = [name.strip().lower() for name in offered.split(",")]
    return next((name for name in ("auth", "auth-int") if name in known), None)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
