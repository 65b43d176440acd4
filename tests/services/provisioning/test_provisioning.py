"""The configuration server, request by request."""

import pytest

from contracts.store_values import ALICE, BOB, make_subscriber
from joyn.protocol.config_document import understand
from joyn.services.provisioning.documents import Terms
from joyn.services.provisioning.provisioning import NONCE_LIFETIME, Asking
from services.provisioning.setting import DAY, asking, played, provision, token_of

CATALOGUE = """
[[device]]
vendor = "Acme"
model = "Old*"
verdict = "unsupported"
message = "This phone cannot chat."
[[device]]
vendor = "Acme"
before = "2.0"
verdict = "update"
message = "Update first."
"""


async def vers(server, token, **changes):
    """What a phone that has a token is told."""
    answer = await server.answer(asking(token=token, **changes))
    return answer.status, understand(answer.body) if answer.body else None, token_of(answer.body)


# What a proxy says.


@played
async def test_what_a_proxy_says_only_spares_typing_the_number(setting) -> None:
    server = setting.server()
    first = await server.answer(Asking(parameters={}, asserted="33639980001"))
    assert (first.status, first.body) == (200, b"")
    name, nonce = first.cookie
    for secret in ("UserPwd", "33639980001"):
        assert secret not in nonce
    parameters = {"vers": "0", "IMSI": "208011234567890"}
    second = await server.answer(Asking(parameters=parameters, cookies={name: nonce}, secure=True))
    assert (second.status, second.body, len(setting.sms.sent)) == (200, b"", 1)
    # And once.
    third = await server.answer(Asking(parameters=parameters, cookies={name: nonce}, secure=True))
    assert third.status == 403


@played
async def test_a_nonce_ends(setting) -> None:
    server = setting.server()
    name, nonce = (await server.answer(Asking(parameters={}, asserted="+33639980001"))).cookie
    setting.now += NONCE_LIFETIME
    answer = await server.answer(Asking(parameters={"vers": "0"}, cookies={name: nonce}, secure=True))
    assert answer.status == 403


@pytest.mark.parametrize("asserted", ["", "+33639980001, +33639980002", "+33639980001;x", "nobody", "+3363998٠٠٠١"])
@played
async def test_what_is_no_number_is_nobody_s(setting, asserted) -> None:
    assert (await setting.server().answer(Asking(parameters={}, asserted=asserted))).status == 511


@pytest.mark.parametrize("number", ["+33639980001", "33639980001", "0639980001", "tel:+33639980001", "0033639980001"])
@played
async def test_a_number_may_be_written_as_at_home(setting, number) -> None:
    answer = await setting.server().answer(asking(msisdn=number))
    assert answer.status == 200
    assert setting.sms.sent[0][0] == ALICE


@pytest.mark.parametrize(
    ("port", "used"), [("37273", 37273), ("65535", 65535), ("65536", 0), ("99999", 0), ("-1", 0), ("٣", 0), ("", 0)]
)
@played
async def test_a_port_that_is_none_gives_a_code_to_read(setting, port, used) -> None:
    assert (await setting.server().answer(asking(SMS_port=port))).status == 200
    assert setting.sms.sent[0][2] == used


# A phone's life.


@played
async def test_a_phone_that_keeps_asking_is_never_left_without_credentials(setting) -> None:
    server = setting.server()
    configuration, token = await provision(setting, server)
    username, password, told = configuration.ims.username, configuration.ims.password, set()
    for _ in range(20):
        assert await setting.devices.find(username)
        setting.now += configuration.validity - 1
        assert await setting.devices.find(username)
        status, configuration, fresh = await vers(server, token, vers="7")
        assert (status, configuration.vers) == (200, 7)
        told.add(configuration.unchanged)
        assert (fresh is None) == configuration.unchanged
        token = fresh or token
        password = password if configuration.unchanged else configuration.ims.password
    # Now and then VERS is all, and in time there is a whole document with new credentials.
    assert told == {True, False}


@played
async def test_an_answer_that_is_lost_costs_nothing(setting) -> None:
    server = setting.server()
    _, token = await provision(setting, server)
    setting.now += 28 * DAY
    _, lost, _ = await vers(server, token, vers="7")
    assert not lost.unchanged
    status, again, fresh = await vers(server, token, vers="7")
    assert (status, again.unchanged) == (200, False)
    assert again.ims.password != lost.ims.password
    assert (await vers(server, fresh, vers="7"))[0] == 200
    assert (await vers(server, token, vers="7"))[0] == 511


@played
async def test_a_token_ends(setting) -> None:
    server = setting.server()
    _, token = await provision(setting, server)
    setting.now += 30 * DAY
    assert (await vers(server, token, vers="7"))[0] == 511


@played
async def test_a_token_is_one_number_s(setting) -> None:
    server = setting.server()
    _, token = await provision(setting, server)
    assert (await vers(server, token, msisdn="+33639980002"))[0] == 511


