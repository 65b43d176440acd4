"""The two ways a protocol core fails: the peer's bytes are wrong, or our own call is."""


class ParseError(ValueError):
    """The peer sent something that is not what the grammar says.

    `what` says it in words, `at` is the offset (bytes, or characters of a decoded head) where it was noticed.
    """

    def __init__(self, what: str, at: int = 0) -> None:
        super().__init__(f"{what} at offset {at}")
        self.what = what
        self.at = at


class ProtocolError(RuntimeError):
    """We broke the protocol: a bug of ours, never the peer's fault."""
