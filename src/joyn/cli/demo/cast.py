"""Who plays in the demo: operators, their subscribers, and where each would like to listen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ALICE: Final = "+33639980001"
CAMILLE: Final = "+33639980003"
"""Orange's."""
BOB: Final = "+33639980101"
DENIS: Final = "+33639980102"
"""SFR's. All are from the range France keeps for fiction (06 39 98 xx xx)."""
GUESTS: Final = (CAMILLE, DENIS)
"""Numbers that nobody uses yet."""
NAMES: Final[Mapping[str, str]] = {ALICE: "Alice", CAMILLE: "Camille", BOB: "Bob", DENIS: "Denis"}

STAGE_HOST: Final = "joyn.localhost"
"""This machine, wherever it is looked up (RFC 6761 §6.3)."""
ACCESS: Final[Mapping[str, int]] = {"SIP": 5060, "MSRP": 2855, "HTTP": 8080, "files": 8081}
"""Where phones come, when nobody else listens there."""
BORDER: Final[Mapping[str, int]] = {"peers": 5062, "peers' media": 2857}
"""Where peer operators come."""
STEP: Final = 10
"""From an operator's ports to those of the next."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cast:
    """One operator. `people` are the names of its subscribers by number, `ports` where it listens (0: anywhere; what
    is not named there is not listened for), `hosts` those of the page's phones, for its guests in their order."""

    name: str
    domain: str
    people: Mapping[str, str]
    ports: Mapping[str, int]
    ranges: tuple[str, ...] = ()
    theme: str = ""
    country: str = "FR"
    hosts: tuple[str, ...] = ()

    @property
    def directory(self) -> str:
        """What its directory is called."""
        return self.domain.partition(".")[0]

    @property
    def guests(self) -> list[str]:
        """Those of its subscribers whose phones are the page's."""
        return [number for number in GUESTS if number in self.people]


def two_operators() -> list[Cast]:
    """Orange with Alice and Camille, SFR with Bob and Denis."""
    return [
        _french("Orange", "+336399800", (ALICE, CAMILLE), 0),
        _french("SFR", "+336399801", (BOB, DENIS), STEP),
    ]


def one_operator() -> list[Cast]:
    """One operator with all four."""
    hosts = tuple(f"{letter}.{STAGE_HOST}" for letter in "ab")
    return [Cast(name="Demo", domain=STAGE_HOST, people=NAMES, ports=ACCESS, hosts=hosts)]


def _french(name: str, prefix: str, numbers: Sequence[str], further: int) -> Cast:
    label = name.lower()
    return Cast(
        name=name,
        domain=f"{label}.example",
        theme=label,
        ranges=(prefix,),
        people={number: NAMES[number] for number in numbers},
        ports={what: port + further for what, port in (*ACCESS.items(), *BORDER.items())},
        # Beside the stage's own host: a page of another site would have no cookies in its frame.
        hosts=(f"{label}.{STAGE_HOST}",),
    )
