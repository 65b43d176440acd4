"""Styles of phone: what each registers and how it says chat.

Spec: facts §2.1, §3.1, §4.7 (RCC.07 §2.6.1.1; OMA CPM and SIMPLE IM).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from joyn.model.tags import CHAT_APPLICATION, CPM_LARGE, CPM_MESSAGE, CPM_SESSION, CPM_SYSTEM, IARI, SIMPLE_IM, SYNC
from joyn.protocol.sip.feature_tags import FeatureTags

GEOLOCATION = f"{IARI}rcs.geopush"
FILE_OVER_HTTP = f"{IARI}rcs.fthttp"
FILE_OVER_MSRP = f"{IARI}rcse.ft"
THUMBNAIL = f"{IARI}rcs.ftthumb"


@dataclass(frozen=True, slots=True)
class Style:
    """How a kind of phone speaks. `registered` are the tags of its Contact; a `plain` one knows no CPIM at all.

    `pager` says whether it sends short messages as SIP MESSAGE, `session` and `first_message` how it opens a chat:
    with which tag, and with the first message inside the INVITE or not. `files` is how files go.
    """

    name: str
    registered: FeatureTags
    session: FeatureTags = field(default_factory=FeatureTags)
    pager: bool = True
    first_message: bool = False
    plain: bool = False
    files: Literal["http", "msrp"] = "http"


CPM = Style(
    "cpm",
    FeatureTags(
        icsi=frozenset({CPM_SESSION, CPM_MESSAGE, CPM_LARGE, CPM_SYSTEM}),
        iari=frozenset({GEOLOCATION, FILE_OVER_HTTP}),
    ),
    session=FeatureTags(icsi=frozenset({CPM_SESSION})),
)
"""A Universal Profile phone: standalone messages, and sessions that begin empty."""

SIMPLE = Style(
    "simple",
    FeatureTags(bare=frozenset({SIMPLE_IM}), iari=frozenset({GEOLOCATION, FILE_OVER_HTTP})),
    session=FeatureTags(bare=frozenset({SIMPLE_IM}), iari=frozenset({GEOLOCATION, FILE_OVER_HTTP})),
    pager=False,
    first_message=True,
)
"""A joyn phone (SIMPLE IM): every chat is a session, its first message in the INVITE."""

RCSE = Style(
    "rcse",
    FeatureTags(bare=frozenset({SIMPLE_IM}), iari=frozenset({GEOLOCATION, FILE_OVER_MSRP, THUMBNAIL})),
    session=FeatureTags(bare=frozenset({SIMPLE_IM}), iari=frozenset({GEOLOCATION})),
    pager=False,
    first_message=True,
    files="msrp",
)
"""A phone of the first generation (RCS-e): chat as SIMPLE, and files over MSRP alone."""

PLAIN = Style("plain", FeatureTags(), plain=True)
"""A SIP client of no RCS kind: bare text in SIP MESSAGE, no receipts."""

STYLES = {style.name: style for style in (CPM, SIMPLE, RCSE, PLAIN)}

FILE_SESSION = FeatureTags(bare=frozenset({SIMPLE_IM}), iari=frozenset({FILE_OVER_MSRP}))
"""What an INVITE says that brings a file; that it does so its file-selector says (facts §6.1)."""

CHAT = FeatureTags(bare=frozenset({SIMPLE_IM}), iari=frozenset({CHAT_APPLICATION}))
"""What an OPTIONS says beside the registered tags: chat (facts §2.1)."""


def registered_tags(style: Style, extra: Iterable[str] = (), *, sync: bool = False) -> FeatureTags:
    """The tags a phone of that style registers; `extra` are URNs (icsi or iari) or bare tags (`+g…`)."""
    urns = frozenset(extra)
    return style.registered | FeatureTags(
        bare=frozenset(tag for tag in urns if not tag.startswith("urn:")) | ({SYNC} if sync else frozenset()),
        icsi=frozenset(urn for urn in urns if urn.startswith("urn:") and not urn.startswith(IARI)),
        iari=frozenset(urn for urn in urns if urn.startswith(IARI)),
    )
