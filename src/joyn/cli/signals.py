"""What a command does when it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable


def on_signals(stop: Callable[[], object], *signals: signal.Signals) -> None:
    """Call `stop` when one of these comes to the process, whose event loop this is.

    On Windows loops take no signals: there Ctrl-C interrupts, and nothing else is sent.
    """
    if sys.platform == "win32":
        return
    loop = asyncio.get_running_loop()
    for one in signals:
        loop.add_signal_handler(one, stop)
