"""Draws docs/pictures/demo.svg: plays the demo's conversation against a real node, and keeps its last frame."""

from __future__ import annotations

import asyncio
import io
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from joyn.cli.demo.cast import two_operators
from joyn.cli.demo.operator import running
from joyn.cli.demo.scene import Scene
from joyn.cli.demo.screen import WIDTH, frame
from joyn.cli.demo.story import Story, on_stage, screens

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "demo.svg"
HEIGHT = 25
BEAT = 0.8
FONT = "ui-monospace, 'SF Mono', 'Cascadia Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace"
THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [(72, 79, 88), (255, 123, 114), (86, 211, 100), (227, 179, 65), (121, 192, 255), (210, 168, 255), (86, 212, 221),
     (177, 186, 196)],
)  # fmt: skip


async def play(scene: Scene) -> None:
    """The whole conversation, in an operator's directory that is thrown away."""
    with tempfile.TemporaryDirectory() as directory:
        async with running(Path(directory), "127.0.0.1") as operator, on_stage(operator, scene, BEAT) as actors:
            await Story(actors, scene, BEAT).play()
            # What on_stage does in the end, phones leaving, is no part of the picture.
            scene.changed = lambda: None


def drawn(scene: Scene) -> str:
    """The scene as SVG, with fonts that every system has: pictures in a README load nothing from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(frame(scene, width=WIDTH, height=HEIGHT))
    svg = console.export_svg(title="make demo", theme=THEME, unique_id="demo")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return re.sub(r"font-family: (Fira Code|arial).*?;", f"font-family: {FONT};", svg)


def main() -> int:
    """Play, draw, write."""
    scene = Scene(screens())
    asyncio.run(play(scene))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(drawn(scene), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
