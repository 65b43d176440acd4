"""The browser of these tests: Debian's Chromium, driven by Playwright.

Where it is missing, or the client was not built, the tests are left out; with JOYN_BROWSER=required they fail instead.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from joyn.edge.http.page import built_client

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session", autouse=True)
def needed() -> None:
    """Chromium, what drives it, and the built client are there."""
    missing = []
    if CHROMIUM is None:
        missing.append("Chromium (apt-get install chromium)")
    if importlib.util.find_spec("playwright") is None:
        missing.append("Playwright (the group dev of pyproject.toml)")
    if built_client() is None:
        missing.append("the built web client (make web)")
    if missing:
        told = f"not there: {', '.join(missing)}"
        if os.environ.get("JOYN_BROWSER") == "required":
            pytest.fail(told, pytrace=False)
        pytest.skip(told)  # a machine without Chromium runs all other tests; `make test` names what it left out


@pytest.fixture(scope="module")
def chromium(needed: None) -> Iterator[Any]:
    """One browser for all; each test has contexts of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        # In a container there is no namespace for its sandbox; the pages are our own. Nor is there a microphone.
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream"]
        launched = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()
