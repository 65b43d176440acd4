"""Tests made of stories: functions of a setting, which pytest calls without it."""

import functools
import inspect
from collections.abc import Callable
from typing import Any


def as_test(
    story: Callable[..., Any], play: Callable[..., None], *, given: int = 1, wanted: tuple[str, ...] = ()
) -> Callable[..., None]:
    """`play` under the name of the story. pytest is asked for the story's fixtures but the first `given`, which `play`
    gives it, and for those that are `wanted` besides."""

    @functools.wraps(story)
    def test(**fixtures: Any) -> None:
        play(**fixtures)

    parameters = list(inspect.signature(story).parameters.values())[given:]
    more = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in wanted]
    made: Any = test  # a function has no such attribute in its type, and pytest looks for it
    made.__signature__ = inspect.Signature([*more, *parameters])
    return test
