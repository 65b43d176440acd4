"""Read the wire samples of one format: what `tests/vectors/README.md` describes."""

import base64
import gc
import json
import time
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


def growth(parse: Callable[[bytes], Any], make: Callable[[int], bytes], size: int) -> float:
    """How many times longer parsing takes for an eightfold size: near 8 when linear, near 64 when quadratic.

    Processor time of this thread, without the garbage collector; eight of the small against one of the large, so that
    both measure as long; the best of many runs, so that what else the machine does counts in none of them.
    """

    def seconds(data: bytes, times: int) -> float:
        started = time.thread_time()
        for _ in range(times):
            value_or_error(parse, data)
        return time.thread_time() - started

    small, large = make(size), make(8 * size)
    collecting = gc.isenabled()
    gc.disable()
    try:
        runs = [(seconds(small, 8), seconds(large, 1)) for _ in range(12)]
    finally:
        if collecting:
            gc.enable()
    return 8 * max(min(run[1] for run in runs), 1e-6) / max(min(run[0] for run in runs), 1e-6)
