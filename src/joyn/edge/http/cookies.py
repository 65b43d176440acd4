"""Cookies: what a browser shows and cannot read.

Spec: RFC 6265bis (`__Host-`, SameSite).
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from joyn.edge.http import is_https

__all__ = ["CHALLENGE", "SESSION", "drop", "read", "write"]

SESSION: Final = "joyn-session"
CHALLENGE: Final = "joyn-sign-in"


def read(request: web.Request, name: str) -> str:
    """The value of one of our cookies, or nothing."""
    return request.cookies.get(_full(request, name), "")


def write(request: web.Request, response: web.Response, name: str, value: str, seconds: int) -> None:
    """Set one: for this host alone, for no script, from no other site, over TLS only where there is TLS."""
    response.set_cookie(
        _full(request, name),
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        secure=is_https(request),
        samesite="Strict",
    )


def drop(request: web.Request, response: web.Response, name: str) -> None:
    """Take one back."""
    write(request, response, name, "", 0)


def _full(request: web.Request, name: str) -> str:
    # A name that begins so, browsers take from this very host over TLS alone: no sibling can slip one in.
    return f"__Host-{name}" if is_https(request) else name
