"""File transfer over HTTP: what is sent in place of a file, and how far an upload has come.

Spec: RCC.07 §3.5.4.8 (facts §6.2). Two documents: the file-info, which travels as a message and names the file and its
thumbnail; and the resume-info, with which the content server answers `get_upload_info`.
Promises: elements are found by local name in any namespace; what `emit` writes, `parse` gives back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from joyn.protocol import xml
from joyn.protocol.errors import ParseError

CONTENT_TYPE = "application/vnd.gsma.rcs-ft-http+xml"
NAMESPACE = "urn:gsma:params:xml:ns:rcs:rcs:fthttp"
AUDIO_NAMESPACE = "urn:gsma:params:xml:ns:rcs:rcs:rram"
EXTENSION_NAMESPACE = "urn:gsma:params:xml:ns:rcs:rcs:up:fthttpext"

MAX_FILE_INFO = 16 * 1024
"""Bytes of one document."""
MAX_FILES = 16
"""file-info elements of one document."""
MAX_SIZE = 2**53 - 1
"""Bytes of a file that we can speak of: what a browser's numbers hold."""
MAX_URL = 2048
"""Characters of a URL."""

Type = Literal["file", "thumbnail"]
Disposition = Literal["attachment", "render", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """One `file-info`: a file, or the thumbnail of the one that follows.

    `size` is in bytes; `url` is where it can be fetched, `until` (RFC 3339 text, empty when unsaid) how long.
    `disposition` `render` asks for it to be shown or played, which with `playing_length` makes a voice message; the
    unit of that is the sender's (seconds, in what we send). `file_hash` is text of the Universal Profile's extension.
    """

    size: int
    content_type: str
    url: str
    until: str = ""
    type: Type = "file"
    name: str = ""
    disposition: Disposition = ""
    playing_length: int | None = None
    branded_url: str = ""
    file_hash: str = ""

    @property
    def voice(self) -> bool:
        """Whether this is a voice message (facts §6.2): sound to be played, of which the length is said."""
        sound = self.content_type.strip().lower().startswith("audio/")
        return self.type == "file" and self.disposition == "render" and self.playing_length is not None and sound


def parse(data: bytes) -> tuple[FileInfo, ...]:
    """Read a file-info document: its files and thumbnails in order. Raises ParseError when it names no file.

    Elements that are neither file nor thumbnail are left out, as later versions may have more.
    """
    infos = tuple(info for _, info in _elements(_root(data)))
    if not any(info.type == "file" for info in infos):
        raise ParseError("file-info without a file")
    return infos


def relink(data: bytes, links: Sequence[tuple[str, str] | None]) -> bytes:
    """The document with other links: the URL and `until` of each file and thumbnail, in the order of `parse`; None
    leaves one as it is, and so is all else but comments. Raises ParseError, also when it becomes too long."""
    root = _root(data)
    for (element, _), link in zip(_elements(root), links, strict=True):
        place = xml.child(element, "data")
        if link is not None and place is not None:
            url, until = link
            place.set("url", url)
            place.set("until", until)
    document = xml.emit(root)
    if len(document) > MAX_FILE_INFO:
        raise ParseError("too long with other links", MAX_FILE_INFO)
    return document


def _root(data: bytes) -> xml.Element:
    root = xml.parse(data, max_bytes=MAX_FILE_INFO)
    if xml.local_name(root) != "file":
        raise ParseError("not a file-info document")
    return root


def _elements(root: xml.Element) -> list[tuple[xml.Element, FileInfo]]:
    """The files and thumbnails, and what they say."""
    found: list[tuple[xml.Element, FileInfo]] = []
    for element in root:
        if xml.local_name(element) != "file-info":
            continue
        if len(found) == MAX_FILES:
            raise ParseError(f"more than {MAX_FILES} files")
        info = _info(element)
        if info is not None:
            found.append((element, info))
    return found


def emit(infos: Sequence[FileInfo]) -> bytes:
    """Write a document. Thumbnails come first: joyn clients tell the two apart by order (facts §6.2)."""
    ordered = sorted(infos, key=lambda info: info.type == "file")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n'
        f'<file xmlns="{NAMESPACE}" xmlns:am="{AUDIO_NAMESPACE}" xmlns:x="{EXTENSION_NAMESPACE}">\r\n'
        f"{''.join(_emitted(info) for info in ordered)}"
        "</file>"
    ).encode()


