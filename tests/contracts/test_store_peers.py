"""What every store promises of peer operators."""

import asyncio
from dataclasses import replace

import pytest

from contracts.store_values import NOON, accept_all, make_deposit
from joyn.model.message import Address
from joyn.model.peer import Peer, PeerAddress, PeerCertificate, mailbox_of
from joyn.store import MAX_PEERS


def make_certificate(number=1, **fields):
    values = {
        "fingerprint": f"{number:064x}",
        "pem": f"certificate {number}",
        "not_before": NOON,
        "not_after": NOON + 9,
    }
    return PeerCertificate(**values | fields)


def make_peer(domain="orange.example", **fields):
    return Peer(domain=domain, name="Orange", **fields)


def test_a_peer_is_kept_with_all_that_is_said_of_it(run):
    full = make_peer(
        addresses=(PeerAddress(host="sip.orange.example", port=5062), PeerAddress(host="2001:db8::1", port=5063)),
        certificates=(make_certificate(2), make_certificate(1)),
        ranges=("+3360", "+33639"),
        files="https://files.orange.example:8444",
        transit=("free.example", "sfr.example"),
        file_policy="direct",
        paused=True,
        rate=50,
        keep_for=3600.0,
        changed_at=NOON + 0.5,
    )
    bare = make_peer("bare.example")

    async def before(store):
        await store.peers.put(full)
        await store.peers.put(bare)

    async def after(store):
        assert await store.peers.get("orange.example") == full
        assert await store.peers.list() == [bare, full]
        assert await store.peers.get("other.example") is None

    run(before, after)


def test_a_peer_is_replaced_with_its_certificates(run):
    async def scenario(store):
        old = make_peer(certificates=(make_certificate(1), make_certificate(2)), ranges=("+3360",))
        new = make_peer(certificates=(make_certificate(2), make_certificate(3)))
        await store.peers.put(old)
        await store.peers.put(new)
        assert await store.peers.list() == [new]

    run(scenario)


def test_a_certificate_is_one_peer_s(run):
    async def scenario(store):
        mine = make_peer(certificates=(make_certificate(1),))
        await store.peers.put(mine)
        theirs = make_peer("sfr.example", certificates=(make_certificate(2), make_certificate(1)))
        with pytest.raises(ValueError, match=r"0001 is that of orange\.example"):
            await store.peers.put(theirs)
        assert await store.peers.list() == [mine]
        # Whoever gave it up leaves it to the next.
        await store.peers.put(replace(mine, certificates=()))
        await store.peers.put(theirs)
        assert await store.peers.get("sfr.example") == theirs

    run(scenario)


def test_a_removed_peer_leaves_its_certificates_to_others_and_what_is_due_to_it_in_its_mailbox(run):
    async def scenario(store):
        gone = make_peer(certificates=(make_certificate(1),))
        await store.peers.put(gone)
        mailbox = mailbox_of("orange.example")
        await accept_all(store, make_deposit("m1", Address(mailbox=mailbox)))
        assert await store.peers.remove("orange.example")
        assert not await store.peers.remove("orange.example")
        assert await store.peers.list() == []
        assert await store.mailboxes.pending(mailbox) == 1
        await store.peers.put(replace(gone, domain="sfr.example"))
        assert [one.domain for one in await store.peers.list()] == ["sfr.example"]

    run(scenario)


def test_peers_are_bounded_and_the_last_can_still_change(run):
    async def scenario(store):
        await asyncio.gather(*(store.peers.put(make_peer(f"a{number:04}.example")) for number in range(MAX_PEERS)))
        with pytest.raises(ValueError, match=f"there are {MAX_PEERS} peers"):
            await store.peers.put(make_peer("one.more.example"))
        await store.peers.put(make_peer("a0000.example", paused=True))
        assert len(await store.peers.list()) == MAX_PEERS

    run(scenario)
