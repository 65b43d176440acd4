"""Auto-configuration over HTTP, with the requests that phones send."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from edge.http.browser import Office, at_office
from edge.http.setting_up import HOST, OPERATOR, Visitor, texts
from joyn.config import ConfigError
from joyn.model.aor import Aor
from joyn.protocol.config_document import Characteristic, parse, understand
from joyn.protocol.sip.digest import Authenticator
from phone.node import BOB, CAROL
from waiting import until

RCSJTA = (
    "vers={vers}&IMSI=208010000000003&IMEI=356938035643809&msisdn=%2B33639980003&token={token}&SMS_port=12345"
    "&rcs_version=5.1B&rcs_profile=joyn_blackbird&client_vendor=OEM&client_version=RCSAndr-1.5"
    "&terminal_vendor=Acme&terminal_model=One&terminal_sw_version=4.4"
)
AOSP = (
    "vers={vers}&rcs_version=7.0&rcs_profile=UP_2.0&client_vendor=Goog&client_version=RCSAndrd-1.0"
    "&provisioning_version=4.0&terminal_vendor=Acme&terminal_model=Two&terminal_sw_version=11&IMSI=208010000000003"
    "&IMEI=356938035643809&msisdn=33639980003&token={token}&SMS_port=37273&default_sms_app=1&default_vvm_app=0"
    "&rcs_state=0&app=ap2001&app=ap2002&app=urn%3Aoma%3Amo%3Aext-3gpp-ims%3A1.0&rcs_profile=enriched_call"
)
RUST = (
    "vers={vers}&rcs_version=11.0&rcs_profile=UP_2.4&client_vendor=RUST&client_version=1.0&provisioning_version=5.0"
    "&terminal_vendor=Acme&terminal_model=Three&terminal_sw_version=1.0&IMSI=208010000000003&IMEI=356938035643809"
    "&msisdn=0639980003&token={token}&SMS_port=0&default_sms_app=2&rcs_state=0"
)
CLIENTS = [
    pytest.param(RCSJTA, "OTP", ["IM"], id="rcsjta"),
    pytest.param(AOSP, "OTP", ["IM", "MESSAGING"], id="aosp"),
    pytest.param(RUST, "otp", ["IM", "MESSAGING"], id="rust"),
]
CATALOGUE = """
[[device]]
model = "One"
verdict = "unsupported"
[[device]]
model = "Two"
before = "12"
verdict = "update"
message = "Update first."
"""


class Phone(Visitor):
    """One that asks as this client does."""

    def __init__(self, office: Office, string: str = RCSJTA, otp: str = "OTP") -> None:
        super().__init__(office)
        self.string, self.otp, self.token, self.vers = string, otp, "", "0"

    async def fetch(self) -> Any:
        """Ask for its configuration."""
        query = self.string.format(vers=self.vers, token=self.token)
        answer = await self.ask("GET", f"/?{query}", Host=HOST)
        self._read(answer.body)
        return answer

    async def provision(self) -> Any:
        """The same with a code."""
        asked = await self.fetch()
        assert (asked.status, asked.body) == (200, b""), asked
        code = texts(self.office)[-1].text.split()[0]
        query = self.string.format(vers=self.vers, token="")
        answer = await self.ask("GET", f"/?{self.otp}={code}&{query}", Host=HOST)
        self._read(answer.body)
        return answer

    def _read(self, body: bytes) -> None:
        for one in parse(body) if body else ():
            if one.type == "TOKEN":
                self.token = one.get("token") or ""


def in_application(body: bytes) -> list[str]:
    """The characteristics of RCS."""
    rcs: Characteristic = parse(body)[-1]
    return [one.type for one in rcs.inside]


@pytest.mark.parametrize(("string", "otp", "nodes"), CLIENTS)
def test_a_phone_is_provisioned_and_comes_back(string: str, otp: str, nodes: list[str]) -> None:
    async def story(office: Office) -> None:
        phone = Phone(office, string, otp)
        answer = await phone.provision()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
        assert answer.headers["Cache-Control"] == "no-store"
        read = understand(answer.body)
        assert (read.vers, read.validity) == (1, 7 * 86400)
        assert read.ims is not None
        assert read.ims.public_identities[0] == f"tel:{CAROL}"
        assert read.im.always_on
        assert [one for one in in_application(answer.body) if one in ("IM", "MESSAGING")] == nodes
        # It registers with that.
        async with office.browser() as device:
            device.digest = Authenticator(read.ims.username, read.ims.password, lambda: "0a4f113b")
            assert (await device.register()).status == 200
        sent = texts(office)
        phone.vers = "1"
        again = await phone.fetch()
        assert understand(again.body).unchanged
        phone.vers = "0"
        again = await phone.fetch()
        assert again.status == 200
        assert understand(again.body).ims is not None
        assert texts(office) == sent

    at_office(story, secure=True, provisioning=OPERATOR)


@pytest.mark.parametrize("port", ["12345", "0"])
def test_the_code_is_for_whoever_reads_it(port: str) -> None:
    async def story(office: Office) -> None:
        phone = Phone(office, RCSJTA.replace("12345", port))
        await phone.fetch()
        (sent,) = texts(office)
        assert (sent.to, sent.port) == (f"tel:{CAROL}", int(port))
        assert len(sent.text.split()[0]) == (10 if sent.port else 6)

    at_office(story, secure=True, provisioning=OPERATOR)


# Statuses (facts §9.3).


@pytest.mark.parametrize("string", [RCSJTA, AOSP, RUST])
@pytest.mark.parametrize(
    ("what", "status"),
    [("unknown number", 403), ("wrong token", 511), ("wrong code", 511), ("no code asked for", 511), ("again", 503)],
)
def test_a_phone_that_gets_nothing_is_told_why(string: str, what: str, status: int) -> None:
    async def story(office: Office) -> None:
        phone = Phone(office, string)
        if what == "unknown number":
            phone.string = string.replace("39980003", "39980009")
        elif what == "wrong token":
            phone.token = "none"
        elif what in ("again", "wrong code"):
            await phone.fetch()
        if "code" in what:
            answer = await phone.ask("GET", "/config?OTP=XXXXXX")
        else:
            answer = await phone.fetch()
        assert (answer.status, answer.body) == (status, b"")
        assert 0 < int(answer.headers.get("Retry-After", "30" if status != 503 else "0")) <= 30
        assert len(texts(office)) == (1 if what in ("again", "wrong code") else 0)

    at_office(story, secure=True, provisioning=OPERATOR)


def test_a_request_of_absurd_size_is_400() -> None:
    async def story(office: Office) -> None:
        for query in ("&".join(f"p{number}=1" for number in range(61)), f"vers={'1' * 301}"):
            assert (await Visitor(office).ask("GET", f"/config?{query}")).status == 400

    at_office(story, secure=True)


# VERS (facts §9.4).


@pytest.mark.parametrize(
    ("string", "policy", "version", "validity"),
    [
        (RCSJTA, {"version": 3, "validity": 60.0}, 3, 60),
        (RCSJTA, {"rollout": "native", "native_vendors": ("Goog",)}, -1, -1),
        (AOSP, {"rollout": "native", "native_vendors": ("Goog",)}, 1, 604800),
        (RCSJTA, {"catalogue": CATALOGUE}, -2, -2),
        (AOSP, {"catalogue": CATALOGUE}, -3, 86400),
        (RUST, {"catalogue": CATALOGUE}, 1, 604800),
    ],
)
def test_what_the_operator_has_decided_reaches_the_phone(
    tmp_path: Path, string: str, policy: dict[str, Any], version: int, validity: int
) -> None:
    async def story(office: Office) -> None:
        read = understand((await Phone(office, string).provision()).body)
        assert (read.vers, read.validity) == (version, validity)
        assert (read.ims is not None) == (version > 0)

    if "catalogue" in policy:
        (tmp_path / "devices.toml").write_text(CATALOGUE)
        policy = {"catalogue": tmp_path / "devices.toml"}
    at_office(story, secure=True, provisioning=OPERATOR | policy)


def test_a_blocked_subscriber_s_phone_is_reset() -> None:
    async def story(office: Office) -> None:
        phone = Phone(office)
        await phone.provision()
        carol = await office.node.store.subscribers.get(Aor(f"tel:{CAROL}"))
        assert carol is not None
        await office.node.store.subscribers.put(replace(carol, blocked=True))
        read = understand((await phone.fetch()).body)
        assert (read.vers, read.validity, read.ims) == (0, 0, None)

    at_office(story, secure=True, provisioning=OPERATOR)


# Attacks.


def test_a_browser_s_credentials_are_for_tls_too() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        # A proxy on this machine that is trusted, and says that the browser came without TLS.
        answer = await page.ask("GET", "/config?vers=0", X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="http")
        assert (answer.status, answer.body) == (403, b"")
        page.cookies["__Host-joyn-session"] = page.cookies["joyn-session"]
        answer = await page.ask("GET", "/config?vers=0", X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="https")
        assert understand(answer.body).ims is not None

    at_office(story, trusted_proxies=("127.0.0.0/8",))


def test_the_first_answer_over_the_access_network_holds_no_secret_and_gives_no_configuration() -> None:
    async def story(office: Office) -> None:
        phone = Phone(office, RCSJTA.replace("&msisdn=%2B33639980003", ""))
        first = await phone.ask("GET", "/", Host=HOST, X_Number=f"tel:{CAROL}")
        assert (first.status, first.body) == (200, b"")
        assert not first.cookies["joyn-nonce"]["secure"]
        assert CAROL not in str(first.headers)
        second = await phone.fetch()
        # Any app of the phone gets as far as this: what comes next needs its SMS.
        assert (second.status, second.body) == (200, b"")
        assert [one.to for one in texts(office)] == [f"tel:{CAROL}"]
        assert second.cookies["joyn-code"]["secure"]
        assert (await Phone(office, phone.string).fetch()).status == 403

    proxy = {"msisdn_header": "X-Number", "trusted_proxies": ("127.0.0.0/8",)}
    at_office(story, secure=True, provisioning=OPERATOR | proxy)


@pytest.mark.parametrize(
    ("trusted", "front", "values", "status"),
    [
        (("127.0.0.0/8",), (), [CAROL], 200),
        (("127.0.0.0/8",), (), [CAROL, CAROL], 511),
        (("127.0.0.0/8",), (), [f"{CAROL}, {BOB}"], 511),
        (("127.0.0.0/8",), (), [], 511),
        (("10.0.0.0/8",), (), [CAROL], 511),
        # The page's front proxies pass on what clients write.
        ((), ("127.0.0.0/8",), [CAROL], 511),
    ],
)
def test_a_number_is_believed_from_the_access_network_s_proxy_alone(
    trusted: tuple[str, ...], front: tuple[str, ...], values: list[str], status: int
) -> None:
    async def story(office: Office) -> None:
        headers = CIMultiDict([("X-Number", value) for value in values])
        async with office.http.get(f"{office.origin}/config", headers=headers) as answer:
            assert answer.status == status
            assert ("joyn-nonce" in answer.cookies) == (status == 200)

    at_office(story, trusted_proxies=front, provisioning={"msisdn_header": "X-Number", "trusted_proxies": trusted})


@pytest.mark.parametrize(
    "headers", [{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "https://evil.example"}]
)
def test_another_site_s_page_sends_no_codes_and_mints_no_credentials(headers: dict[str, str]) -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        answer = await page.ask("GET", "/config?vers=0&msisdn=%2B33639980002", **headers)
        assert (answer.status, answer.json) == (403, {"error": "cross-site"})
        assert texts(office) == []
        await page.sign_in()
        before = await office.node.store.devices.of(Aor(f"tel:{CAROL}"))
        assert (await page.ask("GET", "/config?vers=0", **headers)).status == 403
        assert await office.node.store.devices.of(Aor(f"tel:{CAROL}")) == before
        assert (await page.ask("GET", "/config?vers=0", Sec_Fetch_Site="same-origin")).status == 200

    at_office(story)


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({}, {}, 200),
        ({}, {"X_Forwarded_For": "192.0.2.1"}, 403),
        ({"trusted_proxies": ("10.0.0.0/8",)}, {}, 403),
        ({"provisioning": {"trusted_proxies": ("10.0.0.0/8",)}}, {}, 403),
        ({"trusted_proxies": ("127.0.0.0/8",)}, {"X_Forwarded_Proto": "https"}, 200),
        ({"trusted_proxies": ("127.0.0.0/8",)}, {"X_Forwarded_Proto": "http"}, 403),
    ],
)
def test_everything_but_the_first_step_is_for_tls(
    settings: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    async def story(office: Office) -> None:
        answer = await Visitor(office).ask("GET", "/config?vers=0&msisdn=%2B33639980003", **headers)
        assert answer.status == status
        assert len(texts(office)) == (status == 200)

    at_office(story, **settings)


def test_a_stolen_configuration_ends_when_the_device_is_signed_out() -> None:
    async def story(office: Office) -> None:
        phone, owner = Phone(office), Visitor(office)
        await owner.ask("GET", "/api/session")
        read = understand((await phone.provision()).body)
        assert read.ims is not None
        async with office.browser() as device:
            device.digest = Authenticator(read.ims.username, read.ims.password, lambda: "0a4f113b")
            assert (await device.register()).status == 200
            # The TOKEN opens nothing else.
            thief = Visitor(office, {"__Host-joyn-session": phone.token})
            assert (await thief.ask("GET", "/api/history")).status == 401
            (found,) = await office.node.store.devices.of(Aor(f"tel:{CAROL}"))
            await office.node.setting_up.devices.sign_out(found)
            assert await device.ended() is not None
        assert office.node.registrar.of(Aor(f"tel:{CAROL}")) == ()
        assert (await phone.fetch()).status == 511

    at_office(story, secure=True, provisioning=OPERATOR)


# What cannot be configured.


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ({"parameters": ("MESSAGING/Chat/TimerIdel = 1",)}, "provisioning.parameters"),
        ({"parameters": ("TimerIdle",)}, "provisioning.parameters"),
        ({"catalogue": Path("none.toml")}, "provisioning.catalogue"),
        ({"code_text": "Your code."}, "provisioning.code_text"),
        ({"code_text": "{code} {name}"}, "provisioning.code_text"),
    ],
)
def test_a_node_does_not_start_with_what_cannot_work(setting: dict[str, Any], key: str) -> None:
    async def story(_office: Office) -> None:
        raise AssertionError("it has started")

    with pytest.raises(ConfigError) as caught:
        at_office(story, provisioning=setting)
    assert caught.value.key == key


def test_when_the_version_has_changed_phones_are_told_after_the_start() -> None:
    async def story(office: Office) -> None:
        phone = Phone(office)
        await phone.provision()
        (device,) = await office.node.store.devices.of(Aor(f"tel:{CAROL}"))
        await office.node.store.devices.change(device.id, configuration="of the last run")
        office.node.setting_up.start()
        await until(lambda: len(texts(office)) > 1)
        told = texts(office)[-1]
        assert (told.to, told.port, told.text) == (f"tel:{CAROL}", 12345, f"{device.username}-rcscfg")

    at_office(story, secure=True, provisioning=OPERATOR)
