from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joyn.config import (
    MEMORY,
    ConfigError,
    LogSettings,
    MessagingSettings,
    MsrpSettings,
    OperatorSettings,
    RegistrarSettings,
    Settings,
    SipListener,
    SipSettings,
    StoreSettings,
    annotated,
    is_tables,
    load,
    parse,
)


def error_of(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, "joyn.toml")
    return caught.value


def test_an_empty_file_means_the_defaults() -> None:
    assert parse("") == Settings()


def test_durations_and_sizes_are_read_with_their_units() -> None:
    read = parse(
        '[sip]\nmax_body = "1MiB"\nidle_timeout = "1500ms"\nt1 = 1\n'
        '[messaging]\ndeliver_for = "2h"\nretain_for = "1d"\npager_limit = "900B"\n[registrar]\nmin_expires = "2m"\n'
    )
    assert (read.sip.max_body, read.sip.idle_timeout, read.sip.t1) == (1 << 20, 1.5, 1.0)
    assert (read.messaging.deliver_for, read.messaging.retain_for) == (7200.0, 86400.0)
    assert (read.messaging.pager_limit, read.registrar.min_expires) == (900, 120.0)


def test_the_realm_follows_the_domain_unless_given() -> None:
    assert parse('[operator]\ndomain = "a.example"').operator.realm == "a.example"
    assert parse('[operator]\ndomain = "a.example"\nrealm = "r"').operator.realm == "r"


def test_the_advertised_host_follows_the_host_unless_given() -> None:
    assert SipListener(host="192.0.2.1").advertise == "192.0.2.1"
    assert SipListener(host="192.0.2.1", advertise="sip.example").advertise == "sip.example"


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("[registrar]\nmax_binding = 3", "registrar.max_binding", "did you mean max_bindings?"),
        ("[registra]\n", "registra", "did you mean registrar?"),
        ("[log]\ncolour = 1", "log.colour", "known are level, format"),
        ("[log]\nlevel = 'loud'", "log.level", "one of debug, info, warning, error"),
        ("[sip]\nflow_timer = 120", "sip.flow_timer", 'write a duration like "30s"'),
        ("[sip]\nflow_timer = '2 minutes'", "sip.flow_timer", "write a duration"),
        ("[sip]\nflow_timer = '0s'", "sip.flow_timer", "above 0"),
        ("[sip]\nmax_body = '64kb'", "sip.max_body", 'write a size like "64KiB"'),
        ("[sip]\nmax_connections = true", "sip.max_connections", "shall be a number"),
        ("[sip]\nmax_connections = 0", "sip.max_connections", "above 0"),
        ("[sip]\nt1 = nan", "sip.t1", "above 0"),
        ("[sip]\nt1 = inf", "sip.t1", "above 0"),
        ("[registrar]\ngruu = 1", "registrar.gruu", "true or false"),
        ("[operator]\nname = 1", "operator.name", "text in quotes"),
        ("[operator]\ncountry = 'France'", "operator.country", "two letters"),
        ("[push]\ncontact = 'ops@example.net'", "push.contact", "mailto: or https:"),
        ("[push]\nhosts = ['https://push.example']", "push.hosts[0]", "host name"),
        ("[push]\nhosts = ['push.example', '*']", "push.hosts[1]", "host name"),
        ("[push]\nhosts = ['*push.example']", "push.hosts[0]", "host name"),
        ("[operator]\ndata = ''", "operator.data", "shall be a path"),
        ("[operator]\nextra_domains = 'x'", "operator.extra_domains", "shall be a list"),
        ("operator = 1", "operator", "shall be a table"),
        ("[[sip.listeners]]\nport = 65536", "sip.listeners[0].port", "0 to 65535"),
        ("[[sip.listeners]]\nalgorithms = ['SHA1']", "sip.listeners[0].algorithms[0]", "one of MD5"),
        ("[[sip.listeners]]\ntransport = 'tls'", "sip.listeners[0].certificate", "`joyn init` makes one"),
        ("[[sip.listeners]]\nhost = '0.0.0.0'", "sip.listeners[0].advertise", "0.0.0.0"),
        ("[[sip.listeners]]\n[[sip.listeners]]\nport=1", "sip.listeners[1].name", "taken"),
        ("[[sip.listeners]]\n[[sip.listeners]]\nname='b'", "sip.listeners[1].port", "another listener"),
        ("[[msrp.listeners]]\ntransport = 'udp'", "msrp.listeners[0].transport", "one of tcp, tls"),
        ("[registrar]\nmin_expires = '2h'", "registrar.default_expires", "between"),
        ("[messaging]\nretain_for = '1d'", "messaging.retain_for", "at least deliver_for"),
    ],
)
def test_an_error_names_the_file_and_the_key_and_helps(text: str, key: str, said: str) -> None:
    error = error_of(text)
    assert (error.source, error.key) == ("joyn.toml", key)
    assert said in error.what
    assert str(error).startswith(f"joyn.toml: {key}: ")


