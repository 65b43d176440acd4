"""Numbers as people of many countries write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.model.number import MAX_TEXT, country_of, read, shown
from joyn.protocol.errors import ParseError

COUNTRIES = [
    # country, as written there at home, E.164, the way out of it, as read at home, as read elsewhere
    ("FR", "06 39 98 00 01", "+33639980001", "00", "06 39 98 00 01", "+33 6 39 98 00 01"),
    ("BE", "0470/12.34.56", "+32470123456", "00", "0470 12 34 56", "+32 470 12 34 56"),
    ("NL", "06-12345678", "+31612345678", "00", "06 12345678", "+31 6 12345678"),
    ("LU", "628 123 456", "+352628123456", "00", "628 123 456", "+352 628 123 456"),
    ("DE", "0171/3920001", "+491713920001", "00", "0171 3920001", "+49 171 3920001"),
    ("AT", "0664 123456", "+43664123456", "00", "0664 123456", "+43 664 123456"),
    ("CH", "078 123 45 67", "+41781234567", "00", "078 123 45 67", "+41 78 123 45 67"),
    ("IT", "312 345 6789", "+393123456789", "00", "312 345 6789", "+39 312 345 6789"),
    ("SM", "66 66 12 12", "+37866661212", "00", "66 66 12 12", "+378 66 66 12 12"),
    ("ES", "612 34 56 78", "+34612345678", "00", "612 34 56 78", "+34 612 34 56 78"),
    ("PT", "912 345 678", "+351912345678", "00", "912 345 678", "+351 912 345 678"),
    ("GB", "(07700) 900123", "+447700900123", "00", "07700 900123", "+44 7700 900123"),
    ("IE", "085 012 3456", "+353850123456", "00", "085 012 3456", "+353 85 012 3456"),
    ("DK", "34 41 23 45", "+4534412345", "00", "34 41 23 45", "+45 34 41 23 45"),
    ("SE", "070-174 06 05", "+46701740605", "00", "070-174 06 05", "+46 70 174 06 05"),
    ("NO", "406 12 345", "+4740612345", "00", "40 61 23 45", "+47 40 61 23 45"),
    ("FI", "041 2345678", "+358412345678", "00", "041 2345678", "+358 41 2345678"),
    ("IS", "611 1234", "+3546111234", "00", "611 1234", "+354 611 1234"),
    ("PL", "512 345 678", "+48512345678", "00", "512 345 678", "+48 512 345 678"),
    ("CZ", "601 123 456", "+420601123456", "00", "601 123 456", "+420 601 123 456"),
    ("SK", "0912 123 456", "+421912123456", "00", "0912 123 456", "+421 912 123 456"),
    ("HU", "06 20 123 4567", "+36201234567", "00", "06 20 123 4567", "+36 20 123 4567"),
    ("RO", "0712 034 567", "+40712034567", "00", "0712 034 567", "+40 712 034 567"),
    ("BG", "043 012 345", "+35943012345", "00", "043 012 345", "+359 43 012 345"),
    ("GR", "691 234 5678", "+306912345678", "00", "691 234 5678", "+30 691 234 5678"),
    ("HR", "092 123 4567", "+385921234567", "00", "092 123 4567", "+385 92 123 4567"),
    ("RS", "060 1234567", "+381601234567", "00", "060 1234567", "+381 60 1234567"),
    ("TR", "0501 234 56 78", "+905012345678", "00", "0501 234 56 78", "+90 501 234 56 78"),
    ("UA", "050 123 4567", "+380501234567", "00", "050 123 4567", "+380 50 123 4567"),
    ("MC", "06 12 34 56 78", "+377612345678", "00", "06 12 34 56 78", "+377 6 12 34 56 78"),
    ("RU", "8 (912) 345-67-89", "+79123456789", "8~10", "8 (912) 345-67-89", "+7 912 345-67-89"),
    ("US", "(201) 555-0123", "+12015550123", "011", "(201) 555-0123", "+1 201-555-0123"),
    ("AU", "0412 345 678", "+61412345678", "0011", "0412 345 678", "+61 412 345 678"),
    ("JP", "090-1234-5678", "+819012345678", "010", "090-1234-5678", "+81 90-1234-5678"),
    ("IN", "081234 56789", "+918123456789", "00", "081234 56789", "+91 81234 56789"),
    ("BR", "(11) 96123-4567", "+5511961234567", "0014", "(11) 96123-4567", "+55 11 96123-4567"),
    ("CI", "01 23 45 6789", "+2250123456789", "00", "01 23 45 6789", "+225 01 23 45 6789"),
]


@pytest.mark.parametrize(("country", "written", "e164", "way_out", "national", "international"), COUNTRIES)
def test_a_number_is_read_and_shown_as_its_people_do(country, written, e164, way_out, national, international):
    other = "DE" if country != "DE" else "FR"
    assert read(written, country).e164 == e164
    assert read(e164, other).e164 == e164
    assert read(international, other).e164 == e164
    assert read(f"00 {e164[1:]}", other).e164 == e164
    assert read(f"{way_out} 44 7700 900123", country).e164 == "+447700900123"
    assert (shown(e164, country), shown(e164, other)) == (national, international)
    assert (country_of(e164), read(written, country).country) == (country, country)


@pytest.mark.parametrize(
    "written",
    [
        "٠٦ ٣٩ ٩٨ ٠٠ ٠١",
        "۰۶۳۹۹۸۰۰۰۱",
        "०६३९९८०००१",
        "０６－３９－９８－００－０１",
        "＋３３ ６ ３９ ９８ ００ ０１",
        "\u202a+33\u00a06\u00a039\u00a098\u00a000\u00a001\u202c",
        "+33 (0)6 39 98 00 01",
        "[06] 39.98.00/01",
        "06–39—98‑00‒01",
        "tel:+33-6-39-98-00-01;phone-context=x",
        "TEL:0639980001",
    ],
)
def test_separators_and_digits_of_other_scripts_are_read(written):
    assert read(written, "FR").e164 == "+33639980001"


@pytest.mark.parametrize(
    ("written", "country", "why"),
    [
        ("06 39 98 00 0", "FR", "is too short for a number of FR"),
        ("06 39 98 00 01 2", "FR", "is too long for a number of FR"),
        ("112", "FR", "is too short for a number of FR"),
        ("555-0123", "US", "is too short for a number of US"),
        ("7", "GB", "is too short"),
        ("+44770", "FR", "is too short for a number of GB"),
        ("+999 123 456", "FR", "begins with no country's code: +9991"),
        ("+0 6 39 98 00 01", "FR", "begins with no country's code: +0639"),
        ("+33 1234567890123456789", "FR", "is too long"),
        ("1-800-FLOWERS", "US", "has letters in it"),
        ("alice", "FR", "has letters in it"),
        ("٠٦ سلام", "FR", "has letters in it"),
        ("06 39 98 00 01 ext 3", "FR", "has letters in it"),
        ("*100#", "FR", "has '*' in it, which no number has"),
        ("06+39", "FR", "has '+' in it, which no number has"),
        ("06 39\n98 00 01", "FR", "has '\\n' in it, which no number has"),
        ("", "FR", "has no digits"),
        ("+", "FR", "has no digits"),
        (" - ", "FR", "has no digits"),
        ("0" * (MAX_TEXT + 1), "FR", f"is too long: more than {MAX_TEXT} characters"),
    ],
)
def test_why_something_is_no_number_is_said_in_words(written, country, why):
    with pytest.raises(ParseError) as caught:
        read(written, country)
    assert caught.value.what == why


@pytest.mark.parametrize(
    ("e164", "kind", "why_not"),
    [
        ("+33612345678", "mobile", ""),
        ("+12015550123", "mobile or fixed line", ""),
        ("+33639980001", "", ""),
        ("+33123456789", "fixed line", "is a fixed line number, not a mobile"),
        ("+33801234567", "freephone", "is a freephone number, not a mobile"),
        ("+33891123456", "premium rate", "is a premium rate number, not a mobile"),
    ],
)
def test_what_the_plan_makes_of_a_number_is_said_in_words(e164, kind, why_not):
    number = read(e164, "FR")
    assert (number.kind, number.why_not_mobile) == (kind, why_not)


@pytest.mark.parametrize(("e164", "country"), [("+881631234567", ""), ("+999123", ""), ("+1", "US"), ("+7495", "RU")])
def test_a_number_of_no_country_has_none_and_an_unfinished_one_that_of_its_code(e164, country):
    assert country_of(e164) == country


def test_an_italian_number_keeps_its_zero():
    assert read("06 1234 5678", "IT").e164 == "+390612345678"


WRITTEN = st.text(
    st.characters(exclude_categories=("Cs",)) | st.sampled_from("+0123456789 ()-./"), max_size=MAX_TEXT + 5
)


@given(WRITTEN, st.sampled_from(["FR", "US", "IT", "RU", "ZZ"]))
def test_any_text_is_a_number_or_a_reason(text, country):
    try:
        number = read(text, country)
    except ParseError:
        return
    assert number.e164[1:].isascii()
    assert number.e164[1:].isdigit()
    assert len(number.e164) <= 16
    assert read(number.e164, country).e164 == number.e164
    assert shown(number.e164, country)


@given(st.sampled_from([one[0] for one in COUNTRIES]), st.integers(1, 10**14), st.sampled_from(["FR", "US"]))
def test_what_is_shown_is_read_as_the_same_number(country, digits, reader):
    try:
        number = read(str(digits), country)
    except ParseError:
        return
    assert read(shown(number.e164, reader), reader).e164 == number.e164
    assert read(shown(number.e164, country), country).e164 == number.e164
