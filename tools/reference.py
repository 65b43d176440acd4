"""Writes docs/reference from the code: `make docs`. With --check, says which pages are out of date and exits with 1."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import get_args

import joyn.cli
from joyn.config import Settings, hints_of, is_tables, rows
from joyn.telemetry import EVENTS, level_of

PAGES = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "<!-- Written by tools/reference.py from the code: `make docs`. -->\n"


def config_page() -> str:
    """Every key, its default and its sentence."""
    lines = [
        "# Configuration",
        "",
        "One TOML file, `joyn.toml`. `joyn init` writes one, `joyn config show` prints it. Unknown keys are",
        'errors. Durations are written "30s", "5m", "7d", sizes "64KiB"; secrets are paths of files.',
    ]
    settings = Settings()
    for section in dataclasses.fields(settings):
        value = getattr(settings, section.name)
        lines += ["", f"## [{section.name}]", "", type(value).__doc__ or "", *_keys(value)]
        for field in dataclasses.fields(value):
            if is_tables(value, field.name):
                # The first of the default, or what one is when it says nothing.
                table = next(iter(getattr(value, field.name)), None) or get_args(hints_of(type(value))[field.name])[0]()
                lines += ["", f"### [[{section.name}.{field.name}]]", "", type(table).__doc__ or "", *_keys(table)]
    return "\n".join(lines) + "\n"


def _keys(section: object) -> list[str]:
    lines = ["", "| Key | Default | Meaning |", "|---|---|---|"]
    for field, shown, _ in rows(section):
        if not is_tables(section, field.name):
            # What follows another key has no default of its own.
            default = "" if field.metadata["follows"] or field.default is None else f"`{shown}`"
            lines.append(f"| `{field.name}` | {default} | {field.metadata['sentence']} |")
    return lines


def cli_page() -> str:
    """Every command, from its help."""
    commands = joyn.cli.make_app().generate_docs(recursive=True)
    # Its list of contents repeats its list of commands.
    commands = re.sub(r"## Table of Contents\n.*?\n(?=\*\*Commands\*\*)", "", commands, flags=re.DOTALL)
    status = (joyn.cli.__doc__ or "").partition("Exit status: ")[2].replace("\n", " ").strip()
    items = [f"- `{item[0]}`: {item[2:].strip(' .')}" for item in status.split("; ")]
    return "\n".join([commands.rstrip(), "", "## Exit status", "", *items]) + "\n"


def events_page() -> str:
    """Every event, its level and its sentence."""
    lines = [
        "# Events",
        "",
        "What the node counts and logs. `log.level` decides what is written; everything is counted. Numbers lose their",
        "last four digits and bodies are never written.",
    ]
    for level in ("warning", "info", "debug"):
        lines += ["", f"## {level.capitalize()}", "", "| Event | Meaning |", "|---|---|"]
        lines += [f"| `{name}` | {sentence} |" for name, sentence in sorted(EVENTS.items()) if level_of(name) == level]
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Each page and what it should say."""
    made = {"config.md": config_page(), "cli.md": cli_page(), "events.md": events_page()}
    return {PAGES / name: NOTE + text for name, text in made.items()}


def stale() -> list[str]:
    """The names of the pages that say something else than the code."""
    return [path.name for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]


def main() -> int:
    """Write, or check."""
    if "--check" in sys.argv[1:]:
        found = stale()
        print(f"out of date: {', '.join(found)}; run `make docs`" if found else "docs/reference is current")
        return 1 if found else 0
    PAGES.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
