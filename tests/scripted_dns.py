"""A DNS server on loopback that answers as a test wants."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from ports import free_port

Script = Callable[[dns.message.Message, bool], Sequence[dns.message.Message | bytes]]
"""What is sent for a question, which came over TCP or not."""


class ScriptedDns:
    """A server; `asked` holds the names and kinds of what it was asked, and whether over TCP."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[tuple[str, str, bool]] = []
        self.port = 0
        self.asker = ("", 0)
        """From where the last question over UDP came."""

    def answer(self, wire: bytes, over_tcp: bool) -> list[bytes]:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        self.asked.append(
            (question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype), over_tcp)
        )
        answers = self.script(query, over_tcp)
        return [one if isinstance(one, bytes) else one.to_wire() for one in answers]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: ScriptedDns) -> None:
        self._server = server

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, data, addr) -> None:
        self._server.asker = addr
        for one in self._server.answer(data, False):
            self._transport.sendto(one, addr)


@asynccontextmanager
async def scripted_dns(script: Script) -> AsyncIterator[ScriptedDns]:
    """A running server."""
    server = ScriptedDns(script)
    server.port = free_port()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            for one in server.answer(await reader.readexactly(length), True):
                writer.write(struct.pack("!H", len(one)) + one)
            await writer.drain()
        except asyncio.IncompleteReadError:
            pass  # it was only looked whether somebody listens
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(server), local_addr=("127.0.0.1", server.port)
    )
    listener = await asyncio.start_server(stream, "127.0.0.1", server.port)
    try:
        yield server
    finally:
        transport.close()
        listener.close()
        await listener.wait_closed()


def reply(
    query: dns.message.Message, *records: str, rcode: str = "NOERROR", authority: str = ""
) -> dns.message.Message:
    """An answer with these records, written `name ttl IN type data`."""
    made = dns.message.make_response(query)
    made.set_rcode(dns.rcode.from_text(rcode))
    for section, texts in ((made.answer, records), (made.authority, [authority] if authority else [])):
        for text in texts:
            name, ttl, _, kind, data = text.split(" ", 4)
            rrset = dns.rrset.from_text(name, int(ttl), "IN", kind, data)
            same = next((one for one in section if one.name == rrset.name and one.rdtype == rrset.rdtype), None)
            if same is None:
                section.append(rrset)
            else:
                same.update(rrset)
    return made


def naptr(name: str, uri: str, *, ttl: int = 60) -> str:
    """A record that says that a number is where `uri` leads."""
    return f'{name}. {ttl} IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!{uri}!" .'