def test_a_file_that_is_not_toml_is_refused_with_its_line() -> None:
    assert "line 2" in error_of("[sip]\nnonsense\n").what


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`joyn init` writes one"):
        load(tmp_path / "joyn.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "joyn.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "joyn.toml")


def test_paths_are_read_from_the_directory_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "joyn.toml"
    file.write_text("[[sip.listeners]]\ntransport='tls'\ncertificate='tls/a.pem'\nkey='/etc/b.pem'\n")
    read = load(file)
    assert read.operator.data == tmp_path / "data"
    assert read.store_path == tmp_path / "data" / "joyn.db"
    assert read.admin_socket == tmp_path / "data" / "admin.sock"
    assert read.sip.listeners[0].certificate == tmp_path / "tls" / "a.pem"
    assert read.sip.listeners[0].key == Path("/etc/b.pem")


def test_a_store_in_memory_has_no_path(tmp_path: Path) -> None:
    read = replace(Settings(), store=StoreSettings(path=MEMORY)).at(tmp_path)
    assert read.store_path is None
    assert read.store.path == MEMORY


def test_the_sample_documents_every_setting_and_its_active_lines_are_not_needed() -> None:
    sample = annotated(Settings())
    for section in fields(Settings):
        value = getattr(Settings(), section.name)
        for field in fields(value):
            assert is_tables(value, field.name) or field.metadata["sentence"] in sample
    assert parse(sample) == Settings()


def test_a_sample_without_listeners_reads_back() -> None:
    silent = replace(Settings(), sip=SipSettings(listeners=()), msrp=MsrpSettings(listeners=()))
    assert parse(annotated(silent)) == silent


def test_settings_read_from_a_file_read_back_the_same(tmp_path: Path) -> None:
    placed = Settings().at(tmp_path)
    assert parse(annotated(placed)) == placed


MILLISECONDS = st.integers(1, 10**10).map(lambda amount: amount / 1000)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


@settings(max_examples=60)
@given(
    st.builds(
        Settings,
        operator=st.builds(OperatorSettings, name=TEXT, domain=TEXT, extra_domains=st.tuples(TEXT), realm=TEXT),
        sip=st.builds(
            SipSettings,
            max_body=st.integers(1, 10**11),
            idle_timeout=MILLISECONDS,
            t1=st.floats(1e-9, 1e9),
            listeners=st.just((SipListener(name="a", port=0), SipListener(name="b", access="trusted", port=0))),
        ),
        registrar=st.builds(RegistrarSettings, gruu=st.booleans(), max_bindings=st.integers(1, 10**6)),
        messaging=st.builds(MessagingSettings, sweep_every=MILLISECONDS),
        log=st.builds(LogSettings, level=st.sampled_from(["debug", "error"])),
    )
)
def test_any_settings_survive_being_written_and_read(written: Settings) -> None:
    assert parse(annotated(written)) == written


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_any_text_gives_settings_or_a_config_error(text: str) -> None:
    for written in (text, f"[sip]\n{text}", f"[operator]\nname = {text}"):
        try:
            parse(written)
        except ConfigError:
            continue


