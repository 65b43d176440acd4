"""MSRP: URIs, frames, the stream they come in, reassembly and the session.

Spec: RFC 4975, with RFC 6135 (`setup`) and the URIs of RFC 7977 (WebSocket).
Pure: bytes and times in, values and actions out.
"""

from joyn.protocol.msrp.chunk import Request, Response, make_response
from joyn.protocol.msrp.connection import Framer, FramingError
from joyn.protocol.msrp.intake import Intake, Piece
from joyn.protocol.msrp.outbox import Bound, Delivered, Failed, Progress, QueueFull, Transmit, Wanted
from joyn.protocol.msrp.reassembly import Message, Reassembler, Rejected
from joyn.protocol.msrp.session import Action, Arrived, Received, Reported, Session, Stopped
from joyn.protocol.msrp.uri import MsrpUri, parse_path

__all__ = [
    "Action",
    "Arrived",
    "Bound",
    "Delivered",
    "Failed",
    "Framer",
    "FramingError",
    "Intake",
    "Message",
    "MsrpUri",
    "Piece",
    "Progress",
    "QueueFull",
    "Reassembler",
    "Received",
    "Rejected",
    "Reported",
    "Request",
    "Response",
    "Session",
    "Stopped",
    "Transmit",
    "Wanted",
    "make_response",
    "parse_path",
]
