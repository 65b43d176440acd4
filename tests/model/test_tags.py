"""What a device's feature tags mean for how files go to it."""

import pytest

from joyn.model.tags import CPM_MESSAGE, CPM_SESSION, FILE_OVER_HTTP, FILE_OVER_MSRP, SIMPLE_IM, THUMBNAIL, traits_of


def parameters(*, bare: str = "", icsi: tuple[str, ...] = (), iari: tuple[str, ...] = ()) -> str:
    def listed(name: str, urns: tuple[str, ...]) -> str:
        return f';+g.3gpp.{name}-ref="{",".join(urn.replace(":", "%3A") for urn in urns)}"' if urns else ""

    return (f";{bare}" if bare else "") + listed("icsi", icsi) + listed("iari", iari)


@pytest.mark.parametrize(
    ("said", "transfers"),
    [
        (parameters(bare=SIMPLE_IM), True),
        (parameters(bare=SIMPLE_IM, iari=(FILE_OVER_MSRP,)), True),
        (parameters(bare=SIMPLE_IM, iari=(FILE_OVER_MSRP, FILE_OVER_HTTP)), False),
        (parameters(bare=SIMPLE_IM, iari=(FILE_OVER_HTTP,)), False),
        # A CPM client that says nothing of files is given the link.
        (parameters(icsi=(CPM_SESSION, CPM_MESSAGE)), False),
        (parameters(bare=SIMPLE_IM, icsi=(CPM_SESSION,)), False),
        (parameters(icsi=(CPM_SESSION,), iari=(FILE_OVER_MSRP,)), True),
        # A plain SIP client is given neither.
        ("", False),
        (parameters(iari=(FILE_OVER_MSRP,)), False),
    ],
)
def test_files_go_over_msrp_to_devices_that_know_no_link(said: str, transfers: bool) -> None:
    assert traits_of(said).transfers is transfers


def test_thumbnails_go_to_devices_that_show_them() -> None:
    assert traits_of(parameters(bare=SIMPLE_IM, iari=(THUMBNAIL,))).thumbnails
    assert not traits_of(parameters(bare=SIMPLE_IM)).thumbnails
