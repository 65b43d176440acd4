import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import iscomposing
from joyn.protocol.errors import ParseError
from joyn.protocol.iscomposing import IDLE_AFTER, Composer, IsComposing, Receiver, StateChanged
from protocol.body_samples import load, value_or_error

XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=20).map(str.strip)
ACTIVE = IsComposing(state="active", content_type="text/plain", refresh=60)
IDLE = IsComposing(state="idle", content_type="text/plain")


def notices(actions) -> list[IsComposing]:
    return [action.notice for action in actions]


@pytest.mark.parametrize("sample", load("iscomposing"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            IsComposing.parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    value = IsComposing(**sample["value"])
    assert IsComposing.parse(sample["wire"]) == value
    if sample.get("emit"):
        assert value.emit() == sample["wire"]


@given(st.sampled_from(["active", "idle"]), XML_TEXT, XML_TEXT, st.none() | st.integers(0, 10**9 - 1))
def test_what_is_emitted_is_read_back(state, content_type, last_active, refresh):
    value = IsComposing(state=state, content_type=content_type, last_active=last_active, refresh=refresh)
    assert IsComposing.parse(value.emit()) == value


@given(st.binary(max_size=60), st.integers(0, 200))
def test_arbitrary_bytes_are_a_notice_or_a_parse_error(noise, at):
    document = ACTIVE.emit()
    value_or_error(IsComposing.parse, noise)
    value_or_error(IsComposing.parse, document[:at] + noise + document[at + len(noise) :])


def test_a_document_may_have_max_bytes_and_no_more():
    assert IsComposing.parse(ACTIVE.emit().ljust(iscomposing.MAX_IS_COMPOSING)) == ACTIVE
    with pytest.raises(ParseError):
        IsComposing.parse(ACTIVE.emit().ljust(iscomposing.MAX_IS_COMPOSING + 1))


def test_the_first_key_stroke_says_active_and_the_next_says_nothing():
    composer = Composer()
    assert notices(composer.compose(0.0)) == [ACTIVE]
    assert composer.compose(1.0) == []


def test_a_composer_that_goes_on_says_active_again_when_the_notice_wears_off():
    composer = Composer(refresh=60)
    said = [now for now in range(0, 130, 10) if composer.compose(float(now))]
    assert said == [0, 60, 120]


def test_a_composer_that_stops_says_idle_after_fifteen_seconds():
    composer = Composer()
    composer.compose(0.0)
    composer.compose(5.0)
    assert composer.deadline() == 5.0 + IDLE_AFTER
    assert composer.handle_deadline(composer.deadline() - 0.1) == []
    assert notices(composer.handle_deadline(composer.deadline())) == [IDLE]
    assert composer.deadline() == math.inf


def test_sending_the_message_needs_no_notice_and_the_next_key_stroke_says_active():
    composer = Composer()
    composer.compose(0.0)
    assert composer.send() == []
    assert (composer.state, composer.deadline()) == ("idle", math.inf)
    assert notices(composer.compose(1.0)) == [ACTIVE]


def test_a_refresh_under_a_minute_is_not_announced():
    assert notices(Composer(refresh=5).compose(0.0)) == [ACTIVE]


def test_a_receiver_shows_each_change_once():
    receiver = Receiver()
    assert receiver.receive(IDLE, 0.0) == []
    assert receiver.receive(ACTIVE, 0.0) == [StateChanged("active")]
    assert receiver.receive(ACTIVE, 50.0) == []
    assert receiver.deadline() == 110.0
    assert receiver.receive(IDLE, 60.0) == [StateChanged("idle")]
    assert receiver.deadline() == math.inf


@pytest.mark.parametrize(("refresh", "seconds"), [(None, 120), (0, 120), (7, 7), (10**6, iscomposing.MAX_REFRESH)])
def test_a_notice_wears_off_after_its_refresh_within_bounds(refresh, seconds):
    receiver = Receiver()
    receiver.receive(IsComposing(state="active", refresh=refresh), 10.0)
    assert receiver.deadline() == 10.0 + seconds
    assert receiver.handle_deadline(9.9 + seconds) == []
    assert receiver.handle_deadline(10.0 + seconds) == [StateChanged("idle")]


def test_a_message_ends_composing():
    receiver = Receiver()
    receiver.receive(ACTIVE, 0.0)
    assert receiver.receive_message() == [StateChanged("idle")]
    assert receiver.receive_message() == []
