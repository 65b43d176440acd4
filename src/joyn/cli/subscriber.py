"""`joyn subscriber`: whose numbers these are."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath, moment, plain, table
from joyn.cli.trouble import NO, Trouble, settings_of

if TYPE_CHECKING:
    from joyn.config import Settings
    from joyn.model.aor import Aor

app = App(name="subscriber", help="Subscribers: who they are and how their devices prove it.", help_format="plaintext")

PASSWORD_BYTES: Final = 12
"""Of a generated password: 96 bits, 16 characters to type."""

Number = Annotated[str, Parameter(help="A telephone number as people write it, or name@domain.")]
PasswordFile = Annotated[Path | None, Parameter(help="Take the password from the first line of a file.")]
Prompt = Annotated[bool, Parameter(negative="", help="Ask for the password instead of making one.")]


@app.command
def add(
    number: Number,
    *,
    name: Annotated[str, Parameter(help="How others see them.")] = "",
    username: Annotated[str, Parameter(help="The digest username; the number if not given.")] = "",
    algorithms: Annotated[str, Parameter(help="Digest algorithms to offer, best first: SHA-256,MD5")] = "",
    password_file: PasswordFile = None,
    prompt: Prompt = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Add a subscriber. Unless told otherwise, makes a password and prints it once."""
    settings = settings_of(config)
    aor = _aor(settings, number)
    policy = _algorithms(algorithms)
    user = username or aor.partition(":")[2].partition("@")[0]
    password, made = _password(password_file, prompt)

    async def work(access: Any) -> None:
        if await access.get(aor) is not None:
            raise Trouble(
                f"{aor} is a subscriber already", f"`joyn subscriber password {number}` gives them a new password."
            )
        changes = {"username": user, "display_name": name, **_credentials(settings, user, password)}
        await access.put(aor, changes | ({"algorithms": policy} if policy else {}))

    _with(settings, work)
    print(f"{aor} is a subscriber now.")
    _note_kind(aor, settings.operator.country)
    _tell(settings, user, password if made else "")


