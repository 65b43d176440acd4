"""Addresses of record: who is meant, whatever way the number was written.

Spec: RFC 3261 §6 (AOR), RFC 3966 (tel), RCC.07 §2.5 (identities).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NewType

from joyn.model.number import read, shown
from joyn.protocol.errors import ParseError
from joyn.protocol.sip.uri import SipUri, TelUri, number_of, parse_uri

Aor = NewType("Aor", str)
"""Canonical text of an address of record: `tel:+33639980001`, `sip:alice@joyn.example` where there is no number, or
`tel:12345;phone-context=joyn.example` for a short code of ours."""

ANONYMOUS = "sip:anonymous@anonymous.invalid"
MIN_SHORT, MAX_SHORT = 3, 6
"""Digits of a short code."""


class Numbering:
    """How this operator reads addresses: its home country (ISO 3166 code), its SIP domains (it writes the first)."""

    def __init__(self, country: str, domains: tuple[str, ...]) -> None:
        self.country = country.upper()
        self.domain = domains[0].lower()
        self.domains = frozenset(domain.lower() for domain in domains)
        # One operator's subscribers write to the same people again and again.
        self.aor = lru_cache(maxsize=65536)(self._aor)
        self.number = lru_cache(maxsize=65536)(self._number)

    def _aor(self, uri: str) -> Aor | None:
        """The AOR a URI means, or None when it can be nobody here (another domain, an unknown scheme, no number)."""
        try:
            parsed = parse_uri(uri)
        except ParseError:
            return None
        number = number_of(parsed)
        if number is not None:
            return Aor(f"tel:{number}")
        if isinstance(parsed, TelUri):
            return self._local(parsed.number, parsed.parameters.get("phone-context") or "")
        if isinstance(parsed, SipUri):
            if parsed.host.lower() not in self.domains or not parsed.user:
                return None
            if parsed.parameters.get("user") == "phone" or parsed.user.isdigit():
                # RFC 3261 §19.1.6: the user part is then all that follows tel:, parameters too.
                number, _, parameters = parsed.user.partition(";")
                found = self._local(number, parameters.partition("phone-context=")[2].partition(";")[0])
                if found is not None and (found[4] == "+" or parsed.parameters.get("user") == "phone"):
                    return found
            return Aor(f"sip:{parsed.user}@{parsed.host.lower()}")
        return None

    def _local(self, number: str, context: str) -> Aor | None:
        """A number that is written as where `context` is (RFC 3966 §5.1.5); what is no number there may be a short
        code, which stays as it is (facts §1)."""
        digits = self.number(number)
        if context[:1] == "+":
            digits = self.number(context + number.removeprefix("0"))
        if digits:
            return Aor(f"tel:{digits}")
        if number.isascii() and number.isdigit() and MIN_SHORT <= len(number) <= MAX_SHORT:
            return Aor(f"tel:{number};phone-context={self.domain}")
        return None

    def _number(self, text: str) -> str | None:
        """E.164 with + of a number as people write it, national or international; None when it is none, and
        `model.number.read` says why."""
        try:
            return read(text, self.country).e164
        except ParseError:
            return None

    def shown(self, aor: Aor) -> str:
        """An AOR as people here read it: national style for a number of this country, international otherwise."""
        if aor.startswith("tel:+"):
            return shown(aor[4:], self.country)
        return aor.partition(":")[2].partition(";phone-context=")[0]

    def domain_of(self, aor: Aor) -> str:
        """The SIP domain an AOR is written with when a SIP URI is wanted."""
        return aor.rpartition("@")[2] if aor.startswith("sip:") else self.domain

    def sip_uri(self, aor: Aor) -> str:
        """The AOR as a SIP URI: `sip:+33639980001@domain;user=phone` for a number (RFC 3261 §19.1.6)."""
        if aor.startswith("tel:"):
            return f"sip:{aor[4:]}@{self.domain};user=phone"
        return aor
