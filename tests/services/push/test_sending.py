import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from joyn.model.aor import Aor
from joyn.model.push import PushTarget
from joyn.services.push.endpoints import Endpoints
from joyn.services.push.sending import MAX_DELAY, MAX_TRIES, PAYLOAD, Sending, Sent
from joyn.services.push.vapid import Vapid, make_key
from joyn.transport.push import Answer, Unreachable
from services.push.test_encryption import AUTH, BROWSER, P256DH, decrypt
from services.push.test_vapid import NOON, verified

BOB = Aor("tel:+33639980002")
KEY = make_key()


class ScriptedService:
    """A push service that answers what the test says, and a clock that only moves when somebody sleeps."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.slept = []
        self.now = NOON

    async def post(self, url, headers, body):
        self.requests.append((url, headers, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Answer(status=answer) if isinstance(answer, int) else answer

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def sending(self, hosts=("push.example",)):
        return Sending(
            self,
            Vapid(KEY, "mailto:push@joyn.example", wall=lambda: self.now),
            Endpoints(hosts),
            ttl=86400.0,
            now=lambda: self.now,
            sleep=self.sleep,
            make_ephemeral=lambda: generate_private_key(SECP256R1()),
            make_salt=lambda: b"s" * 16,
        )


def make_target(endpoint="https://push.example/1", p256dh=P256DH, auth=AUTH):
    return PushTarget(aor=BOB, device="d1", endpoint=endpoint, p256dh=p256dh, auth=auth)


def wake(service, target=None):
    return asyncio.run(service.sending().wake(target or make_target()))


def test_a_wake_up_says_who_sends_it_and_nothing_of_what_for():
    service = ScriptedService(201)
    assert wake(service) is Sent.ACCEPTED
    ((url, headers, body),) = service.requests
    assert url == "https://push.example/1"
    assert verified(headers.pop("Authorization"))["aud"] == "https://push.example"
    assert headers == {
        "TTL": "86400",
        "Topic": "joyn-messages",
        "Urgency": "high",
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
    }
    assert decrypt(body, BROWSER, b"a" * 16) == PAYLOAD + b"\x02"


def test_a_device_without_keys_gets_an_empty_one():
    service = ScriptedService(201)
    assert wake(service, make_target(p256dh="", auth="")) is Sent.ACCEPTED
    ((_, headers, body),) = service.requests
    assert (body, "Content-Encoding" in headers) == (b"", False)


@pytest.mark.parametrize("status", [404, 410])
def test_a_resource_that_is_no_more_is_said_to_be_gone(status):
    assert wake(ScriptedService(status)) is Sent.GONE


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 413])
def test_what_would_fail_again_is_not_tried_again_and_no_redirect_is_followed(status):
    service = ScriptedService(status)
    assert wake(service) is Sent.FAILED
    assert len(service.requests) == 1


def test_a_push_service_in_trouble_is_tried_again_after_longer_and_longer():
    service = ScriptedService(500, Unreachable("no route"), 201)
    assert wake(service) is Sent.ACCEPTED
    assert service.slept == [2.0, 8.0]


def test_it_is_given_up_after_so_many_tries():
    service = ScriptedService(*[502] * 9)
    assert wake(service) is Sent.FAILED
    assert len(service.requests) == MAX_TRIES


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_push_service_is_left_alone_for_as_long_as_it_says(status):
    service = ScriptedService(Answer(status=status, retry_after=30.0), 201)
    assert wake(service) is Sent.ACCEPTED
    assert service.slept == [30.0]


def test_one_that_wants_to_be_left_alone_for_longer_is_and_by_all_devices():
    service = ScriptedService(Answer(status=429, retry_after=MAX_DELAY + 1), 201, 201)

    async def scenario():
        sending = service.sending(("push.example", "other.example"))
        assert await sending.wake(make_target()) is Sent.FAILED
        assert await sending.wake(make_target("https://push.example/2")) is Sent.FAILED
        assert await sending.wake(make_target("https://other.example/1")) is Sent.ACCEPTED
        service.now += MAX_DELAY + 1
        assert await sending.wake(make_target("https://push.example/2")) is Sent.ACCEPTED

    asyncio.run(scenario())
    assert [url for url, _, _ in service.requests][1:] == ["https://other.example/1", "https://push.example/2"]


def test_a_resource_that_the_operator_no_longer_allows_is_not_written_to():
    service = ScriptedService()
    assert wake(service, make_target("https://127.0.0.1/admin")) is Sent.GONE
    assert service.requests == []
