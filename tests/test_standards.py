import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import joyn

ROOT = Path(joyn.__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@pytest.fixture(scope="module")
def standards() -> ModuleType:
    spec = importlib.util.spec_from_file_location("standards", ROOT / "tools" / "standards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.

    sys.modules["standards"] = module
    spec.loader.exec_module(module)
    return module


def test_every_claim_has_its_test_and_every_document_cited_is_listed(standards: ModuleType) -> None:
    assert standards.faults() == []


def test_the_page_says_what_the_claims_and_the_code_say(standards: ModuleType) -> None:
    assert not standards.stale(), "run `make docs`"


@pytest.mark.parametrize(
    ("clause", "fault"),
    [
        ({"state": "perhaps"}, "is none of"),
        ({"tests": ()}, "without a test"),
        ({"state": "no", "note": "later"}, "with a test"),
        ({"state": "partly"}, "no word on what is missing"),
        ({"tests": ("tests/no_such_file.py",)}, "there is no tests/no_such_file.py"),
        ({"tests": ("tests/test_standards.py::test_no_such_test",)}, "there is no tests/test_standards.py::test_no"),
    ],
)
def test_a_claim_that_does_not_hold_is_found(
    standards: ModuleType, monkeypatch: pytest.MonkeyPatch, clause: dict[str, object], fault: str
) -> None:
    made = standards.Clause(
        **{"at": "§1", "what": "something", "state": "yes", "tests": ("tests/test_standards.py",), **clause}
    )
    others = [one for one in standards.claims() if one.name != "RFC 3261"]
    claimed = standards.Standard(name="RFC 3261", title="SIP", clauses=(made,))
    monkeypatch.setattr(standards, "claims", lambda: [claimed, *others])
    assert [found for found in standards.faults() if found.startswith("RFC 3261 §1: ")] != []
    assert fault in "\n".join(standards.faults())


def test_links_between_the_documents_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in LINK.findall(page.read_text("utf-8"))]
    assert links
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
