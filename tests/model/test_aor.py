import pytest

from joyn.model.aor import Aor, Numbering


def test_a_number_is_written_with_the_first_domain_and_read_with_any() -> None:
    numbering = Numbering("FR", ("Sip.Example", "also.example"))
    number = Aor("tel:+33639980001")
    assert numbering.sip_uri(number) == "sip:+33639980001@sip.example;user=phone"
    assert numbering.domain_of(number) == "sip.example"
    assert numbering.aor("sip:+33639980001@also.example;user=phone") == number


@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        ("tel:0639980001", "tel:+33639980001"),
        ("tel:0639980001;phone-context=+33", "tel:+33639980001"),
        ("tel:07700900123;phone-context=+44", "tel:+447700900123"),
        ("tel:00447700900123;phone-context=sip.example", "tel:+447700900123"),
        ("sip:0639980001@sip.example", "tel:+33639980001"),
        ("sip:0639980001;phone-context=sip.example@sip.example;user=phone", "tel:+33639980001"),
        ("sip:07700900123;phone-context=+44@sip.example;user=phone", "tel:+447700900123"),
        # Facts §1: short codes and bots stay as they are.
        ("tel:36180", "tel:36180;phone-context=sip.example"),
        ("tel:36180;phone-context=ims.mnc001.mcc208.3gppnetwork.org", "tel:36180;phone-context=sip.example"),
        ("sip:36180@sip.example;user=phone", "tel:36180;phone-context=sip.example"),
        ("sip:36180@sip.example", "sip:36180@sip.example"),
        ("tel:12", None),
        ("tel:1234567", None),
        ("tel:*123#", None),
    ],
)
def test_national_numbers_and_short_codes_are_read(uri: str, aor: str | None) -> None:
    assert Numbering("FR", ("sip.example",)).aor(uri) == aor


def test_a_short_code_is_written_as_a_sip_uri_and_read_again() -> None:
    numbering = Numbering("FR", ("sip.example",))
    short = Aor("tel:36180;phone-context=sip.example")
    assert numbering.sip_uri(short) == "sip:36180;phone-context=sip.example@sip.example;user=phone"
    assert numbering.aor(numbering.sip_uri(short)) == short


@pytest.mark.parametrize(
    ("aor", "shown"),
    [
        ("tel:+33639980001", "06 39 98 00 01"),
        ("tel:+447700900123", "+44 7700 900123"),
        ("tel:36180;phone-context=sip.example", "36180"),
        ("sip:alice@sip.example", "alice@sip.example"),
    ],
)
def test_an_aor_is_shown_as_people_here_read_it(aor: str, shown: str) -> None:
    assert Numbering("FR", ("sip.example",)).shown(Aor(aor)) == shown
