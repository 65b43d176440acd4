import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from joyn.phone import Rejected, Unanswered
from joyn.protocol.sip.building import build_response
from joyn.protocol.sip.headers import parse_name_addrs
from joyn.protocol.sip.message import SipRequest, parse
from joyn.transport.sip import Inbound
from joyn.transport.tls import client_context, issue_certificate, make_development_ca, server_context
from phone.scripted_server import ALICE, BOB, make_chat, make_phone, running


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
def test_a_challenge_is_answered_with_its_algorithm(algorithm: str) -> None:
    async def story() -> None:
        async with running(algorithms=(algorithm,)) as server, make_phone(server) as alice:
            assert alice.registered
            assert len(server.of("REGISTER")) == 2

    asyncio.run(story())


def test_the_best_of_several_algorithms_is_taken() -> None:
    async def story() -> None:
        async with running(algorithms=("MD5", "SHA-256")) as server, make_phone(server):
            assert "algorithm=SHA-256" in (server.of("REGISTER")[1].header("authorization") or "")

    asyncio.run(story())


def test_an_ims_phone_names_its_algorithm_in_an_empty_first_authorization() -> None:
    async def story() -> None:
        async with running(algorithms=("MD5",)) as server, make_phone(server, algorithm="MD5"):
            first = server.of("REGISTER")[0].header("authorization") or ""
            assert 'nonce=""' in first
            assert "algorithm=MD5" in first

    asyncio.run(story())


def test_a_wrong_password_is_rejected_after_one_try() -> None:
    async def story() -> None:
        async with running(algorithms=("SHA-256",)) as server:
            with pytest.raises(Rejected, match="401"):
                async with make_phone(server, password="wrong"):
                    pass
            assert len(server.of("REGISTER")) == 2

    asyncio.run(story())


def test_what_it_is_and_what_it_can_is_in_its_contact() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server, instance="urn:uuid:1", sync=True):
            contact = parse_name_addrs(server.of("REGISTER")[0].headers("contact"))[0]
            assert contact.parameters["+sip.instance"] == "<urn:uuid:1>"
            assert contact.parameters["reg-id"] == "1"
            assert "oma.cpm.session" in (contact.parameters["+g.3gpp.icsi-ref"] or "")
            assert "+g.joyn.sync" in contact.parameters

    asyncio.run(story())


def test_a_plain_phone_registers_no_tags() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server, style="plain", instance=""):
            contact = parse_name_addrs(server.of("REGISTER")[0].headers("contact"))[0]
            assert list(contact.parameters) == ["expires"]

    asyncio.run(story())


def test_a_registration_too_brief_is_asked_for_again_as_long_as_wanted() -> None:
    async def story() -> None:
        async with running() as server:

            def refuse_once(inbound: Inbound) -> None:
                del server.on["REGISTER"]
                inbound.respond(423, headers=[("Min-Expires", "90")])

            server.on["REGISTER"] = refuse_once
            async with make_phone(server, expires=30):
                assert [request.header("expires") for request in server.of("REGISTER")] == ["30", "90"]

    asyncio.run(story())


def test_it_registers_again_before_the_registration_runs_out() -> None:
    async def story() -> None:
        async with running() as server:
            server.granted = 1
            async with make_phone(server):
                await server.wait_for("REGISTER", 2)

    asyncio.run(story())


def test_leaving_unregisters() -> None:
    async def story() -> None:
        async with running() as server:
            async with make_phone(server):
                pass
            last = server.of("REGISTER")[-1]
            assert last.header("expires") == "0"
            assert last.call_id == server.of("REGISTER")[0].call_id

    asyncio.run(story())


def test_the_service_route_is_on_every_request_after() -> None:
    async def story() -> None:
        async with running() as server:
            server.register_headers = [("Service-Route", "<sip:edge.joyn.example;lr>")]
            async with make_phone(server) as alice:
                await alice.send(BOB, "salut")
                assert server.of("MESSAGE")[0].header("route") == "<sip:edge.joyn.example;lr>"

    asyncio.run(story())


def test_over_tls_the_phone_is_reached_on_its_own_connection(tmp_path: Path) -> None:
    make_development_ca(tmp_path)
    issue_certificate(tmp_path, ["127.0.0.1"])

    async def story() -> None:
        tls = server_context(tmp_path / "server.pem", tmp_path / "server-key.pem")
        async with (
            running("tls", tls=tls) as server,
            make_phone(server, transport="tls", tls=client_context(tmp_path / "ca.pem")) as alice,
        ):
            await server.deliver(ALICE, make_chat("chiffré"))
            assert (await alice.receive(timeout=2)).text == "chiffré"

    asyncio.run(story())


def test_a_lost_connection_is_made_anew() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            server.contacts[ALICE][1].close()
            await server.wait_for("REGISTER", 2)
            await server.deliver(ALICE, make_chat())
            assert (await alice.receive(timeout=2)).message_id == "m1"
            assert alice.log.all("lost") == [""]

    asyncio.run(story())


def test_a_phone_that_shall_not_return_stays_away() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server, reconnect=False) as alice:
            server.contacts[ALICE][1].close()
            with pytest.raises(Unanswered):
                await alice.send(BOB, "salut")
            assert not alice.registered

    asyncio.run(story())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_cut_phone_says_nothing_and_comes_back_when_told(transport: str) -> None:
    async def story() -> None:
        async with running(transport) as server, make_phone(server, transport=transport) as alice:
            alice.cut()
            with pytest.raises(Unanswered, match="not connected"):
                await alice.send(BOB, "salut")
            await alice.come_back()
            await alice.send(BOB, "salut")
            assert [request.header("expires") for request in server.of("REGISTER")] == ["3600", "3600"]

    asyncio.run(story())


def test_two_phones_of_one_number_are_two_instances() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as one, make_phone(server) as other:
            assert one.instance != other.instance

    asyncio.run(story())


def test_the_flow_is_kept_alive_as_often_as_the_server_names() -> None:
    pings: list[bytes] = []

    async def story() -> None:
        done = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = parse(await reader.readuntil(b"\r\n\r\n"))
            assert isinstance(request, SipRequest)
            assert ";keep" in (request.header("via") or "")
            writer.write(build_response(request, 200, to_tag="1", headers=[("Flow-Timer", "1")]))
            pings.append(await reader.readexactly(4))
            done.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        phone = make_phone(SimpleNamespace(port=server.sockets[0].getsockname()[1]), reconnect=False)
        await phone.connect()
        await phone.register()
        async with asyncio.timeout(3):
            await done.wait()
        await phone.close()
        server.close()

    asyncio.run(story())
    assert pings == [b"\r\n\r\n"]
