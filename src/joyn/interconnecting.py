"""The interconnect, wired: links to peers, their border with us, and where every number leads.

Peers have an endpoint of their own: what one of them does cannot take anything from our subscribers' listeners.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, replace
from random import random
from typing import Any, Final

from joyn.config import Settings
from joyn.edge.interconnect import BorderDoor, Homes
from joyn.model.aor import Aor, Numbering
from joyn.model.message import Address, Deposit, Entry, EntryKind, Message, State
from joyn.model.peer import Peer, mailbox_of, operator_of
from joyn.model.refused import Reason, Refused
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.transaction import Timers
from joyn.services.capabilities import Capabilities, Presence
from joyn.services.interconnect.asking import Asking
from joyn.services.interconnect.interconnect import Interconnect
from joyn.services.interconnect.requests import Requests
from joyn.services.messaging.destination import Destination
from joyn.services.messaging.originating import Originating
from joyn.store import Store
from joyn.transport.sip import Endpoint, Flow, Limits, Listener

__all__ = ["InterconnectService"]

log = logging.getLogger(__name__)

PATIENCE: Final = 10.0
"""Seconds that a peer may take to answer a request."""
MAX_BODY: Final = 256 << 10
"""Bytes of a request's body at the border; what is larger comes over MSRP."""
MAX_IN_FLIGHT: Final = 2_000
"""Requests of all peers that are being worked on at a time."""
MAX_MOVED: Final = 100_000
"""Numbers that are remembered to have moved since the start; beyond that every entry's home is looked up."""
FORWARD_AT_ONCE: Final = 64
"""Entries of a mailbox whose owner has left that are read at a time."""
