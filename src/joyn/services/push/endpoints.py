"""Which push resources we may be asked to write to: a client names them, and our server goes there.

Spec: RFC 8030 §8.4 (https), RFC 3986 §3.
Only hosts the operator listed; `transport.push` sees to it that their names mean public addresses.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from joyn.model.refused import Reason, Refused

__all__ = ["Endpoint", "Endpoints"]

MAX_ENDPOINT = 1024
"""Characters of a push resource's URL."""

# Narrower than RFC 3986, so that no other reader of the same text can see another host in it.
_URL = re.compile(
    r"(https?)://([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?"
    r"(/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)"
)
_PORTS = {"https": 443, "http": 80}


class Endpoint(NamedTuple):
    """A push resource that may be written to. `origin` is what RFC 6454 §6.1 writes: the audience of our token."""

    url: str
    origin: str


class Endpoints:
    """The operator's list. A pattern is a host name, or `*.` and a domain whose hosts are meant.

    `insecure` also allows http, every port and addresses instead of names: for tests and the demo, where the push
    service is on this machine.
    """

    def __init__(self, hosts: tuple[str, ...], *, insecure: bool = False) -> None:
        self._exact = frozenset(host.lower() for host in hosts if not host.startswith("*."))
        self._domains = tuple(host[1:].lower() for host in hosts if host.startswith("*."))
        self._insecure = insecure

    def check(self, url: str) -> Endpoint:
        """The endpoint, if we may write to it. Raises Refused: MALFORMED, NOT_ALLOWED."""
        match = _URL.fullmatch(url) if len(url) <= MAX_ENDPOINT else None
        if match is None:
            raise Refused(Reason.MALFORMED, "no URL of a push resource")
        scheme, host, port = match[1], match[2].lower(), int(match[3] or _PORTS[match[1]])
        if not self._insecure and (scheme != "https" or port != _PORTS["https"]):
            raise Refused(Reason.NOT_ALLOWED, "a push resource is reached by https on port 443")
        if host not in self._exact and not host.endswith(self._domains):
            raise Refused(Reason.NOT_ALLOWED, "a push service that this operator does not know")
        origin = f"{scheme}://{host}" + ("" if port == _PORTS[scheme] else f":{port}")
        return Endpoint(url, origin)
