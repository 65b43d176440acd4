"""`joyn peer`: other operators, whose subscribers ours can write to. Each side gives the other one file."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath, moment, plain, table
from joyn.cli.trouble import CONFIG, NO, UNABLE, USAGE, Trouble, settings_of

if TYPE_CHECKING:
    from joyn.cli.access import Access
    from joyn.config import Settings
    from joyn.model.peer import Peer
    from joyn.model.peer_file import PeerFile
    from joyn.transport.peer_tls import Identity

app = App(name="peer", help="Peer operators: exchanging files, and how it stands with each.", help_format="plaintext")

SUFFIX = ".joyn-peer.toml"
"""How the files that are exchanged end."""

NONE = "There are no peers. `joyn peer invite` and `joyn peer accept` make one."
Domain = Annotated[str, Parameter(help="The peer's domain.")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask.")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


@app.command
def invite(
    file: Annotated[Path | None, Parameter(help="Where to write; a directory gets DOMAIN.joyn-peer.toml.")] = None,
    *,
    for_: Annotated[str, Parameter(name="--for", help="Who gets it, as a comment in the file.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write this operator's own file, for another operator. There is no secret in it, but it must arrive unchanged."""
    from joyn.model.peer_file import check_code

    settings = settings_of(config)
    own, text = own_file(settings)
    if for_:
        text = f"# For {plain(for_)}.\n{text}"
    # On standard error, so that the file alone is in a pipe.
    told = _told(settings, own, check_code(own), for_)
    if file is None or str(file) == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        told = [f"{place_file(file, settings, text)} is written.", *told]
    print("\n".join(told), file=sys.stderr)


