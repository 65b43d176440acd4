"""/api/files: a browser's leave to use the content server, which is on another origin and knows no cookie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from joyn.edge.http.describing import Asked, Caller, Operation, Provider, Serve
from joyn.services.files.tickets import Tickets

__all__ = ["FileLeaveDoor"]


class Leave(msgspec.Struct, frozen=True):
    """Where files go: uploads to `url` and /content, with the ticket as a bearer token, good until then (Unix seconds).

    Sizes are in bytes; above `warn_above` people are asked first. `others` are the origins of other operators' content
    servers, which files are fetched from without a ticket.
    """

    url: str
    ticket: str
    until: float
    max_file: int
    warn_above: int
    others: list[str]


LEAVE: Final = Operation(
    method="GET",
    path="/api/files",
    summary="Leave to send files.",
    answer=Leave,
    # No failure: browsers would complain of one to whoever looks, each time the page is opened.
    nothing="The operator has no content server.",
)


class FileLeaveDoor(Provider):
    """The provider. `url` is where the content server is now, empty for none; `others` are Leave's."""

    def __init__(
        self,
        tickets: Tickets,
        url: Callable[[], str],
        caller: Caller,
        *,
        others: Callable[[], Sequence[str]],
        max_file: int,
        warn_above: int,
    ) -> None:
        self._tickets = tickets
        self._url = url
        self._others = others
        self._max_file = max_file
        self._warn_above = warn_above
        super().__init__(caller)

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """What it serves."""
        return ((LEAVE, self._leave),)

    async def _leave(self, asked: Asked) -> Leave | None:
        url = self._url()
        if not url:
            return None
        ticket, until = self._tickets.make(asked.aor, asked.device)
        return Leave(
            url=url,
            ticket=ticket,
            until=until,
            max_file=self._max_file,
            warn_above=self._warn_above,
            others=list(self._others()),
        )