@pytest.mark.parametrize(
    ("accel", "proxies"),
    [("joyn-blobs/", "::1"), ("/joyn-blobs", "::1"), ("/../", "::1"), ("/a b/", "::1"), ("/", "::1"), ("/blobs/", "")],
)
def test_files_are_handed_to_a_front_proxy_under_a_path_and_to_one_that_is_named(accel: str, proxies: str) -> None:
    told = f'[http]\ntrusted_proxies = ["{proxies}"]\n' if proxies else ""
    assert error_of(f'{told}[files]\naccel = "{accel}"').key == "files.accel"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('trusted_proxies = ["10.0.0.0/8", "10.0.0.1/8"]', "http.trusted_proxies[1]"),
        ('trusted_proxies = ["proxy.example"]', "http.trusted_proxies[0]"),
        ('origins = ["chat.example"]', "http.origins[0]"),
        ('origins = ["https://chat.example/"]', "http.origins[0]"),
        ('origins = ["*"]', "http.origins[0]"),
        ('frame_ancestors = ["https://a.example; script-src *"]', "http.frame_ancestors[0]"),
        ('[[http.listeners]]\ntransport = "https"', "http.listeners[0].certificate"),
        ('[[http.listeners]]\nhost = "0.0.0.0"', "http.listeners[0].advertise"),
        ('[[http.listeners]]\n[[http.listeners]]\nname = "b"', "http.listeners[1].port"),
    ],
)
def test_what_http_cannot_work_with_is_told(line: str, key: str) -> None:
    assert error_of(f"[http]\n{line}").key == key


def test_the_access_network_s_proxies_are_networks() -> None:
    assert (
        error_of('[provisioning]\ntrusted_proxies = ["10.0.0.0/8", "proxy"]').key == "provisioning.trusted_proxies[1]"
    )


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('own_ranges = ["+33639", "0639"]', "interconnect.own_ranges[1]"),
        ('own_ranges = ["+1234567890123456"]', "interconnect.own_ranges[0]"),
        ('file_policy = "proxy"', "interconnect.file_policy"),
        ('[[interconnect.listeners]]\nhost = "0.0.0.0"', "interconnect.listeners[0].advertise"),
        ('[[interconnect.media]]\n[[interconnect.media]]\nname = "b"', "interconnect.media[1].port"),
        ('[[interconnect.listeners]]\ncertificate = "a.pem"', "interconnect.listeners[0].certificate"),
    ],
)
def test_what_no_peer_can_be_told_is_refused(line: str, key: str) -> None:
    assert error_of(f"[interconnect]\n{line}").key == key


def test_an_interconnect_is_read_and_written_with_both_kinds_of_listeners_or_one() -> None:
    read = parse("[[interconnect.listeners]]\nadvertise = 'border.example'\n")
    (listener,) = read.interconnect.listeners
    assert (listener.transport, listener.port, listener.advertise) == ("tls", 5062, "border.example")
    assert parse(annotated(read)) == read
    both = parse("[[interconnect.media]]\n[[interconnect.listeners]]\n")
    assert both.interconnect.media[0].port == 2857
    assert parse(annotated(both)) == both
    assert not parse("").interconnect.listeners
    assert (read.listening["interconnect"], both.listening["interconnect"], parse("").listening["sip"]) == (1, 2, 2)


def test_http_settings_are_read() -> None:
    read = parse(
        '[http]\norigins = ["https://chat.example:8443"]\ntrusted_proxies = ["10.0.0.0/8", "::1"]\n'
        'frame_ancestors = ["http://localhost:8080", "http://[::1]:8080"]\n[[http.listeners]]\nport = 0\n'
    ).http
    assert (read.origins, read.trusted_proxies) == (("https://chat.example:8443",), ("10.0.0.0/8", "::1"))
    assert (len(read.frame_ancestors), read.listeners[0].transport) == (2, "http")
