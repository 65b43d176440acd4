"""The clients of `bench transfers`: many files at once, up or down, over HTTP.

    python -m bench.transfer_load up PORT TICKET COUNT SIZE
    python -m bench.transfer_load down PORT < PATHS

All connections are open before the first byte of any file is sent. It says `begun` on a line of its own then, and at
the end a line of JSON: the files' paths, or the bytes that came of each.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.files import END, FORM, request

CHUNK = 128 << 10
BLOCK = os.urandom(CHUNK)


@dataclass(slots=True)
class Transfer:
    """One connection: what is to be sent, and what has come."""

    connection: socket.socket
    head: bytes
    size: int = 0
    end: bytes = b""
    sent: int = 0
    got: int = 0
    answer: bytearray = field(default_factory=bytearray)

    def send(self) -> bool:
        """Send some; whether that was all."""
        head, whole = len(self.head), len(self.head) + self.size
        if self.sent < head:
            piece: bytes | memoryview = memoryview(self.head)[self.sent :]
        elif self.sent < whole:
            # No two files are the same, whatever the block is: the head of the content has the time and the number.
            piece = memoryview(BLOCK)[: min(CHUNK, whole - self.sent)]
        else:
            piece = memoryview(self.end)[self.sent - whole :]
        self.sent += self.connection.send(piece) if piece else 0
        return self.sent == whole + len(self.end)

    def receive(self) -> bool:
        """Read some; whether that was the end."""
        piece = self.connection.recv(1 << 20)
        self.got += len(piece)
        if len(self.answer) < 4096:
            self.answer += piece[:4096]
        return not piece


def run(transfers: list[Transfer]) -> None:
    """Send and receive until every connection has ended."""
    with selectors.DefaultSelector() as selector:
        for one in transfers:
            one.connection.setblocking(False)
            selector.register(one.connection, selectors.EVENT_WRITE, one)
        print("begun", flush=True)
        left = len(transfers)
        while left:
            for key, events in selector.select():
                one = key.data
                if events & selectors.EVENT_WRITE and one.send():
                    selector.modify(one.connection, selectors.EVENT_READ, one)
                elif events & selectors.EVENT_READ and one.receive():
                    selector.unregister(one.connection)
                    one.connection.close()
                    left -= 1


def up(port: int, ticket: str, count: int, size: int) -> list[str]:
    """The paths of the files that were sent. Raises AssertionError when one was not taken."""

    def make(number: int) -> Transfer:
        own = b"%d %d " % (time.monotonic_ns(), number)
        form = FORM % number + own
        head = request(ticket, len(form) + size - len(own) + len(END)) + form
        return Transfer(socket.create_connection(("127.0.0.1", port)), head, size - len(own), END)

    transfers = [make(number) for number in range(count)]
    run(transfers)
    paths = []
    for one in transfers:
        found = re.search(rb'url="https?://[^/]+(/file/[^"]+)"', one.answer)
        assert found is not None, bytes(one.answer[:300])
        paths.append(found[1].decode())
    return paths


def down(port: int, paths: list[str]) -> list[int]:
    """The bytes that came of each, heads included."""

    def make(path: str) -> Transfer:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        return Transfer(socket.create_connection(("127.0.0.1", port)), head)

    transfers = [make(path) for path in paths]
    run(transfers)
    assert all(one.answer.startswith(b"HTTP/1.1 200 ") for one in transfers)
    return [one.got for one in transfers]


def main() -> None:
    way, port, *rest = sys.argv[1:]
    work: dict[str, Callable[[], list[str] | list[int]]] = {
        "up": lambda: up(int(port), rest[0], int(rest[1]), int(rest[2])),
        "down": lambda: down(int(port), sys.stdin.read().split()),
    }
    print(json.dumps(work[way]()), flush=True)


if __name__ == "__main__":
    main()
