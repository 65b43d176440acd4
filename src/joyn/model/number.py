"""Telephone numbers of any country: read as people write them, said as people read them.

Spec: ITU-T E.164, RFC 3966 §5.1.1 (visual separators), RCC.07 §2.5; facts §1. The numbering plans are libphonenumber's.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType, ValidationResult

from joyn.protocol.errors import ParseError

__all__ = ["Number", "country_of", "read", "shown"]

MAX_TEXT: Final = 64
"""Characters of a number as somebody writes it; with separators the longest is half of that."""
MAX_DIGITS: Final = 15
"""Of an E.164 number."""
CACHED: Final = 65_536
"""Numbers whose country and look are remembered: the metadata is asked in some 60 µs."""

_PLAIN: Final = re.compile(r"\+[1-9][0-9]{1,14}")
_SEPARATORS: Final = frozenset("./()[]~")
_SEPARATING: Final = frozenset({"Zs", "Pd", "Cf"})
"""Unicode categories: spaces, dashes, and the direction marks that come along when numbers are pasted."""
_KINDS: Final = {
    PhoneNumberType.FIXED_LINE: "fixed line",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "mobile or fixed line",
    PhoneNumberType.TOLL_FREE: "freephone",
    PhoneNumberType.PREMIUM_RATE: "premium rate",
    PhoneNumberType.SHARED_COST: "shared cost",
    PhoneNumberType.VOIP: "internet telephony",
    PhoneNumberType.PERSONAL_NUMBER: "personal number",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "company number",
    PhoneNumberType.VOICEMAIL: "voicemail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number that can exist. `country` is an ISO 3166 code, empty where the number is of no country (satellites).

    `kind` is what the country's plan makes of it, in words, and empty where the plan gives such numbers to nobody, as
    it does with those that are reserved for fiction.
    """

    e164: str
    country: str
    kind: str

    @property
    def why_not_mobile(self) -> str:
        """Why it is no mobile's number, in words; empty when it is one, or the plan does not say."""
        return f"is a {self.kind} number, not a mobile" if self.kind and "mobile" not in self.kind else ""


def read(text: str, country: str) -> Number:
    """The number that somebody in `country` (ISO 3166) means: national, with the way out (00, 011 …), with +, or as a
    tel URI.

    Raises ParseError that says why it is none.
    """
    if text[:4].lower() == "tel:":
        text = text[4:].partition(";")[0]
    written = text if _PLAIN.fullmatch(text) else _digits(text)
    try:
        parsed = phonenumbers.parse(written, country)
    except NumberParseException as error:
        raise ParseError(_unread(error, written), 0) from None
    home = country_of(f"+{parsed.country_code}") or f"+{parsed.country_code}"
    if parsed.italian_leading_zero and phonenumbers.ndd_prefix_for_region(home, True) == "0":
        # Libphonenumber keeps the trunk prefix when too little is left without it.
        raise ParseError(f"is too short for a number of {home}", 0)
    possible = phonenumbers.is_possible_number_with_reason(parsed)
    if possible in (ValidationResult.TOO_SHORT, ValidationResult.IS_POSSIBLE_LOCAL_ONLY):
        raise ParseError(f"is too short for a number of {home}", 0)
    if possible == ValidationResult.TOO_LONG:
        raise ParseError(f"is too long for a number of {home}", 0)
    if possible != ValidationResult.IS_POSSIBLE:
        raise ParseError(f"has not the length of a number of {home}", 0)
    e164 = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    if len(e164) > MAX_DIGITS + 1:
        raise ParseError(f"has more than {MAX_DIGITS} digits", 0)
    return Number(e164=e164, country=country_of(e164), kind=_KINDS.get(phonenumbers.number_type(parsed), ""))


@lru_cache(CACHED)
def country_of(e164: str) -> str:
    """The ISO 3166 code of the country a number is of; of several that share a code the one the plan gives it to, or
    the largest. Empty for no country's (satellites, and codes that nobody has)."""
    parsed = _parsed(e164)
    region = parsed and phonenumbers.region_code_for_number(parsed)
    if not region:
        code = parsed.country_code if parsed else _calling_code(e164)
        region = phonenumbers.region_code_for_country_code(code) if code else ""
    return region if region and region.isalpha() and region != "ZZ" else ""


@lru_cache(CACHED)
def shown(e164: str, country: str) -> str:
    """An E.164 number as people in `country` read it: national style for one of theirs, international otherwise."""
    parsed = _parsed(e164)
    if parsed is None:
        return e164
    ours = parsed.country_code == phonenumbers.country_code_for_region(country)
    return phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL if ours else PhoneNumberFormat.INTERNATIONAL)


def _parsed(e164: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(e164, None)
    except NumberParseException:
        return None


def _calling_code(e164: str) -> int:
    """The country code that a number begins with, or 0: also of one that ends right after it."""
    for length in (1, 2, 3):
        digits = e164[1 : 1 + length]
        if len(digits) == length and phonenumbers.region_codes_for_country_code(int(digits)):
            return int(digits)
    return 0


def _digits(text: str) -> str:
    """Only + and digits 0 to 9, of whatever script they were. Raises ParseError."""
    if len(text) > MAX_TEXT:
        raise ParseError(f"is too long: more than {MAX_TEXT} characters", MAX_TEXT)
    kept = []
    for at, one in enumerate(text):
        digit = unicodedata.decimal(one, None)
        if digit is not None:
            kept.append(str(digit))
        elif one in "+＋" and not kept:
            kept.append("+")
        elif one.isalpha():
            raise ParseError("has letters in it", at)
        elif one not in _SEPARATORS and unicodedata.category(one) not in _SEPARATING and one != "\t":
            raise ParseError(f"has {one!r} in it, which no number has", at)
    if not kept or kept == ["+"]:
        raise ParseError("has no digits", 0)
    return "".join(kept)


def _unread(error: NumberParseException, written: str) -> str:
    if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
        return f"begins with no country's code: {written[:5]}"
    if error.error_type == NumberParseException.TOO_LONG:
        return "is too long"
    return "is too short"
