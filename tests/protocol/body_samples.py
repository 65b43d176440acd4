"""Read the wire samples of one format: what `tests/vectors/README.md` describes."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joyn.protocol.errors import ParseError

VECTORS = Path(__file__).parent.parent / "vectors"


def load(kind: str) -> list[Any]:
    """All samples of a format as pytest parameters, each a dict with its `wire` as bytes."""
    samples = []
    for path in sorted((VECTORS / kind).glob("*.json")):
        sample = json.loads(path.read_text(encoding="utf-8"))
        if "wire_base64" in sample:
            sample["wire"] = base64.b64decode(sample["wire_base64"])
        else:
            sample["wire"] = sample["wire"].encode()
        samples.append(pytest.param(sample, id=path.stem))
    assert samples, f"no samples of {kind}"
    return samples


def value_or_error(parse: Callable[[bytes], Any], data: bytes) -> Any:
    """What parsing gives, or the ParseError it ends in; every other exception goes through."""
    try:
        value = parse(data)
    except ParseError as error:
        value = error
    if isinstance(value, ParseError):
        assert 0 <= value.at <= len(data)
    return value