def _info(element: xml.Element) -> FileInfo | None:
    type_ = element.get("type", "").strip().lower()
    if type_ not in ("file", "thumbnail"):
        return None
    data = xml.child(element, "data")
    url = "" if data is None else data.get("url", "").strip()
    if data is None or not url or len(url) > MAX_URL:
        raise ParseError("file-info without a URL that can be used")
    disposition = element.get("file-disposition", "").strip().lower()
    length = xml.child_text(element, "playing-length")
    return FileInfo(
        type="file" if type_ == "file" else "thumbnail",
        size=_number(xml.child_text(element, "file-size"), "file-size"),
        name=xml.child_text(element, "file-name"),
        content_type=xml.child_text(element, "content-type"),
        url=url,
        until=data.get("until", "").strip(),
        disposition=_DISPOSITIONS.get(disposition, ""),
        playing_length=_number(length, "playing-length") if length else None,
        branded_url=xml.child_text(element, "branded-url"),
        file_hash=xml.child_text(element, "file-hash"),
    )


# rcsjta's own comments say `attach` where the schema says `attachment` (facts §6.2).
_DISPOSITIONS: dict[str, Disposition] = {"attachment": "attachment", "attach": "attachment", "render": "render"}


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > MAX_SIZE:
        raise ParseError(f"{what} is no number of bytes or seconds")
    return int(text)


def _emitted(info: FileInfo) -> str:
    """One element, its children in the order of the schema."""
    disposition = f' file-disposition="{info.disposition}"' if info.disposition else ""
    children = [("file-size", str(info.size)), ("file-name", info.name), ("content-type", info.content_type)]
    if info.playing_length is not None:
        children.append(("am:playing-length", str(info.playing_length)))
    until = f' until="{xml.escape(info.until)}"' if info.until else ""
    lines = [f"<{name}>{xml.escape(value)}</{name}>" for name, value in children if value]
    lines.append(f'<data url="{xml.escape(info.url)}"{until}/>')
    extensions = (("x:branded-url", info.branded_url), ("x:file-hash", info.file_hash))
    lines += [f"<{name}>{xml.escape(value)}</{name}>" for name, value in extensions if value]
    return (
        f'<file-info type="{info.type}"{disposition}>\r\n{"".join(f"{line}{_BREAK}" for line in lines)}</file-info>\r\n'
    )


_BREAK = "\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeInfo:
    """How far an upload has come: bytes `start` to `end`, both included, are there; the rest goes to `url`."""

    start: int
    end: int
    url: str

    @classmethod
    def parse(cls, data: bytes) -> "ResumeInfo":
        """Read a document. Raises ParseError."""
        root = xml.parse(data, max_bytes=MAX_FILE_INFO)
        if xml.local_name(root) != "file-resume-info":
            raise ParseError("not a resume-info document")
        extent, place = xml.child(root, "file-range"), xml.child(root, "data")
        url = "" if place is None else place.get("url", "").strip()
        if extent is None or not url or len(url) > MAX_URL:
            raise ParseError("resume-info without a range or a URL")
        start, end = (_number(extent.get(name, "").strip(), name) for name in ("start", "end"))
        return cls(start=start, end=end, url=url)

    def emit(self) -> bytes:
        """Write the document."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\r\n'
            f'<file-resume-info xmlns="{NAMESPACE}">\r\n'
            f'<file-range start="{self.start}" end="{self.end}"/>\r\n'
            f'<data url="{xml.escape(self.url)}"/>\r\n'
            "</file-resume-info>"
        ).encode()
