"""The stored examples of the texts that people read: a text that changes shows in the diff of its example."""

from __future__ import annotations

import os
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "texts" / "examples"
UPDATE = "UPDATE_TEXTS"
"""With this variable set, the examples are written again instead of compared."""


def check_example(name: str, text: str) -> None:
    """Compare a text with its stored example, ``<template>--<case>.<ending>``. Fails if they differ.

    To accept a change, run ``make texts`` and read the diff of the examples.
    """
    path = EXAMPLES / name
    if os.environ.get(UPDATE):
        path.write_text(f"{text.rstrip()}\n", encoding="utf-8")
    assert f"{text.rstrip()}\n" == path.read_text(encoding="utf-8")
