"""`joyn phone`: be a phone for a moment, from a shell."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import platform
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import App, Parameter

from joyn.cli import phone_files
from joyn.cli.printing import moment, plain
from joyn.cli.trouble import NO, UNABLE, Trouble

if TYPE_CHECKING:
    from joyn.phone import Phone, Received, Rejected, Sent

app = App(name="phone", help="Be a phone for a moment: send, listen, ask.", help_format="plaintext")

DEFAULT_WAIT: Final = 5.0

ContentServer = Annotated[
    str,
    Parameter(
        help="Where files go, as the operator says (ftHTTPCSURI); if empty, port 8081 or 8444 of the server, moved as "
        "its own port is from 5060 or 5061."
    ),
]
Over = Annotated[
    Literal["auto", "http", "msrp"],
    Parameter(help="To the content server, or in a session of its own; auto: as phones of this style do."),
]
Wait = Annotated[float, Parameter(help="Seconds to wait for `delivered`; 0 for none.")]
To = Annotated[str, Parameter(help="Whom: a number as people write it, or a SIP URI.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Subscription:
    """Who this phone is, and where its server."""

    number: Annotated[str, Parameter(help="Our own number, as people write it.")]
    password_file: Annotated[
        Path | None, Parameter(help="Take the password from the first line of a file; else it is asked for.")
    ] = None
    server: Annotated[str, Parameter(help="The server's host:port.")] = "127.0.0.1:5060"
    transport: Annotated[Literal["udp", "tcp", "tls"], Parameter(help="How to reach it.")] = "tcp"
    ca: Annotated[Path | None, Parameter(help="Trust this CA as well as the system's (tls).")] = None
    domain: Annotated[str, Parameter(help="The operator's SIP domain.")] = "joyn.localhost"
    country: Annotated[str, Parameter(help="ISO code of the country whose way of writing numbers is home.")] = "FR"
    username: Annotated[str, Parameter(help="The digest username; the number if not given.")] = ""
    style: Annotated[
        Literal["cpm", "simple", "rcse", "plain"],
        Parameter(help="Universal Profile, joyn, joyn's first generation (files over MSRP alone), or no RCS at all."),
    ] = "cpm"


@app.command
def send(
    to: To,
    text: Annotated[str, Parameter(help="What to say; - reads it from standard input.")],
    *,
    mode: Annotated[
        Literal["auto", "pager", "large", "session"], Parameter(help="One request, a session for it, or a chat.")
    ] = "auto",
    wait: Wait = DEFAULT_WAIT,
    subscription: Subscription,
) -> int:
    """Send a message, and say what became of it. Exit status 1: not delivered in time.

    What others send meanwhile is printed too.
    """
    content = sys.stdin.read() if text == "-" else text
    whom = _number(subscription, to)

    async def work(phone: Phone) -> int:
        return await _became(await phone.send(whom, content, mode=mode), 0 if phone.style.plain else wait)

    return _with(subscription, work)


@app.command
def send_file(
    to: To,
    file: Annotated[Path, Parameter(help="What to send.")],
    *,
    content_server: ContentServer = "",
    thumbnail: Annotated[Path | None, Parameter(help="A small picture to show before the file is fetched.")] = None,
    over: Over = "auto",
    wait: Wait = DEFAULT_WAIT,
    subscription: Subscription,
) -> int:
    """Send a file, and say what became of it. Exit status 1: stopped, or not delivered in time.

    What is stopped, with Ctrl-C or because the network is gone, is gone on with by the same command.
    """
    return _send_file(
        subscription, to, phone_files.Sending(path=file, thumbnail=thumbnail, over=over), content_server, wait
    )


@app.command
def send_voice(
    to: To,
    file: Annotated[Path, Parameter(help="The recording: AMR, 3GP, M4A, WAV, …")],
    *,
    length: Annotated[
        int | None, Parameter(help="How many seconds it takes; AMR and WAV files say it themselves.")
    ] = None,
    content_server: ContentServer = "",
    wait: Wait = DEFAULT_WAIT,
    subscription: Subscription,
) -> int:
    """Send a recording as a voice message, and say what became of it. Exit status 1: stopped, or not delivered in time.

    What is stopped, with Ctrl-C or because the network is gone, is gone on with by the same command.
    """
    phone_files.readable(file)
    sending = phone_files.recording(file, length)
    return _send_file(subscription, to, sending, content_server, wait)


@app.command
def send_location(
    to: To,
    latitude: Annotated[float, Parameter(help="Degrees north; south is negative.", allow_leading_hyphen=True)],
    longitude: Annotated[float, Parameter(help="Degrees east; west is negative.", allow_leading_hyphen=True)],
    *,
    label: Annotated[str, Parameter(help="What the place is called.")] = "",
    radius: Annotated[float, Parameter(help="Metres around it within which it is.")] = 0.0,
    wait: Wait = DEFAULT_WAIT,
    subscription: Subscription,
) -> int:
    """Send a place, and say what became of it. Exit status 1: not delivered in time."""
    whom = _number(subscription, to)

    async def work(phone: Phone) -> int:
        try:
            sent = await phone.send_location(whom, latitude, longitude, label=label, radius=radius)
        except ValueError as error:
            raise Trouble(str(error)) from None
        return await _became(sent, wait)

    return _with(subscription, work)


@app.command
def listen(
    *,
    count: Annotated[int, Parameter(help="End after so many messages; 0: never.")] = 0,
    seconds: Annotated[float, Parameter(help="End after so many seconds; 0: never.")] = 0.0,
    echo: Annotated[bool, Parameter(negative="", help="Send every text back to where it came from.")] = False,
    files: Annotated[Path | None, Parameter(help="Keep the files that come in this directory.")] = None,
    subscription: Subscription,
) -> int:
    """Print messages as they come, and tell their senders that they were displayed. Ctrl-C ends it.

    Files that come over MSRP are declined without a directory for them.
    """

    if files is not None:
        phone_files.place(files)

    async def work(phone: Phone) -> int:
        phone.on_file_progress = phone_files.Coming()
        print(f"{phone.number} is registered; Ctrl-C ends", file=sys.stderr)
        read = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds or None):
                async for message in phone.messages():
                    _print(message)
                    if files is not None:
                        await phone_files.save(phone, message, files)
                    await _answer(message, echo=echo)
                    read += 1
                    if read == count:
                        break
        return 0

    return _with(subscription, work, listening=True, directory=files)


@app.command
def caps(to: To, *, subscription: Subscription) -> int:
    """Ask what somebody's phones can do now. Exit status 1: nobody's number, or no answer."""
    whom = _number(subscription, to)

    async def work(phone: Phone) -> int:
        found = await phone.capabilities(whom)
        print(f"{whom} is {found.status}" + (f" ({found.code})" if found.code != 200 else ""))
        for tag in sorted(found.tags.bare | found.tags.icsi | found.tags.iari):
            print(f"  {plain(tag)}")
        return 0 if found.chat else NO

    return _with(subscription, work)


def _send_file(
    subscription: Subscription, to: str, sending: phone_files.Sending, content_server: str, wait: float
) -> int:
    whom = _number(subscription, to)
    where = content_server or phone_files.content_server_of(subscription.server, subscription.transport)
    phone_files.readable(sending.path)

    async def work(phone: Phone) -> int:
        try:
            sent = await phone_files.send_file(phone, whom, sending, where)
        except asyncio.CancelledError:
            print("stopped; the same command goes on where it stopped", file=sys.stderr)
            raise
        return await _became(sent, wait)

    return _with(subscription, work, content_server=where, interrupted=NO)


async def _became(sent: Sent, wait: float) -> int:
    """Say what becomes of a message within `wait` seconds, if any. Raises Trouble when it will not arrive."""
    from joyn.phone import Undelivered

    print(f"accepted   {sent.message_id}")
    if not wait:
        return 0
    try:
        await sent.delivered(timeout=wait)
    except TimeoutError:
        print(f"waiting    not delivered within {wait:g} s; the network keeps it", file=sys.stderr)
        return NO
    except Undelivered as undelivered:
        raise Trouble(f"the message was not delivered: {undelivered}") from None
    first = next(at for state, at in sent.states if state == "accepted")
    for state, at in sent.states:
        if state != "accepted":
            print(f"{state:<11}after {max(at - first, 0.0) * 1000:.1f} ms")
    return 0


async def _answer(message: Received, *, echo: bool) -> None:
    """Displayed, and perhaps an echo; what cannot be said now does not end the listening."""
    from joyn.phone import Rejected

    try:
        await message.mark_displayed()
        if echo and not message.copy and not message.files:
            await message.reply(message.text)
    except Rejected as rejected:
        print(f"not answered: {rejected}", file=sys.stderr)


def _print(message: Received) -> None:
    from rich.console import Console
    from rich.text import Text

    about = " (deferred)" if message.deferred else " (ours)" if message.copy else ""
    kind = message.media_type
    lines = (
        phone_files.described(message)
        or _place(message)
        or (message.text.splitlines() if kind.startswith("text/") else [f"[{kind}, {len(message.body)} bytes]"])
    )
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text.assemble((moment(time.time()), "dim"), "  ", (plain(message.sender), "bold"), about))
    for line in lines or [""]:
        console.print(Text(f"  {plain(line)}"))
    sys.stdout.flush()


def _place(message: Received) -> list[str]:
    """What a location push says, in a line; nothing for other messages."""
    location = message.location
    if location is None:
        return []
    within = f", within {location.radius:g} m" if location.radius else ""
    return [f"[location {location.latitude:.6f}, {location.longitude:.6f}{within}] {location.label}".rstrip()]


def _with(
    subscription: Subscription,
    work: Callable[[Phone], Coroutine[Any, Any, int]],
    *,
    listening: bool = False,
    content_server: str = "",
    directory: Path | None = None,
    interrupted: int = 0,
) -> int:
    """Be that phone, registered, while `work` runs; its exit status, or `interrupted` after Ctrl-C."""

    async def all_of_it() -> int:
        async with _registered(subscription, content_server, directory, listening=listening) as phone:
            return await work(phone)

    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(all_of_it())
    return interrupted


@asynccontextmanager
async def _registered(
    subscription: Subscription, content_server: str, directory: Path | None, *, listening: bool
) -> AsyncIterator[Phone]:
    from joyn.phone import Phone, Rejected, Unanswered
    from joyn.transport.tls import client_context

    server = subscription.server
    host, colon, port = server.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise Trouble(f"{server!r} is not host:port", "Write it like 127.0.0.1:5060.")
    number = _number(subscription, subscription.number)
    phone = Phone(
        number,
        password=_password(subscription),
        server=server,
        transport=subscription.transport,
        # The same CA for the content server, and for links to files.
        tls=client_context(subscription.ca) if subscription.ca or subscription.transport == "tls" else None,
        domain=subscription.domain,
        style=subscription.style,
        username=subscription.username or None,
        receipts="delivered" if listening else "auto",
        instance=_instance(number, listening=listening),
        content_server=content_server,
        directory=directory,
    )
    if not listening:
        phone.on_message = _print
    try:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(phone)
            except Unanswered:
                raise
            except Rejected as rejected:
                raise _not_let_in(subscription, number, rejected) from None
            yield phone
    except Unanswered as unanswered:
        raise Trouble(f"{server} does not answer: {unanswered}", "`joyn check` looks at the node.", UNABLE) from None
    except Rejected as rejected:
        nobody = "The recipient is nobody's number, as far as it knows: `joyn route` on its side says why."
        advice = nobody if rejected.status == 404 else ""
        raise Trouble(f"{server} says {rejected}", advice, NO) from None
    except OSError as error:
        raise _not_connected(subscription, error) from None


def _not_let_in(subscription: Subscription, number: str, rejected: Rejected) -> Trouble:
    """What a server that does not register this number has to be told differently, or its operator asked."""
    nobody = (
        f"nobody there has the username {subscription.username}" if subscription.username else "it is nobody's there"
    )
    advice = {
        # One answer for both, so that nobody learns from it who is a subscriber.
        401: f"The password is wrong, or {nobody}: `joyn subscriber show {number}` on that server's side tells, "
        "and `joyn subscriber password` gives a new password.",
        403: f"Most likely its operator has blocked it: `joyn subscriber show {number}` on that server's side tells.",
        404: "The username and password are another subscriber's: look at --number and --username.",
    }.get(rejected.status, "")
    return Trouble(f"{subscription.server} does not register {number}: {rejected}", advice, NO)


def _not_connected(subscription: Subscription, error: OSError) -> Trouble:
    """Why there is no connection, and what to look at."""
    import ssl

    server, advice = subscription.server, "Does `joyn run` listen there?"
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = phone_files.TRUST
    elif subscription.transport == "tls":
        advice = (
            "Does `joyn run` listen there, for TLS? That is another port than TCP's: 5061, unless joyn.toml says so."
        )
    # A time-out has no words of its own.
    why = str(error) or "no answer in time"
    return Trouble(f"cannot connect to {server} by {subscription.transport}: {why}", advice, UNABLE)


def _instance(number: str, *, listening: bool) -> str:
    """The same device each time, since the network keeps each device's place in the mailbox.

    Sending is another device than listening, so that it does not take over the registration of one that listens.
    """
    name = f"joyn phone {platform.node()} {number} {'listen' if listening else 'send'}"
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"


def _number(subscription: Subscription, text: str) -> str:
    """A number as the network writes it. Raises Trouble."""
    from joyn.model.number import read
    from joyn.protocol.errors import ParseError

    if text.startswith(("sip:", "sips:", "tel:")):
        return text
    try:
        return read(text, subscription.country).e164
    except ParseError as error:
        todo = "Write it as people do (06 39 98 00 01, +33 6 39 98 00 01); --country says whose way is home."
        raise Trouble(f"{text!r} is no telephone number in {subscription.country}: it {error.what}", todo) from None


def _password(subscription: Subscription) -> str:
    """Raises Trouble when there is none."""
    path = subscription.password_file
    if path is not None:
        try:
            return path.read_text("utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise Trouble(f"the password cannot be read: {error}") from None
    if not sys.stdin.isatty():
        raise Trouble("there is no password", "Give --password-file, or a terminal to ask on.")
    return getpass.getpass(f"Password of {subscription.number}: ")
