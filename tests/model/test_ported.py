import pytest

from joyn.model.ported import BACK, PortedNumber, operator_named, read_row
from joyn.model.route import Operator
from joyn.protocol.errors import ParseError

NOON = 1_800_000_000.0


@pytest.mark.parametrize(
    ("line", "operator"),
    [
        ("+33639980001,sfr.example\n", "sfr.example"),
        ("  +33639980001 , SFR.Example\r\n", "sfr.example"),
        ("+33639980001,", BACK),
        ("+33639980001, \n", BACK),
    ],
)
def test_a_row_is_a_number_and_its_operator(line: str, operator: str) -> None:
    assert read_row(line, NOON) == PortedNumber(number="+33639980001", operator=Operator(operator), at=NOON)


@pytest.mark.parametrize("line", ["", "\n", "   ", "# +33639980001,sfr.example", "number,operator"])
def test_what_is_no_row_is_left_out(line: str) -> None:
    assert read_row(line, NOON) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("+33639980001", "is not number,operator"),
        ("+33639980001,sfr.example,2026", "is not number,operator"),
        ("0639980001,sfr.example", "'0639980001' is no number"),
        ("+1234567890123456,sfr.example", "is no number"),
        ("+٣٣٦٣٩٩٨٠٠٠١,sfr.example", "is no number"),
        ("+33639980001,sfr example", "'sfr example' is no operator's domain"),
    ],
)
def test_why_a_row_is_none_is_said(line: str, why: str) -> None:
    with pytest.raises(ParseError) as caught:
        read_row(line, NOON)
    assert why in caught.value.what


@pytest.mark.parametrize(
    "domain",
    ["", ".", "a..b", "-a.example", "a_b.example", "192.0.2.1", "a" * 64 + ".example", "é.example", "x." * 127 + "xx"],
)
def test_what_is_no_domain_names_no_operator(domain: str) -> None:
    with pytest.raises(ParseError):
        operator_named(domain)


def test_an_operator_is_named_in_lower_case() -> None:
    assert operator_named(" IMS.mnc010.MCC208.3gppnetwork.org ") == "ims.mnc010.mcc208.3gppnetwork.org"
