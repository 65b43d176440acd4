"""MSRP over TCP and TLS: connections, the sessions bound to them, and their timers."""

from joyn.protocol.msrp.intake import Piece
from joyn.protocol.msrp.reassembly import Message
from joyn.transport.msrp.endpoint import MsrpEndpoint
from joyn.transport.msrp.handlers import Handler, Receiver
from joyn.transport.msrp.leg import CONNECTION_LOST, QUEUE_FULL, MsrpLeg
from joyn.transport.msrp.settings import MsrpLimits, MsrpListener
from joyn.transport.msrp.streams import ABORTED, Source

__all__ = [
    "ABORTED",
    "CONNECTION_LOST",
    "QUEUE_FULL",
    "Handler",
    "Message",
    "MsrpEndpoint",
    "MsrpLeg",
    "MsrpLimits",
    "MsrpListener",
    "Piece",
    "Receiver",
    "Source",
]
