"""How the two ends of a session come together: who connects, and to where.

Spec: RFC 6135 (setup), RFC 6714 (CEMA), RFC 4572 (fingerprint).
"""

from __future__ import annotations

import ssl
from typing import Literal

from joyn.phone.line import Line
from joyn.protocol import sdp
from joyn.protocol.msrp.setup import answer_setup
from joyn.transport.msrp import MsrpLeg

__all__ = ["Setup", "chosen_setup", "join"]

Setup = Literal["active", "passive", "actpass"]


async def join(line: Line, leg: MsrpLeg, remote: sdp.MsrpMedia, *, active: bool) -> None:
    """Connect a session of ours to the other side, or let that connect. Raises OSError."""
    path = " ".join(remote.path)
    if not active:
        leg.expect(path)
        return
    # RFC 6714: with CEMA the address of the description counts, else that of the path.
    host, port = (remote.address, remote.port) if remote.cema else (None, None)
    # RFC 4572: the fingerprint that the signalling brought vouches for the certificate; without one, an authority.
    context = None
    if remote.secure and remote.fingerprint is None:
        context = line.account.tls or ssl.create_default_context()
    await leg.connect(path, host=host, port=port, ssl=context, fingerprint=remote.fingerprint)


def chosen_setup(ours: Setup, leg: MsrpLeg, remote: sdp.MsrpMedia) -> Literal["active", "passive"] | None:
    """What we answer to an offer; None when nobody would connect: they wait, or we do not listen."""
    prefer: Literal["active", "passive"] = "active" if leg.listener is None else "passive"
    setup = answer_setup(remote.setup, prefer="active" if ours == "active" else prefer)
    if setup == "active" or (setup == "passive" and leg.listener is not None):
        return setup
    return None