@app.command(name="list")
def list_(*, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """List all subscribers."""
    found = _with(settings_of(config), lambda access: access.subscribers())
    table(
        ("AOR", "name", "username", "algorithms", "blocked"),
        [
            (
                one["aor"],
                one["display_name"],
                one["username"],
                ",".join(one["algorithms"]),
                "yes" if one["blocked"] else "",
            )
            for one in found
        ],
        nothing="There are no subscribers. `joyn subscriber add` makes one.",
    )


@app.command
def show(number: Number, *, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show one subscriber."""
    settings = settings_of(config)
    found = _existing(settings, number)
    rows = {
        "AOR": found["aor"],
        "name": found["display_name"],
        "username": found["username"],
        "realm": found["realm"],
        "algorithms": ", ".join(found["algorithms"]),
        "blocked": "yes" if found["blocked"] else "no",
        "since": moment(found["created_at"]),
    }
    for key, value in rows.items():
        print(f"{key:<11}{plain(value)}")
    if found["realm"] != settings.operator.realm:
        print(f"\nTheir password holds for another realm than {settings.operator.realm}: give them a new one.")


@app.command
def password(
    number: Number, *, password_file: PasswordFile = None, prompt: Prompt = False, config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """Give a subscriber a new password."""
    settings = settings_of(config)
    user = _existing(settings, number)["username"]
    text, made = _password(password_file, prompt)
    aor = _aor(settings, number)
    _with(settings, lambda access: access.put(aor, _credentials(settings, user, text)))
    print(f"{aor} has a new password.")
    _tell(settings, user, text if made else "")


@app.command
def block(number: Number, *, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Refuse a subscriber's devices from now on. What waits for them goes on waiting."""
    _block(settings_of(config), number, blocked=True)


@app.command
def unblock(number: Number, *, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Let a subscriber's devices in again."""
    _block(settings_of(config), number, blocked=False)


@app.command
def quota(
    number: Number,
    room: Annotated[str, Parameter(help="Room for their files, as 500MiB; `default` for what everybody has.")] = "",
    /,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show how much room a subscriber's files take and may take, or change it."""
    from rich.filesize import decimal

    from joyn.config import ConfigError, size_of, written_size

    settings = settings_of(config)
    found = _existing(settings, number)
    aor, own = found["aor"], found["file_quota"]
    if room:
        try:
            own = 0 if room == "default" else size_of(room)
        except ConfigError as error:
            raise Trouble(f"{room} {error.what}", "`default` is what everybody has.") from None
        _with(settings, lambda access: access.put(aor, {"file_quota": own}))
    used = _with(settings, lambda access: access.file_usage(aor))
    whose = "their own" if own else "everybody's"
    print(f"{aor}: {decimal(used)} of {written_size(own or settings.files.quota)} ({whose} quota)")


@app.command
def remove(number: Number, *, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Forget a subscriber, their devices and everything in their mailbox."""
    settings = settings_of(config)
    aor = _aor(settings, number)
    if not _with(settings, lambda access: access.remove(aor)):
        raise _unknown(aor)
    print(f"{aor} is no subscriber any more.")


def _block(settings: Settings, number: str, *, blocked: bool) -> None:
    aor = _existing(settings, number)["aor"]
    _with(settings, lambda access: access.put(aor, {"blocked": blocked}))
    print(f"{aor} is {'blocked' if blocked else 'let in'}.")


def _existing(settings: Settings, number: str) -> dict[str, Any]:
    aor = _aor(settings, number)
    found = _with(settings, lambda access: access.get(aor))
    if found is None:
        raise _unknown(aor)
    return dict(found)


def _unknown(aor: Aor) -> Trouble:
    return Trouble(f"{aor} is no subscriber", "`joyn subscriber list` shows who is.", NO)


def _aor(settings: Settings, number: str) -> Aor:
    from joyn.cli.access import aor_of

    return aor_of(settings, number)


def _with(settings: Settings, work: Any) -> Any:
    from joyn.cli.access import opened

    async def run() -> Any:
        async with opened(settings) as access:
            return await work(access)

    return asyncio.run(run())


def _algorithms(text: str) -> list[str]:
    from joyn.protocol.sip.digest import ALGORITHMS

    asked = [one.strip().upper() for one in text.split(",") if one.strip()]
    for one in asked:
        if one not in ALGORITHMS:
            raise Trouble(f"--algorithms: {one} is not known", f"Known are {', '.join(ALGORITHMS)}.")
    return asked


def _password(file: Path | None, prompt: bool) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    if file is not None:
        try:
            text = file.read_text("utf-8").partition("\n")[0].strip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise Trouble(f"{file}: {error}") from None
    elif prompt:
        import getpass

        text = getpass.getpass("Password: ")
        if text != getpass.getpass("The same again: "):
            raise Trouble("the two are not the same")
    else:
        return secrets.token_urlsafe(PASSWORD_BYTES), True
    if not text:
        raise Trouble("the password is empty")
    return text, False


def _credentials(settings: Settings, username: str, password: str) -> dict[str, Any]:
    """What is kept of a password: one hash per algorithm, so that a policy can change without a new password."""
    from joyn.protocol.sip.digest import ALGORITHMS, ha1

    realm = settings.operator.realm
    return {"realm": realm, "ha1": {one: ha1(username, realm, password, one) for one in ALGORITHMS}}


def _note_kind(aor: Aor, country: str) -> None:
    """A word about a number that the country's plan gives to no mobile: usually somebody mistyped."""
    from joyn.model.number import read

    why = read(aor[4:], country).why_not_mobile if aor.startswith("tel:+") else ""
    if why:
        print(f"  Note: it {why}.")


def _tell(settings: Settings, username: str, made: str) -> None:
    print(f"  domain    {settings.operator.domain}\n  username  {username}")
    if made:
        print(f"  password  {made}   (shown this once)")
    print(f"  server    {_servers(settings)}")


def _servers(settings: Settings) -> str:
    """Where devices register: the addresses, and how each is spoken to."""
    reached: dict[str, list[str]] = {}
    for one in settings.sip.listeners:
        host = f"[{one.advertise}]" if ":" in one.advertise and "[" not in one.advertise else one.advertise
        address = f"{host}:{one.port}" if one.port else f"{host}, on a port chosen at the start"
        reached.setdefault(address, []).append(one.transport)
    return ", ".join(f"{address} ({', '.join(kinds)})" for address, kinds in reached.items())
