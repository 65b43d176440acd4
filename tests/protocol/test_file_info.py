from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import file_info
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import FileInfo, ResumeInfo, emit, parse, relink
from protocol.body_samples import growth, load, value_or_error

XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=30).map(str.strip)
URLS = XML_TEXT.filter(bool)
SIZES = st.integers(0, file_info.MAX_SIZE)


def make_info(**fields) -> FileInfo:
    return FileInfo(**{"size": 5, "content_type": "text/plain", "url": "https://cs.example.net/d/1"} | fields)


@pytest.mark.parametrize("sample", load("file_info"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    value = tuple(FileInfo(**info) for info in sample["value"])
    assert parse(sample["wire"]) == value
    if sample.get("emit"):
        assert emit(value) == sample["wire"]


@pytest.mark.parametrize("sample", load("resume_info"))
def test_resume_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            ResumeInfo.parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    value = ResumeInfo(**sample["value"])
    assert ResumeInfo.parse(sample["wire"]) == value
    if sample.get("emit"):
        assert value.emit() == sample["wire"]


@given(XML_TEXT, URLS, XML_TEXT, SIZES, st.one_of(st.none(), SIZES), st.sampled_from(["attachment", "render", ""]))
def test_what_is_emitted_is_read_back(text, url, name, size, length, disposition):
    info = make_info(
        content_type=text, url=url, until=text, name=name, size=size, playing_length=length, disposition=disposition
    )
    thumbnail = make_info(type="thumbnail", file_hash=text, branded_url=name)
    assert parse(emit([info])) == (info,)
    assert parse(emit([info, thumbnail])) == (thumbnail, info)


@given(SIZES, SIZES, URLS)
def test_what_is_emitted_of_an_upload_is_read_back(start, end, url):
    assert ResumeInfo.parse(ResumeInfo(start=start, end=end, url=url).emit()) == ResumeInfo(
        start=start, end=end, url=url
    )


@given(st.binary(max_size=100), st.integers(0, 400))
def test_arbitrary_bytes_are_a_document_or_a_parse_error(noise, at):
    for read, document in (
        (parse, emit([make_info()])),
        (ResumeInfo.parse, ResumeInfo(start=0, end=1, url="u").emit()),
    ):
        value_or_error(read, noise)
        value_or_error(read, document[:at] + noise + document[at + len(noise) :])


def test_there_may_be_so_many_files_of_such_a_size_at_urls_so_long():
    most = [make_info(size=file_info.MAX_SIZE)] * file_info.MAX_FILES
    assert len(parse(emit(most))) == file_info.MAX_FILES
    assert parse(emit([make_info(url="u" * file_info.MAX_URL)]))
    too_large = emit([make_info(size=5)]).replace(b">5<", f">{file_info.MAX_SIZE + 1}<".encode())
    for document in (emit([*most, make_info()]), emit([make_info(url="u" * (file_info.MAX_URL + 1))]), too_large):
        with pytest.raises(ParseError):
            parse(document)


def test_a_document_may_have_so_many_bytes():
    document = emit([make_info()])
    assert parse(document.ljust(file_info.MAX_FILE_INFO)) == (make_info(),)
    with pytest.raises(ParseError):
        parse(document.ljust(file_info.MAX_FILE_INFO + 1))


@pytest.mark.parametrize("filler", ["<file-info/>", "<file-info type='other'>", "a", "&amp;"])
def test_the_worst_documents_take_linear_time(filler):
    assert growth(parse, lambda size: f"<file>{filler * (size // len(filler))}</file>".encode(), 1900) < 30


@pytest.mark.parametrize(
    ("said", "voice"),
    [
        ({}, True),
        ({"content_type": "Audio/MP4; codecs=1"}, True),
        ({"content_type": "video/mp4"}, False),
        ({"disposition": "attachment"}, False),
        ({"playing_length": None}, False),
        ({"playing_length": 0}, True),
        ({"type": "thumbnail"}, False),
    ],
)
def test_a_voice_message_is_sound_to_be_played_whose_length_is_said(said, voice):
    fields = {"content_type": "audio/amr", "disposition": "render", "playing_length": 12}
    assert FileInfo(size=1, url="http://h/f", **{**fields, **said}).voice is voice


@given(URLS, XML_TEXT, XML_TEXT, st.booleans(), st.booleans())
def test_other_links_change_nothing_else(url, until, name, first, second):
    infos = (make_info(type="thumbnail", branded_url=name), make_info(name=name, until=until, file_hash=name))
    links = [("https://ours.example/1", "2026-01-01T00:00:00Z") if changed else None for changed in (first, second)]
    expected = tuple(
        info if link is None else replace(info, url=link[0], until=link[1])
        for info, link in zip(infos, links, strict=True)
    )
    assert parse(relink(emit(infos), links)) == expected


def test_what_nobody_knows_stays_in_a_document_with_other_links():
    wire = (
        b'<file xmlns="urn:a" xmlns:z="urn:z"><file-info type="other"><data url="u"/></file-info>'
        b'<z:more a="1">x &amp; y</z:more><file-info type="file" z:b="2"><file-size>1</file-size>'
        b'<content-type>a/b</content-type><data url="http://theirs/1" z:c="3"/><z:hash>q</z:hash></file-info></file>'
    )
    _, _, changed = relink(wire, [("https://ours/1", "t")]).partition(b"\r\n")
    assert changed == wire.replace(b'url="http://theirs/1" z:c="3"', b'url="https://ours/1" z:c="3" until="t"')


def test_a_document_that_other_links_make_too_long_is_refused():
    wire = emit([make_info(name="x" * (file_info.MAX_FILE_INFO - 500))])
    parse(wire)
    with pytest.raises(ParseError):
        relink(wire, [("https://ours.example/" + "x" * 500, "")])
