"""What a file really is, by its first bytes: what somebody says of it is not believed.

Attacks: a page or a script that calls itself a photo, and runs in the recipient's browser.
"""

from __future__ import annotations

import re
from typing import Final

import filetype

__all__ = ["HEAD", "UNKNOWN", "is_lie", "served_as"]

HEAD: Final = 8192
"""Bytes that are looked at."""
UNKNOWN: Final = "application/octet-stream"
_MEDIA: Final = frozenset(("image", "audio", "video"))
# RFC 6838 §4.2: a restricted-name, and 127 letters at most.
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")


def served_as(content_type: str) -> str:
    """The type under which a file is served: as it was declared, without parameters; UNKNOWN for what is no type."""
    declared = content_type.partition(";")[0].strip().lower()
    return declared if _TYPE.fullmatch(declared) else UNKNOWN


def is_lie(declared: str, head: bytes) -> bool:
    """Whether a file that calls itself a picture, a sound or a film is something else, by its first HEAD bytes.

    Sound and film share their containers. Media whose signature nobody knows are believed unless they are text, as
    pages and scripts are; SVG is text and says so.
    """
    kind = declared.partition("/")[0]
    if kind not in _MEDIA or declared == "image/svg+xml" or not head:
        return False
    found = filetype.guess_mime(head[:HEAD])
    if found is None:
        return all(byte >= 32 or 9 <= byte <= 13 for byte in head[:HEAD])
    real = found.partition("/")[0]
    return real != kind and {real, kind} != {"audio", "video"}
