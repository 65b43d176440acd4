"""Where a scanner is, as operators write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Address"]

_UNIX: Final = re.compile(r"clamd:(?P<path>/[^/\0][^\0]*)")
_HOST: Final = r"//(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
_TCP: Final = re.compile(rf"clamd:{_HOST}:(?P<port>[0-9]{{1,5}})/?")
_ICAP: Final = re.compile(rf"icap:{_HOST}(?::(?P<port>[0-9]{{1,5}}))?/(?P<service>[!-~]+)")
_ICAP_PORT: Final = 1344


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A scanner that speaks `protocol` at the unix socket `path`, or, when that is empty, at `host` and `port`.
    `service` is what it is called there (ICAP)."""

    protocol: Literal["clamd", "icap"]
    path: str = ""
    host: str = ""
    port: int = 0
    service: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """`clamd:/path`, `clamd://host:port` or `icap://host[:port]/service` (RFC 3507 §4.2). Raises ValueError."""
        if match := _UNIX.fullmatch(text):
            return cls(protocol="clamd", path=match["path"])
        if match := _TCP.fullmatch(text):
            return cls(protocol="clamd", host=match["host"].strip("[]"), port=_port(match["port"]))
        if match := _ICAP.fullmatch(text):
            port = _port(match["port"] or str(_ICAP_PORT))
            return cls(protocol="icap", host=match["host"].strip("[]"), port=port, service=match["service"])
        raise ValueError("shall be clamd:/path, clamd://host:port or icap://host:port/service")


def _port(text: str) -> int:
    if not 0 < int(text) < 65536:
        raise ValueError(f"{text} is no port")
    return int(text)