@app.command
def accept(
    file: Annotated[Path, Parameter(help="The other operator's file; - reads standard input, with --yes.")],
    *,
    yes: Yes = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> int:
    """Make another operator a peer by its file, or take what a newer file of it says. `joyn peer remove` undoes it."""
    from joyn.cli.peer_words import changes_of, printed, said_by, warnings_of
    from joyn.model.peer_file import check_code

    settings = settings_of(config)
    text, read = read_file(settings, file)
    domain = read.peer.domain

    async def look(access: Access) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        return await access.peer(domain), await access.peers()

    known, all_peers = _with(settings, look)
    print(f"The file {file} says:\n")
    printed(said_by(read))
    print(f"\n  code         {check_code(read.peer)}\n")
    for warning in warnings_of(
        read, settings.interconnect.own_ranges, [one for one in all_peers if one["domain"] != domain], time.time()
    ):
        print(f"Look twice: {plain(warning)}.")
    if known is not None:
        changes = changes_of(known, read)
        if not changes:
            print(f"{domain} is a peer already, and the file says nothing new.")
            return 0
        print("\n".join(("It changes:", *(f"  {plain(one)}" for one in changes), "")))
    if not _agreed(f"Does {plain(read.peer.name)} read you the same code, by telephone, and shall it be accepted", yes):
        print("Nothing has changed.")
        return NO
    take_file(settings, domain, text)
    if known is None:
        print(f"{domain} is a peer now. Undo it with `joyn peer remove {domain}`.")
        print("Next, unless they have it: `joyn peer invite FILE` writes your file, which they accept.")
        print(f"How it stands then: `joyn peer show {domain}`.")
    else:
        print(f"{domain} is known by the new file now.")
    if not settings.interconnect.listeners:
        print("Peers cannot reach this node yet: it has no [[interconnect.listeners]].")
    return 0


@app.command(name="list")
def list_(*, as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """List the peers, and what waits for each."""
    from joyn.cli.peer_words import shortened, state_of, until

    found = _with(settings_of(config), lambda access: access.peers())
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    rows = [
        (
            one["domain"],
            one["name"],
            state_of(one),
            one["queue"],
            moment(one["changed_at"]),
            shortened(one["ranges"]),
            until(one),
        )
        for one in found
    ]
    table(("domain", "name", "state", "waiting", "file accepted", "numbers", "certificate until"), rows, nothing=NONE)


@app.command
def show(domain: Domain, *, as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show all that is known of one peer, and how it stands with it."""
    from joyn.cli.peer_words import described, printed

    settings = settings_of(config)
    found = _existing(settings, domain)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        printed(described(found, settings.interconnect))


@app.command
def change(
    domain: Domain,
    *,
    file_policy: Annotated[
        Literal["localise", "direct"] | None,
        Parameter(help="localise: its files come through our content server. direct: devices fetch them."),
    ] = None,
    rate: Annotated[int | None, Parameter(help="Requests a second it may send; 0: as configured.")] = None,
    keep_for: Annotated[str, Parameter(help='How long what is due to it waits, as "3d"; 0: as configured.')] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Change what is agreed with one peer alone. What is not named stays."""
    settings = settings_of(config)
    changes: dict[str, Any] = {"file_policy": file_policy, "rate": rate, "keep_for": _seconds(keep_for)}
    changes = {key: value for key, value in changes.items() if value is not None}
    if not changes:
        raise Trouble("nothing was named to change", f"`joyn peer show {domain}` shows what holds.", USAGE)
    found = _existing(settings, domain)["domain"]
    _with(settings, lambda access: access.put_peer(found, changes))
    print(f"{found} is changed.")


@app.command
def pause(
    domain: Domain,
    *,
    resume: Annotated[bool, Parameter(negative="", help="End the pause.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Send nothing to a peer and take nothing from it, until --resume. What is due to it waits."""
    settings = settings_of(config)
    found = _existing(settings, domain)["domain"]
    _with(settings, lambda access: access.put_peer(found, {"paused": not resume}))
    print(f"{found} is served again." if resume else f"{found} is paused. `joyn peer pause {found} --resume` ends it.")


@app.command
def rotate(
    *,
    switch: Annotated[bool, Parameter(negative="", help="Show the next certificate from now on.")] = False,
    back: Annotated[bool, Parameter(negative="", help="Show the previous one again.")] = False,
    yes: Yes = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> int:
    """Change this operator's own certificate without a break: first make the next one and give peers your new file,
    then --switch."""
    from joyn.transport import peer_tls

    if switch and back:
        raise Trouble("--switch and --back are one or the other", "", USAGE)
    settings = settings_of(config)
    identity = _identity(settings)
    peers = [one["domain"] for one in _with(settings, lambda access: access.peers())]
    if not switch and not back:
        made = peer_tls.rotate(
            identity.directory, *_named(settings), now=time.time(), valid_for=settings.interconnect.certificate_for
        )
        _tell_rotation(made, peers, fresh=identity.next is None)
        return 0
    if switch and identity.next is None:
        raise Trouble("there is no next certificate to switch to", "`joyn peer rotate` makes one.")
    if switch and not _agreed(f"Have all of {', '.join(peers) or 'your peers'} accepted your new file? Switch", yes):
        print("Nothing has changed.")
        return NO
    try:
        shown = (peer_tls.switch if switch else peer_tls.switch_back)(identity.directory)
    except LookupError as error:
        raise Trouble(str(error), "`joyn peer rotate` says what there is.") from None
    told = _with(settings, lambda access: access.certificates_switched())
    _tell_switch(shown, switch, told)
    return 0


@app.command
def remove(domain: Domain, *, yes: Yes = False, config: ConfigPath = DEFAULT_CONFIG) -> int:
    """Make an operator a peer no more: its connections end, and its certificate is worth nothing here."""
    from joyn.cli.peer_words import counted

    settings = settings_of(config)
    found = _existing(settings, domain)
    domain = found["domain"]
    if found["queue"]:
        print(f"Still waiting for {domain}: {counted(found['queue'])}. They fail when their time is over, and their")
        print("senders are told; if it is accepted again before that, they go.")
    if not _agreed(f"Remove {domain}", yes):
        print("Nothing has changed.")
        return NO
    _with(settings, lambda access: access.remove_peer(domain))
    print(f"{domain} is no peer any more. Its file, accepted again, makes it one.")
    return 0


def own_file(settings: Settings) -> tuple[Peer, str]:
    """What this operator tells others of itself, and the file that says it. Raises Trouble."""
    from joyn.model.peer_file import written

    own = own_peer(settings, _identity(settings))
    return own, written(own, time.time())


def own_peer(settings: Settings, identity: Identity) -> Peer:
    """What this operator tells others of itself. Raises Trouble when there is nothing yet that they could reach."""
    from joyn.model.peer import Peer, PeerAddress

    i, operator = settings.interconnect, settings.operator
    if not i.listeners:
        raise Trouble(
            "this node has no [[interconnect.listeners]], so that no peer could reach it",
            "Add them to joyn.toml, as `joyn init --interconnect` writes them: docs/howto/interconnect-operators.md",
            CONFIG,
        )
    for one in i.listeners:
        if not one.port:
            raise Trouble(f"interconnect.listeners: {one.name} has port 0, which no peer could be told", "", CONFIG)
    return Peer(
        domain=operator.domain.lower(),
        name=i.name or operator.name,
        addresses=tuple(PeerAddress(host=one.advertise.strip("[]"), port=one.port) for one in i.listeners),
        certificates=identity.exchanged,
        ranges=i.own_ranges,
        files=settings.files_url,
    )


def _identity(settings: Settings) -> Identity:
    """Our own certificates, made now if this is the first need."""
    from joyn.transport.peer_tls import ensure_identity

    try:
        directory = settings.interconnect_directory
        return ensure_identity(
            directory, *_named(settings), now=time.time(), valid_for=settings.interconnect.certificate_for
        )
    except (OSError, ValueError) as error:
        raise Trouble(str(error), "", UNABLE) from None


def _named(settings: Settings) -> tuple[str, list[str]]:
    """What a certificate names: the domain, and the hosts that peers come to."""
    i = settings.interconnect
    return settings.operator.domain, [one.advertise for one in (*i.listeners, *i.media)]


def _told(settings: Settings, own: Peer, code: str, reader: str) -> list[str]:
    """What to do with our file."""
    from joyn.cli.check import is_this_machine
    from joyn.model.peer_file import PeerFileError, parse, written

    try:
        # Settings are looser than the file: what others would refuse shall be found here.
        parse(written(own))
    except PeerFileError as error:
        raise Trouble(f"other operators would refuse the file: {error}", "Change it in joyn.toml.", CONFIG) from None
    told = [
        f"code  {code}",
        f"Give the file to {plain(reader) or 'the other operator'}. They run `joyn peer accept FILE`, which shows the "
        "code too: read it to each other by telephone.",
    ]
    if not own.ranges:
        told.append("It names no numbers: set interconnect.own_ranges, or others know yours by ENUM alone.")
    here = [one.advertise for one in settings.interconnect.listeners if is_this_machine(one.advertise)]
    if here:
        told.append(f"{', '.join(here)} is this machine alone: others need another interconnect.listeners.advertise.")
    return told


def place_file(file: Path, settings: Settings, text: str) -> Path:
    """Write our file, in the place of an older one of ours and of nothing else. Raises Trouble."""
    from joyn.model.peer_file import PeerFileError, parse

    domain = settings.operator.domain.lower()
    if file.is_dir():
        file /= domain + SUFFIX
    try:
        if file.exists() and parse(file.read_text("utf-8")).peer.domain != domain:
            raise Trouble(f"{file} is there already, and is another operator's", "Take another name.")
        file.write_text(text, "utf-8")
    except (PeerFileError, UnicodeDecodeError):
        raise Trouble(f"{file} is there already, and is no file of this kind", "Take another name.") from None
    except OSError as error:
        raise Trouble(f"{file}: {error.strerror}") from None
    return file


def read_file(settings: Settings, file: Path) -> tuple[str, PeerFile]:
    """The text of another operator's file, and what it says. Raises Trouble."""
    from joyn.model.peer_file import MAX_FILE, PeerFileError, parse

    operator = settings.operator
    try:
        if str(file) == "-":
            text = sys.stdin.read(MAX_FILE + 1)
        else:
            with file.open(encoding="utf-8") as opened:
                text = opened.read(MAX_FILE + 1)
        return text, parse(text, own=(operator.domain, *operator.extra_domains))
    except OSError as error:
        raise Trouble(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Trouble(f"{file}: is no text") from None
    except PeerFileError as error:
        raise Trouble(
            f"{file}: {error}", "Ask them for another; docs/howto/interconnect-operators.md has each key."
        ) from None


def take_file(settings: Settings, domain: str, text: str) -> None:
    """What an operator's file says holds from now on, at the running node at once. Raises Trouble."""
    _with(settings, lambda access: access.put_peer(domain, {"file": text}))


def _tell_rotation(identity: Identity, peers: list[str], *, fresh: bool) -> None:
    from joyn.cli.peer_words import day

    assert identity.next is not None
    print(f"Peers are shown a certificate that holds until {day(identity.current.not_after)}.")
    print(f"The next one {'is made' if fresh else 'is there'}; it holds until {day(identity.next.not_after)}.\n")
    print("1. `joyn peer invite FILE` writes your new file, which has both.")
    print(
        f"2. Give it to {', '.join(peers) or 'every peer'}; they accept it. Until then they would refuse the next one."
    )
    print("3. `joyn peer rotate --switch`.")


def _tell_switch(identity: Identity, forwards: bool, told: bool) -> None:
    from joyn.cli.peer_words import day

    which = "new" if forwards else "previous"
    print(f"Peers are shown the {which} certificate now; it holds until {day(identity.current.not_after)}.")
    if not told:
        print("No node runs; it is shown from the next start on.")
    if forwards:
        print("If a peer refuses it, `joyn peer rotate --back` shows the old one again.")


def _agreed(question: str, yes: bool) -> bool:
    if yes:
        return True
    try:
        return input(f"{question}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _seconds(text: str) -> float | None:
    from joyn.config import ConfigError, parse

    if text in ("", "0"):
        return None if not text else 0.0
    try:
        # Written as in joyn.toml.
        return parse(f"[interconnect]\nkeep_for = {json.dumps(text)}").interconnect.keep_for
    except ConfigError as error:
        raise Trouble(f"--keep-for {error.what}", "", USAGE) from None


def _existing(settings: Settings, domain: str) -> dict[str, Any]:
    found = _with(settings, lambda access: access.peer(domain.lower()))
    if found is None:
        raise Trouble(f"{plain(domain)} is no peer", "`joyn peer list` shows who is.")
    return dict(found)


def _with(settings: Settings, work: Callable[[Access], Coroutine[Any, Any, Any]]) -> Any:
    from joyn.cli.access import opened

    async def run() -> Any:
        async with opened(settings) as access:
            return await work(access)

    return asyncio.run(run())
