import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.model.ranges import Ranges, RangeTaken
from joyn.model.route import Operator

ORANGE, SFR = Operator("orange.example"), Operator("sfr.example")


def test_the_longest_prefix_wins() -> None:
    ranges = Ranges([("+3363", ORANGE), ("+33634", SFR), ("+336340001", ORANGE)])
    assert ranges.find("+33630000000") == ("+3363", ORANGE)
    assert ranges.find("+33634000200") == ("+33634", SFR)
    assert ranges.find("+33634000100") == ("+336340001", ORANGE)
    assert ranges.find("+33712345678") is None


def test_a_number_shorter_than_a_prefix_is_not_in_it() -> None:
    assert Ranges([("+3363998", ORANGE)]).find("+33639") is None


def test_a_prefix_is_one_operator_s() -> None:
    assert len(Ranges([("+3363", ORANGE), ("+3363", ORANGE)])) == 1
    with pytest.raises(RangeTaken, match=r"\+3363 is a range of orange.example and of sfr.example"):
        Ranges([("+3363", ORANGE), ("+3363", SFR)])


@pytest.mark.parametrize("prefix", ["", "+", "3363", "+0", "+336x", "+33 6", "+1234567890123456", "+٣٣"])
def test_what_is_no_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="no prefix"):
        Ranges([(prefix, ORANGE)])


def test_a_range_within_another_operator_s_is_known() -> None:
    ranges = Ranges([("+33", ORANGE), ("+3363", ORANGE), ("+33634", SFR), ("+336341", SFR)])
    assert ranges.carved_out() == [("+33634", "+3363")]


PREFIXES = st.from_regex(r"\+[1-3][0-3]{0,5}", fullmatch=True)


@given(
    st.dictionaries(PREFIXES, st.sampled_from([ORANGE, SFR]), max_size=30),
    st.from_regex(r"\+[1-3][0-3]{2,14}", fullmatch=True),
)
def test_it_finds_what_trying_them_all_finds(ranges: dict[str, Operator], number: str) -> None:
    fitting = [prefix for prefix in ranges if number.startswith(prefix)]
    longest = max(fitting, key=len, default=None)
    assert Ranges(ranges.items()).find(number) == (None if longest is None else (longest, ranges[longest]))
