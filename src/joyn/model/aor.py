"""Addresses of record: who is meant, whatever way the number was written.

Spec: RFC 3261 §6 (AOR), RFC 3966 (tel), RCC.07 §2.5 (identities).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NewType

import phonenumbers

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.uri import SipUri, TelUri, number_of, parse_uri

Aor = NewType("Aor", str)
"""Canonical text of an address of record: `tel:+33639980001`, or `sip:alice@joyn.example` where there is no number."""

ANONYMOUS = "sip:anonymous@anonymous.invalid"


class Numbering:
    """How this operator reads addresses: its home country (ISO 3166 code), its SIP domains (it writes the first)."""

    def __init__(self, country: str, domains: tuple[str, ...]) -> None:
        self.country = country.upper()
        self.domain = domains[0].lower()
        self.domains = frozenset(domain.lower() for domain in domains)
        # One operator's subscribers write to the same people again and again.
        self.aor = lru_cache(maxsize=65536)(self._aor)

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
            digits = self.number(parsed.number)
            return Aor(f"tel:{digits}") if digits else None
        if isinstance(parsed, SipUri):
            if parsed.host.lower() not in self.domains or not parsed.user:
                return None
            if parsed.parameters.get("user") == "phone" or parsed.user.isdigit():
                digits = self.number(parsed.user)
                if digits:
                    return Aor(f"tel:{digits}")
            return Aor(f"sip:{parsed.user}@{parsed.host.lower()}")
        return None

    def number(self, text: str) -> str | None:
        """E.164 with + of a number as people write it, national or international; None when it is none."""
        try:
            number = phonenumbers.parse(text, self.country)
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_possible_number(number):
            return None
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    def domain_of(self, aor: Aor) -> str:
        """The SIP domain an AOR is written with when a SIP URI is wanted."""
        return aor.rpartition("@")[2] if aor.startswith("sip:") else self.domain

    def sip_uri(self, aor: Aor) -> str:
        """The AOR as a SIP URI: `sip:+33639980001@domain;user=phone` for a number (RFC 3261 §19.1.6)."""
        if aor.startswith("tel:"):
            return f"sip:{aor[4:]}@{self.domain};user=phone"
        return aor
