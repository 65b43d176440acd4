"""`joyn run`: the node, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from typing import TYPE_CHECKING, Any

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath
from joyn.cli.signals import on_signals
from joyn.cli.trouble import CONFIG, UNABLE, Trouble, settings_of

if TYPE_CHECKING:
    from joyn.config import Settings


COLLECT = (20_000, 20, 50)
"""When the garbage collector looks: after so many new objects, and so on (gc.set_threshold)."""


def run(*, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run the node until SIGINT or SIGTERM. What was accepted is on disk when it ends."""
    from joyn import telemetry

    settings = settings_of(config)
    telemetry.configure(settings.log.level, settings.log.format)
    raise_file_limit()
    if sys.platform == "win32":
        asyncio.run(serve(settings))
    else:
        import uvloop

        uvloop.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Start the node, wait for the signal, stop it. Raises Trouble when it cannot start."""
    from joyn.config import ConfigError
    from joyn.node import Locked, Node

    asyncio.get_running_loop().set_exception_handler(log_uncaught)
    node = Node(settings)
    try:
        await node.start()
    except ConfigError as error:
        raise Trouble(str(error), "", CONFIG) from None
    except Locked as error:
        raise Trouble(str(error), "", UNABLE) from None
    except FileNotFoundError as error:
        raise Trouble(f"the node cannot start: {error}", "`joyn check` looks at every file.", CONFIG) from None
    except OSError as error:
        raise Trouble(f"the node cannot start: {error}", "`joyn check` says which port is taken.", UNABLE) from None
    # What exists now lives as long as the process; messages die young. The collector need not look at the former.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)
    on_signals(node.request_stop, signal.SIGINT, signal.SIGTERM)
    try:
        await node.wait_stopped()
    finally:
        await node.stop()


def log_uncaught(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nothing else has caught, in the node's own lines. A failed handshake is the other side's affair."""
    from joyn import telemetry

    error = context.get("exception")
    kind = error if isinstance(error, type) else type(error)  # uvloop gives the class now and then
    if issubclass(kind, OSError):  # ssl.SSLError is one
        telemetry.event("connection.unsecured", error=kind.__name__)
        return
    what = str(context.get("message", "")).partition("\n")[0]
    found = error if isinstance(error, BaseException) else None
    telemetry.LOGGER.error("%s (%s)", what, kind.__name__, exc_info=found)


def raise_file_limit() -> int:
    """Let this process have as many connections as the system allows it; how many files that is (0: unknown)."""
    if sys.platform == "win32":
        return 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS says infinity and means less
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
