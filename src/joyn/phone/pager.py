"""Pager mode: the SIP MESSAGE requests of a phone, out and in.

Spec: RFC 3428; RFC 3862, RFC 5438 (CPIM, IMDN); facts §4.5, §4.7.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from joyn.model.tags import CPM_MESSAGE, CPM_SYSTEM, SIMPLE_IM
from joyn.protocol import cpim, imdn
from joyn.protocol.sip.message import Headers

PAGER_LIMIT = 1300
"""Bytes of CPIM up to which a message goes as SIP MESSAGE (facts §4.7, SwitchoverSize)."""
TEXT = "text/plain;charset=UTF-8"

_KINDS: dict[str, imdn.Kind] = {"displayed": "display", "processed": "processing", "stored": "processing"}


def make_message_id() -> str:
    """A new imdn.Message-ID."""
    return secrets.token_hex(16)


def now() -> str:
    """The wall clock as DateTime wants it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def envelope(
    content_type: str, body: bytes, message_id: str, request: Iterable[str], headers: Sequence[tuple[str, str]] = ()
) -> bytes:
    """A one-to-one message in its CPIM: both names anonymous, for the real ones are in the SIP head (facts §1)."""
    return cpim.build(
        from_=cpim.ANONYMOUS,
        to=cpim.ANONYMOUS,
        content_type=content_type,
        body=body,
        message_id=message_id,
        date_time=now(),
        disposition_request=request,
        headers=headers,
    )


def notification(message_id: str, state: str) -> bytes:
    """A notification in its CPIM: our word that `message_id` is delivered, displayed, …"""
    body = imdn.Imdn(message_id=message_id, kind=_KINDS.get(state, "delivery"), status=state, datetime=now()).emit()
    return cpim.build(
        from_=cpim.ANONYMOUS,
        to=cpim.ANONYMOUS,
        content_type=imdn.CONTENT_TYPE,
        body=body,
        message_id=make_message_id(),
        date_time=now(),
        content_headers=[("Content-Disposition", "notification")],
    )


def chat_headers(conversation: str, contribution: str, expires: int | None) -> Headers:
    """The SIP headers of a standalone message."""
    headers = [
        *service(CPM_MESSAGE),
        ("Conversation-ID", conversation),
        ("Contribution-ID", contribution),
        ("Content-Type", cpim.CONTENT_TYPE),
    ]
    return headers if expires is None else [*headers, ("Expires", str(expires))]


def system_headers() -> Headers:
    """The SIP headers of a system message, such as a revocation."""
    return [*service(CPM_SYSTEM), ("Content-Type", cpim.CONTENT_TYPE)]


def notification_headers() -> Headers:
    """The SIP headers of a notification: handsets know one by this tag and the exact type (facts §4.5)."""
    return [("Accept-Contact", f"*;{SIMPLE_IM}"), ("Content-Type", cpim.CONTENT_TYPE)]


def service(icsi: str) -> list[tuple[str, str]]:
    """The headers that ask for a CPM service."""
    return [
        ("Accept-Contact", f'*;+g.3gpp.icsi-ref="{quote(icsi, "")}"'),
        ("P-Preferred-Service", icsi),
    ]
