"""The part of the HTTP door that serves subscribers their own data: all its providers, and their description."""

from __future__ import annotations

from collections.abc import Sequence

from joyn.edge.http.blocks import BlocksDoor
from joyn.edge.http.describing import Caller, Provider
from joyn.edge.http.history import HistoryDoor
from joyn.edge.http.openapi import OpenApiDoor
from joyn.edge.http.profile import ProfileDoor
from joyn.edge.http.push import PushDoor
from joyn.edge.http.reports import ReportsDoor
from joyn.model.aor import Numbering
from joyn.services.history import Past
from joyn.services.push.push import Push
from joyn.store import Store

__all__ = ["own_data"]


def own_data(
    store: Store, past: Past, push: Push, numbering: Numbering, caller: Caller, others: Sequence[Provider] = ()
) -> list[Provider]:
    """The providers; `others` are served elsewhere and described here."""
    providers: list[Provider] = [
        HistoryDoor(past, caller),
        BlocksDoor(store.subscribers, numbering, caller),
        ProfileDoor(store.subscribers, caller),
        ReportsDoor(store.mailboxes, numbering, caller),
        PushDoor(push.waking, push.endpoints, push.public_key, caller),
    ]
    return [*providers, OpenApiDoor([*others, *providers], caller)]
