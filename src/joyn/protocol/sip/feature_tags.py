"""Feature tags: what a phone says it can do, in Contact and Accept-Contact.

Spec: RFC 3840 §9, RFC 3841 §9.2, TS 24.229 §7.9.2 and §7.9.3 (icsi-ref, iari-ref); RCC.07 §2.6.1.
Pure: a frozen value with set operations; `emit()` gives the same text for equal values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote as percent_encode
from urllib.parse import unquote as percent_decode

from joyn.protocol.sip.headers import emit_parameters, parse_name_addr, parse_parameters

ICSI_REF = "+g.3gpp.icsi-ref"
IARI_REF = "+g.3gpp.iari-ref"

# RFC 3840 §9: the tags that stand without a plus.
_BASE = frozenset(
    "audio automata class duplex data control mobility description events priority methods schemes application video "
    "language type isfocus actor text extensions".split()
)
# It names a device, not something the device can do.
_INSTANCE = "+sip.instance"


@dataclass(frozen=True, slots=True)
class FeatureTags:
    """A set of feature tags.

    `bare` holds tags without value (`+g.oma.sip-im`, `video`), `icsi` and `iari` the percent-decoded URNs of the two
    reference tags, `valued` every other (name, value). `in` asks for a bare tag, a URN, or the name of a valued tag.
    """

    bare: frozenset[str] = frozenset()
    icsi: frozenset[str] = frozenset()
    iari: frozenset[str] = frozenset()
    valued: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def parse(cls, parameters: Mapping[str, str | None]) -> FeatureTags:
        """Pick the feature tags out of the parameters of a Contact or Accept-Contact."""
        bare, icsi, iari, valued = set(), frozenset[str](), frozenset[str](), set()
        for name, value in parameters.items():
            if name == ICSI_REF:
                icsi = _references(value)
            elif name == IARI_REF:
                iari = _references(value)
            elif (name[0] == "+" and name != _INSTANCE) or name in _BASE:
                # RFC 3840 §9: a bare tag is short for ="TRUE".
                if not value or value == "TRUE":
                    bare.add(name)
                else:
                    valued.add((name, value))
        return cls(frozenset(bare), icsi, iari, frozenset(valued))

    @classmethod
    def parse_accept_contact(cls, value: str) -> FeatureTags:
        """Read one Accept-Contact value, `*;tag;tag…` (RFC 3841 §9.2). Raises ParseError."""
        star, semicolon, rest = value.partition(";")
        if star.strip(" \t") == "*":
            return cls.parse(parse_parameters(rest) if semicolon else {})
        return cls.parse(parse_name_addr(value).parameters)

    def emit(self) -> str:
        """The tags as Contact parameters, without a leading semicolon: bare ones, then the rest, each in order."""
        parameters: dict[str, str | None] = dict.fromkeys(sorted(self.bare))
        for name, urns in ((ICSI_REF, self.icsi), (IARI_REF, self.iari)):
            if urns:
                parameters[name] = ",".join(percent_encode(urn, "") for urn in sorted(urns))
        parameters.update(sorted(self.valued))
        return emit_parameters(parameters)[1:]

    def __contains__(self, tag: object) -> bool:
        return tag in self.bare or tag in self.icsi or tag in self.iari or any(name == tag for name, _ in self.valued)

    def __bool__(self) -> bool:
        return bool(self.bare or self.icsi or self.iari or self.valued)

    def __or__(self, other: FeatureTags) -> FeatureTags:
        return FeatureTags(
            self.bare | other.bare, self.icsi | other.icsi, self.iari | other.iari, self.valued | other.valued
        )

    def __and__(self, other: FeatureTags) -> FeatureTags:
        return FeatureTags(
            self.bare & other.bare, self.icsi & other.icsi, self.iari & other.iari, self.valued & other.valued
        )

    def __le__(self, other: FeatureTags) -> bool:
        return (
            self.bare <= other.bare
            and self.icsi <= other.icsi
            and self.iari <= other.iari
            and self.valued <= other.valued
        )


def _references(value: str | None) -> frozenset[str]:
    urns = (percent_decode(urn.strip(" \t")) for urn in (value or "").split(","))
    return frozenset(urn for urn in urns if urn)
