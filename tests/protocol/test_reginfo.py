from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joyn.protocol import reginfo
from joyn.protocol.errors import ParseError, ProtocolError
from joyn.protocol.reginfo import Contact, RegInfo, Registration
from protocol.body_samples import load, value_or_error

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters='"'), max_size=8)
STRIPPED = TEXT.map(str.strip)
WORDS = TEXT.map(lambda text: f"i{text}d")
NUMBERS = st.none() | st.integers(0, reginfo.MAX_NUMBER)
CONTACTS = st.builds(
    Contact,
    id=WORDS,
    uri=WORDS,
    state=st.sampled_from(reginfo.CONTACT_STATES),
    event=st.sampled_from(reginfo.EVENTS),
    expires=NUMBERS,
    retry_after=NUMBERS,
    call_id=TEXT,
    cseq=NUMBERS,
    display_name=STRIPPED,
    instance=STRIPPED,
    pub_gruu=TEXT,
    temp_gruu=WORDS,
    temp_gruu_first_cseq=NUMBERS,
)


def make_contact(**changes) -> Contact:
    return replace(Contact(id="c1", uri="sip:a@192.0.2.7", state="active", event="registered"), **changes)


def make_reginfo(contacts: int = 1, registrations: int = 1) -> RegInfo:
    registration = Registration(aor="sip:a@x", id="r1", state="active", contacts=(make_contact(),) * contacts)
    return RegInfo(version=0, state="full", registrations=(registration,) * registrations)


@pytest.mark.parametrize("sample", load("reginfo"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            RegInfo.parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    registrations = tuple(
        Registration(**{**registration, "contacts": tuple(Contact(**contact) for contact in registration["contacts"])})
        for registration in sample["value"]["registrations"]
    )
    value = RegInfo(**{**sample["value"], "registrations": registrations})
    assert RegInfo.parse(sample["wire"]) == value
    if sample.get("emit"):
        assert value.emit() == sample["wire"]


@settings(max_examples=50)
@given(st.lists(CONTACTS, max_size=2), st.sampled_from(reginfo.STATES), st.integers(0, reginfo.MAX_NUMBER))
def test_what_is_emitted_is_read_back(contacts, state, version):
    registration = Registration(aor="sip:a@x", id="r1", state="active", contacts=tuple(contacts))
    value = RegInfo(version=version, state=state, registrations=(registration,))
    assert RegInfo.parse(value.emit()) == value


@given(st.binary(max_size=40), st.integers(0, 350))
def test_arbitrary_bytes_are_a_reginfo_or_a_parse_error(noise, at):
    document = make_reginfo().emit()
    value_or_error(RegInfo.parse, noise)
    value_or_error(RegInfo.parse, document[:at] + noise + document[at + len(noise) :])


def test_an_aor_may_have_max_contacts_and_no_more():
    fullest = make_reginfo(contacts=reginfo.MAX_CONTACTS)
    assert RegInfo.parse(fullest.emit()) == fullest
    with pytest.raises(ProtocolError):
        make_reginfo(contacts=reginfo.MAX_CONTACTS + 1).emit()
    with pytest.raises(ParseError):
        RegInfo.parse(fullest.emit().replace(b"</registration>", b"<contact/></registration>"))


def test_a_document_may_have_max_registrations_and_no_more():
    fullest = make_reginfo(registrations=reginfo.MAX_REGISTRATIONS)
    assert RegInfo.parse(fullest.emit()) == fullest
    with pytest.raises(ProtocolError):
        make_reginfo(registrations=reginfo.MAX_REGISTRATIONS + 1).emit()
    with pytest.raises(ParseError):
        RegInfo.parse(fullest.emit().replace(b"</reginfo>", b"<registration/></reginfo>"))


def test_a_document_may_have_max_bytes_and_no_more():
    assert RegInfo.parse(make_reginfo().emit().ljust(reginfo.MAX_REGINFO)) == make_reginfo()
    with pytest.raises(ParseError):
        RegInfo.parse(make_reginfo().emit().ljust(reginfo.MAX_REGINFO + 1))


def test_a_number_past_the_limit_is_no_number():
    contact = make_contact(expires=reginfo.MAX_NUMBER)
    document = RegInfo(
        version=0, state="full", registrations=(replace(make_reginfo().registrations[0], contacts=(contact,)),)
    ).emit()
    assert RegInfo.parse(document).registrations[0].contacts[0].expires == reginfo.MAX_NUMBER
    beyond = document.replace(b'expires="4294967295"', b'expires="4294967296"')
    assert RegInfo.parse(beyond).registrations[0].contacts[0].expires is None
