"""Files of `joyn phone`: how far one has come, and where those that come are kept."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from joyn.cli.printing import plain
from joyn.cli.trouble import NO, UNABLE, Trouble

if TYPE_CHECKING:
    from joyn.phone import Phone, Received, Sent
    from joyn.protocol.file_transfer import FileOffer

MAX_NAME: Final = 200
"""Bytes of a file's name here: file systems take 255, and what has not come whole has a longer one."""
MAX_COMING: Final = 100
"""Files that come over MSRP of which it is told how far they are."""
TRUST: Final = "Name its CA with --ca; that of `joyn init` is tls/ca.pem."
"""What helps when a server's certificate is not trusted."""
STEPS: Final = 10
"""Lines of progress for one file where there is no terminal."""


def content_server_of(server: str, transport: str) -> str:
    """Where the content server is unless somebody says: on the same host, where `joyn init` puts it, which moves all
    ports by the same."""
    host, _, port = server.rpartition(":")
    scheme, usual, here = ("https", 5061, 8444) if transport == "tls" else ("http", 5060, 8081)
    moved = here + int(port) - usual if port.isdigit() else here
    return f"{scheme}://{host}:{moved if 0 < moved < 65536 else here}/content"


def readable(path: Path) -> Path:
    """A file that can be sent. Raises Trouble."""
    if not path.is_file():
        raise Trouble(f"{path} is {'no file' if path.exists() else 'not there'}")
    return path


def place(path: Path) -> Path:
    """A directory for files, made if need be. Raises Trouble."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Trouble(f"files cannot be kept in {path}: {error}") from None
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A file as a command sends it: with a picture of it, or as a voice message of so many `seconds`."""

    path: Path
    thumbnail: Path | None = None
    content_type: str = ""
    seconds: int | None = None
    over: Literal["auto", "http", "msrp"] = "auto"


def recording(path: Path, seconds: int | None) -> Sending:
    """A voice message. Raises Trouble when its length is neither given nor in the file, and when it is no sound."""
    from joyn.phone.recordings import audio_type, recorded_seconds

    content_type = audio_type(path)
    if not content_type:
        raise Trouble(f"{path} is no recording by its name", "Recordings end in .amr, .3gp, .m4a, .wav, …")
    try:
        seconds = recorded_seconds(path) if seconds is None else seconds
    except OSError as error:
        raise Trouble(f"the file cannot be read: {error}") from None
    if seconds is None or seconds < 1:
        raise Trouble(f"how long {path} is, it does not say", "Give its seconds with --length.")
    return Sending(path=path, content_type=content_type, seconds=seconds)


async def send_file(phone: Phone, whom: str, sending: Sending, where: str) -> Sent:
    """Send a file, going on with the upload that an earlier command left; `where` is the content server. Raises
    Trouble, Rejected."""
    from joyn.phone import TransferFailed

    path, thumbnail = sending.path, sending.thumbnail
    try:
        picture = thumbnail.read_bytes() if thumbnail is not None else b""  # small, and before all else
        with progress(path.name) as moved:
            return await phone.send_file(
                whom,
                path,
                content_type=sending.content_type,
                thumbnail=picture,
                disposition="" if sending.seconds is None else "render",
                playing_length=sending.seconds,
                tid=_tid(phone.number, whom, path),
                over=sending.over,
                on_progress=moved,
            )
    except TransferFailed as failed:
        if failed.again:
            raise Trouble(str(failed), "The same command goes on where it stopped.", UNABLE) from None
        over_http = "http" in (sending.over, phone.style.files) and sending.over != "msrp"
        advice = TRUST if failed.untrusted else _advice(failed.status, where) if over_http else ""
        raise Trouble(str(failed), advice, NO) from None
    except ValueError as error:
        raise Trouble(f"the content server's address is none: {error}", "Write it like https://host/content.") from None
    except OSError as error:
        raise Trouble(f"the file cannot be read: {error}") from None


