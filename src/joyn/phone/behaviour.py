"""How a phone behaves: the switches a test turns, and the hooks a bot hangs its work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from joyn.phone.messages import Receipt, Received
from joyn.protocol.file_transfer import FileOffer

if TYPE_CHECKING:
    from joyn.phone.chat import Chat


class Behaviour:
    """All of it can be changed at any time; it counts from the next message on.

    `receipts`: `delivered` says so at once, `auto` also says displayed as soon as the program reads a message, `none`
    says nothing. `answer` is the status for an incoming MESSAGE (None: no answer at all), given after `answer_delay`
    seconds; `session_answer` the same for a message in a session. Only what is answered 2xx is taken.
    `accept_chats`: `at_once`, `ring` (the program accepts), a status to refuse with, or None for no answer.
    `accept_files` is for what comes over MSRP: `at_once`, a status (603 declines), or None for no answer; the hook
    `on_file_progress` hears how many bytes of such a file are here.

    Without `on_message` messages wait for `receive`; without `on_incoming_chat` chats wait for `incoming_chat`.
    """

    def __init__(self, receipts: str = "delivered") -> None:
        self.receipts = receipts
        self.answer: int | None = 200
        self.answer_delay = 0.0
        self.session_answer: int | None = 200
        self.accept_chats: str | int | None = "at_once"
        self.accept_files: Literal["at_once"] | int | None = "at_once"
        self.on_message: Callable[[Received], None] | None = None
        self.on_receipt: Callable[[Receipt], None] = lambda _receipt: None
        self.on_incoming_chat: Callable[[Chat], None] | None = None
        self.on_file_progress: Callable[[FileOffer, int], None] = lambda _offer, _here: None
        self.on_typing: Callable[[Chat], None] = lambda _chat: None
