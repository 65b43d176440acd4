"""Draws the scene for a terminal: the two phones side by side, within 100 columns and the terminal's height."""

from __future__ import annotations

import time
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from joyn.cli.demo.scene import Bubble, Scene, Screen
from joyn.cli.printing import plain

WIDTH: Final = 100
MIN_ROWS: Final = 6
MAX_ROWS: Final = 21
AROUND: Final = 6
"""Lines of a frame that are not rows of a screen: borders, caption, and one for the cursor."""

TICKS: Final = {"pending": "○", "sent": "✓", "delivered": "✓✓", "displayed": "✓✓"}
STYLES: Final = {"displayed": "green", "failed": "red", "forbidden": "red", "error": "red"}


def frame(scene: Scene, *, width: int = WIDTH, height: int = 30) -> RenderableType:
    """All of it."""
    rows = max(MIN_ROWS, min(MAX_ROWS, height - AROUND))
    each = min(width, WIDTH) // len(scene.screens)
    phones = Table.grid(padding=0)
    for _ in scene.screens:
        phones.add_column(width=each)
    phones.add_row(*(_phone(screen, each, rows) for screen in scene.screens.values()))
    return Group(phones, Text(f" {scene.caption}", style="italic", overflow="ellipsis", no_wrap=True))


def _phone(screen: Screen, width: int, rows: int) -> Panel:
    inner = width - 4
    lines = _lines(screen, inner)
    # Of a long chat the end is shown; a short one begins at the top.
    lines = lines[-rows:] + [Text()] * (rows - len(lines))
    presence = Text.assemble(
        ("●", "not dim green" if screen.online else "red"), " registered" if screen.online else " no network"
    )
    return Panel(
        Group(*lines),
        box=box.ROUNDED,
        title=Text.assemble(
            (f" {screen.name} ", "not dim bold"),
            f"{screen.number} ",
            (f"{screen.operator} " if screen.operator else "", "not dim"),
        ),
        title_align="left",
        subtitle=Text.assemble(" ", presence, (f" · {screen.kind} ", "dim")),
        subtitle_align="right",
        border_style="dim",
        width=width,
    )


def _lines(screen: Screen, width: int) -> list[Text]:
    lines = []
    console = Console(width=width)
    for bubble in screen.bubbles:
        wrapped = Text(plain(bubble.text)).wrap(console, max(1, width * 3 // 4))
        for line in wrapped:
            line.rstrip()
            lines.append(_side(line, bubble, width))
        lines += [_side(_below(bubble), bubble, width), Text()]
    if screen.typing:
        lines.append(Text(f"{screen.typing} is typing …", style="dim italic"))
    return lines


def _side(line: Text, bubble: Bubble, width: int) -> Text:
    """One's own on the right, others' on the left, each with a bar at its edge."""
    if not bubble.own:
        return Text.assemble(("▏ ", "blue"), line)
    return Text.assemble(" " * (width - cell_len(line.plain) - 2), line, (" ▕", "cyan"))


def _below(bubble: Bubble) -> Text:
    """When, and what the sender knows of it."""
    clock = time.strftime("%H:%M:%S", time.localtime(bubble.at))
    if bubble.own:
        style = STYLES.get(bubble.state, "dim")
        mark = TICKS.get(bubble.state, "✗")
        return Text.assemble((f"{clock}  ", "dim"), (f"{mark} {bubble.state}", style))
    waited = f"  waited {bubble.waited:.0f} s in the mailbox" if bubble.waited else ""
    return Text(f"{plain(bubble.author)}  {clock}{waited}", style="dim")
