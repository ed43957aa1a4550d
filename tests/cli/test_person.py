"""`rollover person`."""

from __future__ import annotations

from rollover.cli.person import Persons
from rollover.run import Run
from tests.cli.conftest import Shown

HERO = "hero__riverside-ca"


def test_persons(run: Run, shown: Shown) -> None:
    assert {"dana", "kim"} <= set(shown(Persons, "person", "list")["persons"])
