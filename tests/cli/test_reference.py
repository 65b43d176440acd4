import importlib.util
from pathlib import Path
from types import ModuleType

import joyn

ROOT = Path(joyn.__file__).parents[2]


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_pages_say_what_the_code_says() -> None:
    assert load_tool().stale() == [], "run `make docs`"


def test_every_command_and_every_exit_status_is_on_the_page() -> None:
    page = load_tool().cli_page()
    from joyn.cli import COMMANDS

    for name in COMMANDS:
        assert f"## joyn {name}" in page
    for status in range(5):
        assert f"- `{status}`: " in page
