import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.sip import digest
from joyn.protocol.sip.auth import Auth, parse_auth
from joyn.protocol.sip.building import emit
from joyn.protocol.sip.digest import ALGORITHMS, Authenticator, NonceKeeper, ReplayGuard, ha1, response, verify
from joyn.protocol.sip.message import SipResponse, parse

SECRET = b"0123456789abcdef"


def make_authenticator(password="secret"):
    numbers = itertools.count(1)
    return Authenticator("+33639980001", password, lambda: f"c{next(numbers)}")


def make_answer(*challenges, status=401, **more) -> SipResponse:
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    lines = [(name, str(Auth("Digest", dict(challenge)))) for challenge in challenges]
    answer = parse(emit(f"SIP/2.0 {status} x", lines + [(key.replace("_", "-"), text) for key, text in more.items()]))
    assert isinstance(answer, SipResponse)
    return answer


CHALLENGE = {"realm": "joyn.example", "nonce": "n1", "algorithm": "MD5", "qop": "auth"}


def test_response_of_rfc_2617():
    proof = response(
        ha1("Mufasa", "testrealm@host.com", "Circle Of Life"),
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "GET",
        "/dir/index.html",
        qop="auth",
        nc="00000001",
        cnonce="0a4f113b",
    )
    assert proof == "6629fae49393a05397450978507c4ef1"


@pytest.mark.parametrize(
    ("algorithm", "proof"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_response_of_rfc_7616(algorithm, proof):
    key = ha1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm)
    found = response(
        key,
        "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "GET",
        "/dir/index.html",
        algorithm=algorithm,
        qop="auth",
        nc="00000001",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert found == proof


@given(
    st.sampled_from(ALGORITHMS),
    st.sampled_from([None, "auth", "auth-int", "auth-int,auth", "x, auth"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8),
    st.binary(max_size=20),
    st.sampled_from([401, 407]),
)
def test_client_and_server_agree_for_every_algorithm(algorithm, qop, password, body, status):
    client = make_authenticator(password)
    challenge = {**CHALLENGE, "algorithm": algorithm, "opaque": "o"} | ({"qop": qop} if qop else {})
    if qop is None:
        del challenge["qop"]
    assert client.challenged(make_answer(challenge, status=status))
    [(name, value)] = client.authorize("MESSAGE", "tel:+33639980002", body)
    assert name == ("Authorization" if status == 401 else "Proxy-Authorization")
    credentials = parse_auth(value)
    known = {algorithm: ha1("+33639980001", "joyn.example", password, algorithm)}
    assert credentials.get("opaque") == "o"
    assert verify(credentials, "MESSAGE", known, body)
    assert not verify(credentials, "INVITE", known, body)
    assert not verify(credentials, "MESSAGE", {algorithm: known[algorithm][::-1] + "0"}, body)
    assert verify(credentials, "MESSAGE", known, body + b"!") == (qop != "auth-int")


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "MD5-sess"},
        {"algorithm": "SHA-1"},
        {"response": ""},
        {"response": "é"},
        {"response": "\udc80"},
        {"qop": "auth-conf"},
        {"nc": ""},
        {"cnonce": ""},
        {"nonce": "n2"},
        {"uri": "sip:other"},
        {"qop": ""},
    ],
)
def test_credentials_that_prove_nothing(change):
    client = make_authenticator()
    client.challenged(make_answer(CHALLENGE))
    credentials = parse_auth(client.authorize("REGISTER", "sip:joyn.example")[0][1])
    known = {"MD5": ha1("+33639980001", "joyn.example", "secret")}
    assert verify(credentials, "REGISTER", known)
    assert not verify(Auth("Digest", credentials.parameters | change), "REGISTER", known)


def test_upper_case_hex_is_the_same_proof():
    known = {"MD5": ha1("u", "r", "p")}
    proof = response(known["MD5"], "n", "BYE", "sip:b")
    assert verify(Auth("Digest", {"nonce": "n", "uri": "sip:b", "response": proof.upper()}), "BYE", known)


def test_client_takes_the_best_algorithm_it_knows():
    client = make_authenticator()
    offers = [CHALLENGE | {"algorithm": name} for name in ("MD5", "SHA-3", "SHA-512-256", "SHA-256", "MD5-sess")]
    assert client.challenged(make_answer(*offers))
    assert parse_auth(client.authorize("OPTIONS", "sip:b")[0][1]).get("algorithm") == "SHA-512-256"


def test_client_cannot_answer_what_it_does_not_know():
    assert not make_authenticator().challenged(make_answer(CHALLENGE | {"algorithm": "MD5-sess"}))
    assert not make_authenticator().challenged(make_answer(CHALLENGE | {"qop": "auth-conf"}))
    assert not make_authenticator().challenged(make_answer())


