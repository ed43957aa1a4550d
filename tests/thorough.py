"""How many cases of a kind are tried: enough of each in every run, all of them with ``make test-thorough``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

THOROUGH = os.environ.get("ROLLOVER_TEST_THOROUGH") == "1"
Item = TypeVar("Item")


def cases(of_a_run: int, of_all: int) -> int:
    """How many examples, or which step."""
    return of_all if THOROUGH else of_a_run


def some(items: Sequence[Item], step: int) -> Sequence[Item]:
    """Every `step`-th item."""
    return items[:: cases(step, 1)]
