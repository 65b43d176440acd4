"""The feature tags that matter to routing, and what they say about a device.

Spec: RCC.07 §2.6.1.1 (facts §3.1), RFC 3840.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.headers import parse_parameters

ICSI = "urn:urn-7:3gpp-service.ims.icsi."
IARI = "urn:urn-7:3gpp-application.ims.iari."

SIMPLE_IM = "+g.oma.sip-im"
CPM_SESSION = f"{ICSI}oma.cpm.session"
CPM_MESSAGE = f"{ICSI}oma.cpm.msg"
CPM_LARGE = f"{ICSI}oma.cpm.largemsg"
CPM_SYSTEM = f"{ICSI}oma.cpm.systemmsg"
CHAT_APPLICATION = f"{IARI}rcse.im"
PAGER_LARGE = "+g.gsma.rcs.cpm.pager-large"
SYNC = "+g.joyn.sync"
"""Our own tag: this device wants copies of what its owner's other devices send, and read-sync."""

PROVIDED = FeatureTags(
    bare=frozenset({SIMPLE_IM}), icsi=frozenset({CPM_SESSION, CPM_MESSAGE}), iari=frozenset({CHAT_APPLICATION})
)
"""What the server does for every subscriber, whatever their devices can: it stores and delivers chat."""

FILE_OVER_HTTP = f"{IARI}rcs.fthttp"
FILE_OVER_MSRP = f"{IARI}rcse.ft"
THUMBNAIL = f"{IARI}rcs.ftthumb"

FILES = FeatureTags(iari=frozenset({FILE_OVER_HTTP, THUMBNAIL}))
"""What it does besides where there is a content server: files wait there for whoever they are for."""

TRANSFERS = FeatureTags(iari=frozenset({FILE_OVER_MSRP, THUMBNAIL, f"{IARI}rcs.ftstandfw"}))
"""And where MSRP is spoken too: they come and go that way for phones that know no other."""


@lru_cache(maxsize=4096)
def tags_of(parameters: str) -> FeatureTags:
    """The feature tags among a binding's Contact parameters (`;a;b="c"`); many devices share the same text."""
    try:
        return FeatureTags.parse(parse_parameters(parameters.lstrip(";")))
    except ParseError:
        return FeatureTags()


@dataclass(frozen=True, slots=True)
class Traits:
    """What a device's feature tags mean for delivery; see the functions of the same names."""

    rcs: bool
    pager: bool
    sessions: bool
    cpm_session: bool
    cpm_large: bool
    pager_large: bool
    sync: bool
    transfers: bool
    thumbnails: bool


@lru_cache(maxsize=4096)
def traits_of(parameters: str) -> Traits:
    """The traits of a device with these Contact parameters, worked out once for all devices that share them."""
    tags = tags_of(parameters)
    return Traits(
        rcs=is_rcs(tags),
        pager=takes_pager(tags),
        sessions=takes_sessions(tags),
        cpm_session=CPM_SESSION in tags.icsi,
        cpm_large=CPM_LARGE in tags.icsi,
        pager_large=PAGER_LARGE in tags.bare,
        sync=SYNC in tags.bare,
        transfers=takes_transfers(tags),
        thumbnails=THUMBNAIL in tags.iari,
    )


def is_rcs(tags: FeatureTags) -> bool:
    """Whether a device speaks CPIM: it registered chat in one of its forms. Others are plain SIP clients."""
    return is_cpm(tags) or SIMPLE_IM in tags.bare or CHAT_APPLICATION in tags.iari


def is_cpm(tags: FeatureTags) -> bool:
    """Whether a device registered anything of CPM."""
    return any(urn.startswith(f"{ICSI}oma.cpm.") for urn in tags.icsi)


def takes_pager(tags: FeatureTags) -> bool:
    """Whether a device takes chat messages as SIP MESSAGE: a CPM client with standalone messaging, or a plain one."""
    return CPM_MESSAGE in tags.icsi or not is_rcs(tags)


def takes_sessions(tags: FeatureTags) -> bool:
    """Whether a device takes chat sessions over MSRP."""
    return SIMPLE_IM in tags.bare or CPM_SESSION in tags.icsi or CHAT_APPLICATION in tags.iari


def takes_transfers(tags: FeatureTags) -> bool:
    """Whether files go to a device over MSRP: it said so, or is of the joyn era, and knows them by no link.

    Facts §3.1: SIMPLE IM counts as chat and files. A CPM client that says nothing of files is given the link.
    """
    if FILE_OVER_HTTP in tags.iari or not is_rcs(tags):
        return False
    return FILE_OVER_MSRP in tags.iari or not is_cpm(tags)
