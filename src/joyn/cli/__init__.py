"""The command line: noun, then verb, one file per noun. A command's file is imported when it is called.

Exit status: 0 done; 1 the answer is no (not valid, not found, not as it should be); 2 the command line is wrong;
3 the configuration cannot be used; 4 the node or its store could not do it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from joyn.cli.trouble import USAGE, Trouble, report

if TYPE_CHECKING:
    from cyclopts import App

COMMANDS: Final = {
    "init": ("joyn.cli.init:init", "Write a configuration, a development CA and a certificate."),
    "check": ("joyn.cli.check:check", "Is everything as it should be?"),
    "run": ("joyn.cli.run:run", "Run the node."),
    "demo": ("joyn.cli.demo:demo", "See it work: two operators on this machine, and a phone of each."),
    "config": ("joyn.cli.config:app", "The configuration."),
    "subscriber": ("joyn.cli.subscriber:app", "Subscribers: who they are and how their devices prove it."),
    "binding": ("joyn.cli.binding:app", "Contact bindings: the devices that are registered."),
    "device": ("joyn.cli.device:app", "Devices that were set up, and signing them out."),
    "peer": ("joyn.cli.peer:app", "Peer operators: exchanging files, and how it stands with each."),
    "sms": ("joyn.cli.sms:app", "SMS that the node sends: one-time codes."),
    "route": ("joyn.cli.route:route", "Where a number belongs, and how that is known."),
    "port": ("joyn.cli.port:app", "Ported numbers: those that are not with the operator of their range."),
    "topology": ("joyn.cli.topology:app", "Topology files: operators, countries and their numbers."),
    "message": ("joyn.cli.message:app", "Messages and what became of them."),
    "phone": ("joyn.cli.phone:app", "Be a phone for a moment: send, listen, ask."),
    "decode": ("joyn.cli.decode:decode", "Print what a SIP, MSRP or CPIM message says, or where it is wrong."),
    "version": ("joyn.cli.version:version", "Print the version."),
}
"""Where each command lives, and its line in the help. A new one is a file here and a line above."""

HELP: Final = "An operator's own messenger on the RCS standards."


def make_app() -> App:
    """The application; cyclopts imports a command's file when it is called or its help is shown."""
    from cyclopts import App

    app = App(name="joyn", help=HELP, version_flags=[], help_format="plaintext")
    for name, (place, sentence) in COMMANDS.items():
        app.command(place, name=name, help=sentence)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    from cyclopts import CycloptsError

    try:
        status = make_app()(arguments, exit_on_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError:  # cyclopts has printed it
        return USAGE
    except Trouble as trouble:
        return report(trouble)
    except BrokenPipeError:  # `joyn ... | head`: nobody reads on, and Python would say so at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status if isinstance(status, int) else 0
