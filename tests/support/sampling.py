"""How many cases of a kind are tried: enough of each in every run, all of them with ``make test-thorough``.

Tests with the mark ``slow`` are run by ``make test-slow``, and in CI after the others: every statement at which a step
can be killed, random sets, whole DAG runs, a season.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import pytest

THOROUGH = os.environ.get("ROLLOVER_TEST_THOROUGH") == "1"
Item = TypeVar("Item")


def cases(of_a_run: int, of_all: int) -> int:
    """How many examples, or which step."""
    return of_all if THOROUGH else of_a_run


def some(items: Sequence[Item], step: int) -> Sequence[Item]:
    """Every `step`-th item."""
    return items[:: cases(step, 1)]


def others_slow(items: Iterable[Any], step: int | None = None) -> list[Any]:
    """Parameters of a test: the first one, or every `step`-th, is tried in every run, the others with the slow tests.

    An item that is a tuple is the values of several parameters.
    """
    found = list(items)
    assert found
    return [
        item
        if place % (step or len(found)) == 0
        else pytest.param(*(item if isinstance(item, tuple) else (item,)), marks=pytest.mark.slow)
        for place, item in enumerate(found)
    ]
