from dataclasses import replace

import pytest

from joyn.protocol.config_document import Characteristic, emit, understand
from joyn.services.provisioning.catalogue import Catalogue, CatalogueError, Verdict
from joyn.services.provisioning.documents import JOYN, Description, Parameter, Vers, document, unmatched
from services.provisioning.setting import SERVICE

DESCRIPTION = Description(
    vers=Vers(7, 60),
    profile="UP_2.4",
    private_identity="d1@joyn.example",
    public_identities=("tel:+33639980001",),
    username="d1@joyn.example",
    password="secret",
)


def made(line: str, profile: str = "UP_2.4") -> tuple[Characteristic, ...]:
    service = replace(SERVICE, parameters=(Parameter.parse(line),))
    return document(service, replace(DESCRIPTION, profile=profile))


def value(document: tuple[Characteristic, ...], application: int, *path: str) -> str | None:
    node = document[-2 + application]
    for kind in path[:-1]:
        child = node.child(kind)
        assert child is not None
        node = child
    return node.get(path[-1])


@pytest.mark.parametrize(
    ("line", "application", "path"),
    [
        ("MESSAGING/Chat/TimerIdle = 180", 1, ("MESSAGING", "Chat", "TimerIdle")),
        ("messaging/chat/timeridle = 180", 1, ("MESSAGING", "Chat", "TimerIdle")),
        ("RCS/MESSAGING/Chat/TimerIdle = 180", 1, ("MESSAGING", "Chat", "TimerIdle")),
        ("UP_2.4 IM/imWarnSF = 180", 1, ("IM", "imWarnSF")),
        ("IMS/Timer_T1 = 180", 0, ("Timer_T1",)),
        ("ims/Ext/NatUrlFmt = 180", 0, ("Ext", "NatUrlFmt")),
        ("APPAUTH/Realm = 180", 0, ("APPAUTH", "Realm")),
    ],
)
def test_the_operator_s_own_value_takes_the_place_of_ours(line: str, application: int, path: tuple[str, ...]) -> None:
    assert value(document(SERVICE, DESCRIPTION), application, *path) not in (None, "180")
    assert value(made(line), application, *path) == "180"
    assert unmatched(replace(SERVICE, parameters=(Parameter.parse(line),))) == []


def test_it_is_for_its_profile_alone() -> None:
    assert value(made("UP_2.0 IM/imWarnSF = 0"), 1, "IM", "imWarnSF") == "1"
    assert value(made(f"{JOYN} IM/imWarnSF = 0", JOYN), 1, "IM", "imWarnSF") == "0"


@pytest.mark.parametrize(
    "line",
    [
        "MESSAGING/Chat/TimerIdel = 180",
        "MESSAGING/Chat = 180",
        "Chat/TimerIdle = 180",
        "VERS/version = 9",
        "RCS/Timer_T1 = 1",
        f"{JOYN} MESSAGING/Chat/TimerIdle = 180",
        "UP2.4 MESSAGING/Chat/TimerIdle = 180",
    ],
)
def test_a_path_that_leads_nowhere_is_found(line: str) -> None:
    parameter = Parameter.parse(line)
    assert unmatched(replace(SERVICE, parameters=(parameter,))) == [parameter]


@pytest.mark.parametrize("line", ["", "IM/x", "TimerIdle = 1", "a b IM/x = 1", "= 1"])
def test_a_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="write it as"):
        Parameter.parse(line)


@pytest.mark.parametrize(
    ("profile", "node"), [(JOYN, ("IM",)), ("UP_2.4", ("IM",)), ("UP_2.4", ("MESSAGING", "FileTransfer"))]
)
def test_a_phone_is_told_where_files_go_and_with_what_credentials(profile: str, node: tuple[str, ...]) -> None:
    server = "https://files.joyn.example/content"
    service = replace(SERVICE, content_server=server, max_file=100 << 20, warn_above=1 << 20)
    told = document(service, replace(DESCRIPTION, profile=profile))
    wanted = {
        "ftHTTPCSURI": server,
        "ftHTTPCSUser": "d1@joyn.example",
        "ftHTTPCSPwd": "secret",
        "MaxSizeFileTr": "102400",
        "ftWarnSize": "1024",
        "ftAutAccept": "1",
    }
    assert {name: value(told, 1, *node, name) for name in wanted} == wanted
    assert value(told, 1, "SERVICES", "ftAuth") == "1"


def test_without_a_content_server_there_are_no_files() -> None:
    told = document(SERVICE, DESCRIPTION)
    assert value(told, 1, "SERVICES", "ftAuth") == "0"
    assert b"ftHTTPCSURI" not in emit(told)


def test_phones_are_sent_to_names_over_tls() -> None:
    read = understand(emit(document(SERVICE, DESCRIPTION)))
    assert read.ims is not None
    assert read.ims.pcscf == ("sip.joyn.example:5061",)
    transports = document(SERVICE, DESCRIPTION)[-1].child("OTHER")
    assert transports is not None
    kinds = transports.child("transportProto")
    assert kinds is not None
    assert {value for _, value in kinds.parameters} == {"SIPoTLS", "MSRPoTLS"}


@pytest.mark.parametrize(
    ("vendor", "model", "version", "verdict"),
    [
        ("ACME", "One", "1.9", Verdict.UPDATE),
        ("Acme", "One", "1.10", Verdict.READY),
        ("Acme", "Old 3", "9", Verdict.UNSUPPORTED),
        ("Other", "One", "1.0", Verdict.READY),
        ("Acme", "One", "", Verdict.UPDATE),
    ],
)
def test_the_first_rule_that_fits_decides(vendor: str, model: str, version: str, verdict: Verdict) -> None:
    catalogue = Catalogue.parse(
        '[[device]]\nmodel = "Old*"\nverdict = "unsupported"\n'
        '[[device]]\nvendor = "acme"\nbefore = "1.10"\nverdict = "update"\n'
    )
    assert catalogue.verdict(vendor, model, version)[0] is verdict


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[", "not TOML"),
        ("device = 1", "list of tables"),
        ("[[device]]\nverdict = 1", r"device\[0\]: a table of texts"),
        ('[[device]]\nverdict = "ready"\n[[device]]\nverdict = "no"', r"device\[1\].verdict"),
        ('[[device]]\nverdict = "ready"\nmodle = "x"', "there is no key modle"),
    ],
)
def test_a_catalogue_that_cannot_be_read_says_where(text: str, said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        Catalogue.parse(text)