def test_count_goes_up_and_begins_anew_with_nextnonce():
    client = make_authenticator()
    client.challenged(make_answer(CHALLENGE))
    seen = []
    for answer in (make_answer(status=200), make_answer(status=200, Authentication_Info='nextnonce="n2"'), None):
        credentials = parse_auth(client.authorize("OPTIONS", "sip:b")[0][1])
        seen.append((credentials.get("nonce"), credentials.get("nc")))
        if answer is not None:
            client.succeeded(answer)
    assert seen == [("n1", "00000001"), ("n1", "00000002"), ("n2", "00000001")]


def test_second_challenge_means_a_wrong_password_unless_stale():
    client = make_authenticator()
    assert client.challenged(make_answer(CHALLENGE))
    client.authorize("OPTIONS", "sip:b")
    assert client.challenged(make_answer(CHALLENGE | {"nonce": "n2", "stale": "true"}))
    client.authorize("OPTIONS", "sip:b")
    assert not client.challenged(make_answer(CHALLENGE | {"nonce": "n3"}))


def test_after_success_a_new_challenge_is_answered_again():
    client = make_authenticator()
    client.challenged(make_answer(CHALLENGE))
    client.authorize("OPTIONS", "sip:b")
    client.succeeded(make_answer(status=200))
    assert client.challenged(make_answer(CHALLENGE | {"nonce": "n2"}))


def test_client_remembers_max_realms_and_no_more():
    client = make_authenticator()
    for number in range(digest.MAX_REALMS + 1):
        client.challenged(make_answer(CHALLENGE | {"realm": f"r{number}"}))
    realms = [parse_auth(value).get("realm") for _, value in client.authorize("OPTIONS", "sip:b")]
    assert realms == [f"r{number}" for number in range(1, digest.MAX_REALMS + 1)]


def test_first_authorization_of_ims_is_empty():
    first = parse_auth(make_authenticator().first_authorization("sip:joyn.example", "joyn.example"))
    assert first.get("username") == "+33639980001"
    assert first.parameters["nonce"] == first.parameters["response"] == ""


def test_nonce_is_valid_for_its_lifetime_and_stale_after():
    keeper = NonceKeeper(SECRET, 300.0)
    nonce = keeper.make(1_000_000.0, "salt")
    assert [keeper.check(nonce, 1_000_000.0 + age) for age in (-300, 0, 300, 300.5, -301)] == [
        "valid",
        "valid",
        "valid",
        "stale",
        "stale",
    ]


def test_nodes_with_one_secret_take_each_others_nonces():
    nonce = NonceKeeper(SECRET, 300.0).make(5.0, "")
    assert NonceKeeper(SECRET, 300.0).check(nonce, 5.0) == "valid"
    assert NonceKeeper(SECRET[::-1], 300.0).check(nonce, 5.0) == "forged"


@given(st.integers(0, 47), st.characters(codec="ascii", exclude_categories=["Cc"]))
def test_any_change_of_a_nonce_is_noticed(at, character):
    keeper = NonceKeeper(SECRET, 300.0)
    nonce = keeper.make(1e9, "salt")
    changed = nonce[:at] + character + nonce[at + 1 :]
    assert keeper.check(changed, 1e9) == ("valid" if changed == nonce else "forged")


@given(st.text(max_size=60))
def test_any_text_is_a_forged_nonce(text):
    assert NonceKeeper(SECRET, 300.0).check(text, 0.0) == "forged"


def test_nonce_and_secret_have_their_bounds():
    keeper = NonceKeeper(SECRET, 300.0)
    salt = "s" * (digest.MAX_NONCE - 44)
    assert len(keeper.make(0.0, salt)) == digest.MAX_NONCE
    with pytest.raises(ValueError, match="salt"):
        keeper.make(0.0, salt + "s")
    with pytest.raises(ValueError, match="secret"):
        NonceKeeper(SECRET[:-1], 300.0)


def test_nonce_count_must_grow():
    guard = ReplayGuard(10)
    counts = ["00000001", "00000003", "00000003", "00000002", "00000004", "0000000g", "-1", "000000005", "ffffffff"]
    assert [guard.fresh("n", nc) for nc in counts] == [True, True, False, False, True, False, False, False, True]


def test_nonce_count_of_zero_is_no_use():
    assert not ReplayGuard(10).fresh("n", "00000000")


def test_nonce_without_count_is_good_once():
    guard = ReplayGuard(10)
    assert [guard.fresh("n"), guard.fresh("n"), guard.fresh("n", "00000009")] == [True, False, False]


def test_replay_guard_forgets_the_oldest_and_then_calls_it_stale():
    guard = ReplayGuard(3)
    keeper = NonceKeeper(SECRET, 300.0)
    nonces = [keeper.make(float(second), "s") for second in range(5)]
    for nonce in nonces[:3]:
        assert guard.fresh(nonce, "1")
    assert len(guard) == guard.max_nonces
    assert guard.fresh(nonces[3], "1")
    assert len(guard) == guard.max_nonces
    # The first was forgotten: without this rule it could be replayed from its first count on.
    assert not guard.fresh(nonces[0], "1")
    assert not guard.fresh(nonces[0], "2")
    assert guard.fresh(nonces[1], "2")
    assert guard.fresh(nonces[4], "1")
