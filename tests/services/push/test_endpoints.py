import pytest

from joyn.model.refused import Reason, Refused
from joyn.services.push.endpoints import MAX_ENDPOINT, Endpoints

HOSTS = ("fcm.googleapis.com", "*.push.services.mozilla.com")
GOOD = "https://fcm.googleapis.com/fcm/send/abc:DEF_-123"


def refusal(url, endpoints=None):
    with pytest.raises(Refused) as caught:
        (endpoints or Endpoints(HOSTS)).check(url)
    return caught.value.reason


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (GOOD, "https://fcm.googleapis.com"),
        ("https://FCM.GoogleApis.com:443/x", "https://fcm.googleapis.com"),
        (
            "https://updates.push.services.mozilla.com/wpush/v2/gA=",
            "https://updates.push.services.mozilla.com",
        ),
        ("https://a.b.push.services.mozilla.com/?t=%2F", "https://a.b.push.services.mozilla.com"),
    ],
)
def test_a_listed_push_service_may_be_written_to(url, origin):
    assert Endpoints(HOSTS).check(url) == (url, origin)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "https://push.services.mozilla.com/x",
        "https://evilpush.services.mozilla.com/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://x.fcm.googleapis.com/x",
        "https://localhost/x",
        "https://127.0.0.1/x",
        "https://2130706433/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://169.254.169.254/latest/meta-data/",
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com:22/x",
        "https://fcm.googleapis.com:80/x",
    ],
)
def test_anywhere_else_may_not(url):
    assert refusal(url) is Reason.NOT_ALLOWED


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://fcm.googleapis.com",
        "ftp://fcm.googleapis.com/x",
        "file:///etc/passwd",
        "//fcm.googleapis.com/x",
        "https:fcm.googleapis.com/x",
        "https://user@fcm.googleapis.com/x",
        "https://user:pw@fcm.googleapis.com/x",
        "https://evil.example\\@fcm.googleapis.com/x",
        "https://evil.example#@fcm.googleapis.com/x",
        "https://fcm.googleapis.com./x",
        "https://fcm.googleapis.com%2eevil.example/x",
        "https://fcm.googleapis.com:99999999/x",
        "https://fcm.googleapis.com:/x",
        "https://fcm.googleapis.com/x#fragment",
        "https://fcm.googleapis.com/x y",
        "https://fcm.googleapis.com/x\r\nHost: evil.example",
        "https://fcm.googleapis.com/x\n",
        "https://fcm。googleapis.com/x",
        "https://fcm.googleapis.com/\u00e9",
        " " + GOOD,
    ],
)
def test_what_readers_of_urls_could_disagree_about_is_no_endpoint(url):
    assert refusal(url) is Reason.MALFORMED


def test_a_url_may_be_so_long_and_no_longer():
    longest = GOOD + "x" * (MAX_ENDPOINT - len(GOOD))
    assert Endpoints(HOSTS).check(longest).url == longest
    assert refusal(longest + "x") is Reason.MALFORMED


def test_a_test_can_have_its_push_service_on_this_machine_and_still_only_where_it_says():
    endpoints = Endpoints(("127.0.0.1", "localhost"), insecure=True)
    assert endpoints.check("http://127.0.0.1:8080/x").origin == "http://127.0.0.1:8080"
    assert endpoints.check("https://localhost:444/x").origin == "https://localhost:444"
    assert endpoints.check("http://localhost/x").origin == "http://localhost"
    assert refusal("http://127.0.0.2:8080/x", endpoints) is Reason.NOT_ALLOWED
