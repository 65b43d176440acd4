"""`joyn demo`: one operator on this machine, two phones that chat, and how to join them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from joyn.cli.trouble import UNABLE, Trouble

if TYPE_CHECKING:
    from rich.console import Console

    from joyn.cli.demo.operator import Operator
    from joyn.cli.demo.scene import Scene
    from joyn.cli.demo.story import Actor
    from joyn.model.binding import Binding
    from joyn.protocol.reginfo import Event

BEAT: Final = 1.0
"""Seconds: time to read a line before the next one."""


def demo(
    *,
    directory: Annotated[Path, Parameter(help="Where the data are kept.")] = Path("demo"),
    host: Annotated[str, Parameter(help="The address to listen on; one that other devices reach lets them join.")] = (
        "127.0.0.1"
    ),
    once: Annotated[bool, Parameter(negative="", help="End after the conversation.")] = False,
    beat: Annotated[float, Parameter(help="Seconds between two things that happen.")] = BEAT,
) -> None:
    """Run one operator on this machine, and two phones that chat through it; say how to join them with a third.

    Ctrl-C ends it. The numbers are from the range France keeps for fiction.
    """
    # A console of another character set shows what it can.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_run(directory, host, once=once, beat=beat))
        return
    print("\nStopped.")


async def _run(directory: Path, host: str, *, once: bool, beat: float) -> None:
    from rich.console import Console

    from joyn.cli.demo.operator import running
    from joyn.cli.demo.scene import Scene
    from joyn.cli.demo.story import on_stage, screens
    from joyn.cli.signals import on_signals
    from joyn.phone import Rejected

    main = asyncio.current_task()
    assert main is not None
    on_signals(main.cancel, signal.SIGTERM)
    console = Console(highlight=False, soft_wrap=True)
    scene = Scene(screens())
    async with running(directory, host) as operator:
        console.print(f"[bold]joyn demo[/bold]  an operator on {operator.server}")
        for note in operator.notes:
            console.print(f"  {note}", markup=False)
        if operator.stage is not None:
            console.print("\nTwo phones to sign in with, and their text messages, in a browser on this machine:")
            console.print(f"  [bold]{operator.stage.url}[/bold]")
        console.print()
        try:
            async with on_stage(operator, scene, beat) as actors:
                await _play(scene, console, actors, beat)
                if not once:
                    await _go_on(operator, scene)
        except (TimeoutError, Rejected) as error:
            what = str(error) or "something did not happen in time"
            raise Trouble(f"the conversation broke off: {what}", f"{operator.directory}/node.log", UNABLE) from None


async def _play(scene: Scene, console: Console, actors: dict[str, Actor], beat: float) -> None:
    """The conversation, drawn on a terminal, told line by line elsewhere."""
    from joyn.cli.demo.story import Story

    story = Story(actors, scene, beat)
    if not console.is_terminal:
        scene.tell = tell
        await story.play()
        return
    from rich.live import Live

    from joyn.cli.demo.screen import frame

    with Live(console=console, auto_refresh=False) as live:
        scene.changed = lambda: live.update(frame(scene, width=console.width, height=console.height), refresh=True)
        await story.play()
        scene.changed = lambda: None
    scene.tell = tell


async def _go_on(operator: Operator, scene: Scene) -> None:
    """Say how to join, and what others do, until somebody stops us."""
    print(invitation(operator))
    _watch(operator, scene)
    sys.stdout.flush()
    try:
        await asyncio.Event().wait()
    finally:
        scene.tell = lambda _who, _what: None  # that our own phones leave in the end is no news


def tell(who: str, what: str) -> None:
    """One line for one happening."""
    now = time.time()
    clock = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1000):03d}"
    print(f"{clock}  {who:<8} {what}" if who else f"\n{what}")
    sys.stdout.flush()


def _watch(operator: Operator, scene: Scene) -> None:
    """Tell of devices that come and go."""
    from joyn.cli.demo.operator import GUESTS
    from joyn.model.aor import Aor

    registrar = operator.node.registrar
    bound, unbound = registrar.on_bound, registrar.on_unbound

    def on_bound(binding: Binding, fresh: bool) -> None:
        bound(binding, fresh)
        if fresh:
            scene.tell(scene.name(_number(binding)), f"registered from {_device(binding)}")

    def on_unbound(binding: Binding, event: Event) -> None:
        unbound(binding, event)
        scene.tell(scene.name(_number(binding)), "is gone")

    registrar.on_bound, registrar.on_unbound = on_bound, on_unbound
    for guest in GUESTS:
        for binding in registrar.of(Aor(f"tel:{guest}")):
            scene.tell(guest, f"is registered from {_device(binding)}")


def _number(binding: Binding) -> str:
    return binding.aor.partition(":")[2]


def _device(binding: Binding) -> str:
    from joyn.cli.printing import plain

    transport = binding.flow.partition("|")[0].upper()
    return f"{plain(binding.user_agent) or 'an unnamed client'} over {transport}"


def invitation(operator: Operator) -> str:
    """What to type into a third phone, and whom to write to."""
    from joyn.cli.demo.operator import BOB, GUESTS

    guest, other = GUESTS
    password, joyn, files = operator.passwords[guest], _command(), operator.directory
    account = (
        f"--number {guest} --server {operator.server} \\\n"
        f"        --password-file {(files / 'passwords' / guest).as_posix()}"
    )
    return f"""\

Join them with a third phone: it is a subscriber already.

    username   {guest}                  or  {other}
    password   {password}                         {operator.passwords[other]}
    domain     {operator.domain}
    proxy      sip:{operator.server};transport=tcp   or  transport=udp

Linphone: "Use a SIP account" with username, password, domain and transport as above; then, in the
settings of that account, the proxy above as its SIP server address and as its outbound proxy.

baresip: it leaves loopback out unless its file "config" has `net_interface {operator.host}` and
`sip_listen {operator.host}:0`. In its file "accounts" this line:
<sip:{guest}@{operator.domain}>;auth_pass={password};outbound="sip:{operator.server}"

No phone at hand? From another terminal, send, and then fetch the answers that wait:
    {joyn} phone send {BOB} hello {account}
    {joyn} phone listen --seconds 5 {account}

Write to Bob, sip:{BOB}@{operator.domain}: he answers whoever writes to him, and so does Alice.
Look behind the scenes:
    {joyn} binding list --config {(files / "joyn.toml").as_posix()}

This goes on until you press Ctrl-C.
"""


def _command() -> str:
    """How to call us from another terminal."""
    if shutil.which("joyn"):
        return "joyn"
    called = Path(sys.argv[0])
    return "python -m joyn" if called.name == "__main__.py" else called.as_posix()
