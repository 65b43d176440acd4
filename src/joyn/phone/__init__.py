"""A scripted RCS phone: an asyncio client library for bots, tests and benches, on the same protocol cores as the node.

See docs/howto/write-a-bot.md. `Phone` is all that most programs need.
"""

from joyn.phone.attempts import TransferFailed
from joyn.phone.files import FileTransfer
from joyn.phone.journal import Happening, Journal
from joyn.phone.messages import Capabilities, Receipt, Received, Rejected, Sent, Unanswered, Undelivered
from joyn.phone.phone import Phone
from joyn.phone.radio import Radio

__all__ = [
    "Capabilities",
    "FileTransfer",
    "Happening",
    "Journal",
    "Phone",
    "Radio",
    "Receipt",
    "Received",
    "Rejected",
    "Sent",
    "TransferFailed",
    "Unanswered",
    "Undelivered",
]
