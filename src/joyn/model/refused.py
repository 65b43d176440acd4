"""A rule said no: the one exception services raise, turned into a status code by `edge` alone."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Why something was refused; each door has one table from these to its status codes."""

    UNAUTHENTICATED = "the request carries no valid credentials"
    SUBSCRIBER_BLOCKED = "the operator has blocked this subscriber"
    NOT_ALLOWED = "this subscriber may not do that"
    UNKNOWN_RECIPIENT = "the number is not on this network"
    ROUTE_UNKNOWN = "it cannot be said just now whose the number is"
    MALFORMED = "the request is not what the standard says"
    UNSUPPORTED_CONTENT = "the content type is not one this door takes"
    NOT_ACCEPTABLE = "this node offers no such session"
    TOO_LARGE = "the message is larger than allowed"
    ID_REUSED = "the same Message-ID came before with another body"
    INTERVAL_TOO_BRIEF = "the expiry asked for is too short"
    TOO_MANY_BINDINGS = "the subscriber has as many devices as allowed"
    OUT_OF_ORDER = "an older request of the same registration"
    INFECTED = "the virus scanner found something in the file"
    UNSCANNED = "the virus scanner has not said what it thinks of the file"
    AWAITED = "the file is still on its way from the operator it comes from"
    GONE = "what is asked for is not there any more"
    QUOTA_PASSED = "the files of this subscriber, or of all, take as much room as they may"
    BUSY = "somebody else is doing just that"
    OVERLOADED = "too much is waiting to be written"
    STORAGE_FULL = "the disk is full"
    STOPPING = "the node is stopping"


class Refused(Exception):
    """A rule said no. `detail` is for the operator's log and the Warning header, never for identity."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.value)
        self.reason = reason
        self.detail = detail or reason.value