@played
async def test_a_new_version_is_sent_whole(setting) -> None:
    _, token = await provision(setting, setting.server())
    status, configuration, fresh = await vers(setting.server(version=8), token, vers="7")
    assert (status, configuration.vers, configuration.unchanged) == (200, 8, False)
    assert fresh not in (None, token)


@played
async def test_where_a_phone_listens_is_kept(setting) -> None:
    server = setting.server()
    _, token = await provision(setting, server, SMS_port="37273")
    (device,) = await setting.devices.of(ALICE)
    assert (device.sms_port, device.configuration) == (37273, "c1")
    await vers(server, token, vers="7", SMS_port="10000")
    (device,) = await setting.devices.of(ALICE)
    assert device.sms_port == 10000


# VERS (facts §9.4).


@pytest.mark.parametrize(
    ("policy", "said", "version", "validity", "message"),
    [
        ({}, {}, 7, 604800, None),
        ({}, {"vers": "7"}, 7, 604800, None),
        ({"beta": False, "native_vendors": ("Acme",)}, {"client_vendor": "acme"}, 7, 604800, None),
        ({"beta": False, "native_vendors": ("Acme",)}, {"client_vendor": "Else"}, -1, -1, None),
        ({"catalogue": CATALOGUE}, {"terminal_model": "Old 1"}, -2, -2, "This phone cannot chat."),
        ({"catalogue": CATALOGUE}, {"terminal_sw_version": "1.9"}, -3, 86400, "Update first."),
        ({"catalogue": CATALOGUE}, {"terminal_sw_version": "2.0"}, 7, 604800, None),
    ],
)
@played
async def test_what_a_phone_is_told(setting, policy, said, version, validity, message) -> None:
    _, token = await provision(setting, setting.server())
    status, told, _ = await vers(setting.server(**policy), token, **said)
    assert (status, told.vers, told.validity) == (200, version, validity)
    assert (told.ims is None) == (version < 0 or said == {"vers": "7"})
    assert (told.msg and told.msg.message) == message


@played
async def test_a_blocked_subscriber_s_phone_forgets_its_configuration(setting) -> None:
    server = setting.server()
    _, token = await provision(setting, server)
    await setting.store.subscribers.put(make_subscriber(ALICE, username=ALICE, blocked=True))
    status, told, fresh = await vers(server, token, vers="7")
    assert (status, told.vers, told.validity, told.ims, fresh) == (200, 0, 0, None, None)
    assert (await server.answer(asking())).status == 403


@pytest.mark.parametrize(
    ("languages", "title"), [(("de-DE", "fr"), "Chat (fr)"), (("en",), "Chat (en)"), ((), "Chat (fr)")]
)
@played
async def test_terms_come_first_and_in_one_s_language(setting, languages, title) -> None:
    terms = {"fr": Terms("Chat (fr)", "…"), "en": Terms("Chat (en)", "…")}
    server = setting.server(terms=terms)
    _, token = await provision(setting, server)
    answer = await server.answer(Asking(parameters={"vers": "0", "token": token}, secure=True, languages=languages))
    msg = understand(answer.body).msg
    assert (msg.title, msg.accept, msg.reject) == (title, True, True)
    # Who has had a configuration has accepted them.
    assert (await vers(server, token_of(answer.body), vers="6"))[1].msg is None


# Statuses (facts §9.3).


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Asking(parameters={}), 511),
        (Asking(parameters={}, asserted="+33639980009"), 403),
        (Asking(parameters={"vers": "0"}), 403),
        (Asking(parameters={"vers": "0", "msisdn": "+33639980001"}), 403),
        (Asking(parameters={"OTP": "123456"}), 403),
        (Asking(parameters={"vers": "0"}, secure=True), 403),
        (asking(msisdn="+33639980009"), 403),
        (asking(token="none"), 511),
        (Asking(parameters={"OTP": "123456"}, secure=True), 511),
        (Asking(parameters={"otp": "123456"}, cookies={"code": "none"}, secure=True), 511),
    ],
)
@played
async def test_who_gets_nothing(setting, request_, status) -> None:
    answer = await setting.server().answer(request_)
    assert (answer.status, answer.body, answer.cookie) == (status, b"", None)
    assert setting.sms.sent == []


@played
async def test_too_many_codes_and_a_broken_smsc_are_503(setting) -> None:
    server = setting.server()
    assert (await server.answer(asking())).status == 200
    again = await server.answer(asking())
    assert (again.status, again.retry_after) == (503, 30)
    setting.sms.broken = True
    answer = await server.answer(asking(msisdn=BOB))
    assert (answer.status, answer.retry_after) == (503, 60)


@played
async def test_a_phone_that_guesses_is_locked_out(setting) -> None:
    server = setting.server()
    _, cookie = (await server.answer(asking())).cookie
    for guess in ("000000", "000001", "000002", setting.sms.sent[0][1]):
        answer = await server.answer(Asking(parameters={"OTP": guess}, cookies={"code": cookie}, secure=True))
        assert answer.status == 511
    answer = await server.answer(asking())
    assert (answer.status, answer.retry_after) == (503, 600)
    assert await setting.devices.of(ALICE) == []
