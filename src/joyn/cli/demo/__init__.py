"""`joyn demo`: operators on this machine, phones that chat across their border, and how to join them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from joyn.cli.trouble import UNABLE, Trouble

if TYPE_CHECKING:
    from rich.console import Console

    from joyn.cli.demo.operator import Company
    from joyn.cli.demo.scene import Scene
    from joyn.cli.demo.story import Actor

BEAT: Final = 1.0
"""Seconds: time to read a line before the next one."""
TWO: Final = "france"
"""Orange and SFR."""
ALONE: Final = "none"
"""One operator."""


def demo(
    *,
    topology: Annotated[
        str,
        Parameter(
            help="france: Orange and SFR, interconnected. none: one operator. europe, or a topology file: all of its "
            "operators, and a message from each to each."
        ),
    ] = TWO,
    directory: Annotated[Path, Parameter(help="Where the data are kept.")] = Path("demo"),
    host: Annotated[str, Parameter(help="The address to listen on; one that other devices reach lets them join.")] = (
        "127.0.0.1"
    ),
    once: Annotated[bool, Parameter(negative="", help="End after the conversation.")] = False,
    beat: Annotated[float, Parameter(help="Seconds between two things that happen.")] = BEAT,
) -> None:
    """Run two operators on this machine that have exchanged their files, and a phone of each; say how to join them.

    Ctrl-C ends it. The numbers are from ranges kept for fiction, or given to nobody.
    """
    # A console of another character set shows what it can.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_run(topology, directory, host, once=once, beat=beat))
        return
    print("\nStopped.")


async def _run(topology: str, directory: Path, host: str, *, once: bool, beat: float) -> None:
    from joyn.cli.signals import on_signals

    main = asyncio.current_task()
    assert main is not None
    on_signals(main.cancel, signal.SIGTERM)
    if topology in (TWO, ALONE):
        await _chat(topology == TWO, directory, host, once=once, beat=beat)
        return
    from joyn.cli.demo.topology import read, show

    await show(read(topology), directory / Path(topology).stem, host, once=once)


async def _chat(interconnected: bool, directory: Path, host: str, *, once: bool, beat: float) -> None:
    from rich.console import Console

    from joyn.cli.demo.cast import one_operator, two_operators
    from joyn.cli.demo.operator import LOG, running
    from joyn.cli.demo.scene import Scene
    from joyn.cli.demo.story import on_stage, screens
    from joyn.phone import Rejected

    console = Console(highlight=False, soft_wrap=True)
    async with running(two_operators() if interconnected else one_operator(), directory, host) as company:
        scene = Scene(screens(company))
        _introduce(company, console, once=once)
        try:
            async with on_stage(company, scene, beat) as actors:
                await _play(company, scene, console, actors, beat)
                if not once:
                    await _go_on(company, scene)
        except (TimeoutError, Rejected) as error:
            what = str(error) or "something did not happen in time"
            raise Trouble(f"the conversation broke off: {what}", f"{directory / LOG}", UNABLE) from None


def _introduce(company: Company, console: Console, *, once: bool) -> None:
    servers = " and ".join(f"{one.cast.name} on {one.server}" for one in company.operators)
    if company.interconnected:
        from joyn.cli.demo.exchange import DIRECTORY

        console.print(f"[bold]joyn demo[/bold]  two operators: {servers}")
        console.print(
            f"  they are peers by the files they exchanged, in {company.directory / DIRECTORY}/", markup=False
        )
    else:
        console.print(f"[bold]joyn demo[/bold]  an operator on {company.operators[0].server}")
    for note in company.notes:
        console.print(f"  {note}", markup=False)
    # A page that ends with the conversation leads nobody anywhere.
    if company.stage is not None and not once:
        console.print("\nTwo phones to sign in with, and their text messages, in a browser on this machine:")
        console.print(f"  [bold]{company.stage.url}[/bold]")
    console.print()


async def _play(company: Company, scene: Scene, console: Console, actors: dict[str, Actor], beat: float) -> None:
    """The conversation, drawn on a terminal, told line by line elsewhere."""
    from joyn.cli.demo.story import Story

    story = Story(actors, scene, beat, interconnected=company.interconnected)
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


async def _go_on(company: Company, scene: Scene) -> None:
    """Say how to join, and what others do, until somebody stops us."""
    from joyn.cli.demo.joining import invitation, watch

    print(invitation(company))
    watch(company, scene)
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