def described(message: Received) -> list[str]:
    """What a message says that leads to files, or is one, in lines; empty for others."""
    from rich.filesize import decimal

    lines = []
    if message.offer is not None:
        offer = message.offer
        lines.append(f"[{offer.name or 'file'}, {message.media_type}, {decimal(offer.size or 0)}] over MSRP")
    for info in message.files:
        if info.type == "file":
            what = f"{info.name or 'file'}, {info.content_type}"
            if info.voice and info.playing_length is not None:
                what = f"voice message, {info.playing_length // 60}:{info.playing_length % 60:02}"
            lines.append(f"[{what}, {decimal(info.size)}] {info.url}")
    return lines


class Coming:
    """Tells on standard error how far the files are that come over MSRP, several at once if need be."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, int], Callable[[int, int], None]] = {}

    def __call__(self, offer: FileOffer, here: int) -> None:
        """So many bytes of it are here."""
        size = offer.size or 0
        which = (offer.transfer_id, offer.name, size)
        if which not in self._lines and len(self._lines) == MAX_COMING:
            del self._lines[next(iter(self._lines))]  # it never came to its end
        self._lines.setdefault(which, _lines(plain(offer.name or "file")))(here, size)
        if here >= size:
            del self._lines[which]


async def save(phone: Phone, message: Received, directory: Path) -> None:
    """Fetch what a message leads to; what cannot be fetched now does not end the listening."""
    from joyn.phone import TransferFailed

    if message.path is not None and message.offer is not None:
        path = _unused(directory, message.offer.name)
        try:
            message.path.replace(path)
        except OSError as error:
            print(f"not kept: {plain(error)}", file=sys.stderr)
        else:
            print(f"  saved {plain(path)}", flush=True)
    for info in message.files:
        if info.type != "file":
            continue
        path = _unused(directory, info.name)
        try:
            with progress(path.name) as moved:
                await phone.fetch(info, path, on_progress=moved)
        except (TransferFailed, OSError) as error:
            print(f"not fetched: {plain(error)}", file=sys.stderr)
            if isinstance(error, TransferFailed) and error.untrusted:
                print(f"             {TRUST}", file=sys.stderr)
        else:
            print(f"  saved {plain(path)}", flush=True)


@contextmanager
def progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Tells on standard error how far a transfer has come: as a bar on a terminal, else in a few lines."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(plain(name))
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=console) as bar:
        task = bar.add_task(plain(name), total=None)
        yield lambda at, size: bar.update(task, completed=at, total=size)


def _lines(name: str) -> Callable[[int, int], None]:
    from rich.filesize import decimal

    said = -1

    def moved(at: int, size: int) -> None:
        nonlocal said
        step = STEPS * at // size if size else STEPS
        if step > said:
            said = step
            print(f"{name}  {decimal(at)} of {decimal(size)}", file=sys.stderr, flush=True)

    return moved


def _tid(number: str, whom: str, path: Path) -> str:
    """The same for the same file to the same person: an upload that was stopped is known by it."""
    facts = path.stat()
    name = f"joyn phone send-file {number} {whom} {path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _unused(directory: Path, name: str) -> Path:
    """Where a file goes whose sender calls it so, without taking the place of another."""
    from joyn.services.files.content_server import clean_name

    clean = Path(clean_name(name))
    ending = clean.suffix
    stem = os.fsencode(clean.stem)[: MAX_NAME - len(os.fsencode(ending))].decode("utf-8", "ignore")
    for number in count(1):
        path = directory / (f"{stem}{ending}" if number == 1 else f"{stem} ({number}){ending}")
        if not path.exists():
            return path
    raise AssertionError("numbers do not end")


def _advice(status: int, where: str) -> str:
    elsewhere = f"{where} was asked. Is that what the operator says (ftHTTPCSURI)? --content-server names another."
    return {
        401: f"{elsewhere} If it is, look at the password.",
        404: elsewhere,
        405: elsewhere,
        413: "The operator sets the largest file and everybody's room: files.max_file, files.quota.",
        415: "Its name says what it is not: give it another ending.",
    }.get(status, "")
