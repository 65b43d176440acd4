"""Who connects: the `a=setup` attribute of an MSRP media line.

Spec: RFC 6135 §4, RFC 4145 §4; RFC 4975 §5.4 where it is absent.
Pure functions over the attribute's value.
"""

from typing import Final, Literal

from joyn.protocol.errors import ParseError

Setup = Literal["active", "passive", "actpass", "holdconn"]
Connector = Literal["offerer", "answerer"]

_SETUPS: Final[dict[str, Setup]] = {
    "active": "active",
    "passive": "passive",
    "actpass": "actpass",
    "holdconn": "holdconn",
}


def parse_setup(text: str | None) -> Setup | None:
    """Read the value; None (no attribute) stays None. Raises ParseError for an unknown word."""
    if text is None:
        return None
    setup = _SETUPS.get(text.strip(" \t").lower())
    if setup is None:
        raise ParseError("setup is none of active, passive, actpass, holdconn", 0)
    return setup


def answer_setup(
    offer: Setup | None, *, prefer: Literal["active", "passive"] = "passive"
) -> Literal["active", "passive", "holdconn"]:
    """What to answer to `offer`; `prefer` decides where the offerer leaves the choice.

    A server prefers 'passive': it can be reached, the phone behind a NAT cannot. Without an attribute the offerer
    connects (RFC 4975 §5.4), so the answer is 'passive' whatever is preferred.
    """
    if offer == "actpass":
        return prefer
    if offer == "passive":
        return "active"
    return "holdconn" if offer == "holdconn" else "passive"


def connects(offer: Setup | None, answer: Setup | None) -> Connector | None:
    """Which side opens the connection, and sends the first empty SEND; None when nobody does yet.

    Raises ParseError for an answer that RFC 4145 §4.1 does not allow to this offer.
    """
    if offer == "holdconn" or answer == "holdconn":
        return None
    if answer == "actpass" or (offer == answer and offer is not None):
        raise ParseError(f"setup:{answer} cannot answer setup:{offer}", 0)
    if answer is not None:
        return "answerer" if answer == "active" else "offerer"
    # RFC 4975 §5.4: an answerer that says nothing waits for the offerer, unless the offerer waits already.
    return "answerer" if offer == "passive" else "offerer"
