"""`rollover dates`."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollover import cli
from rollover.cli.dates import ResetDates
from tests.cli.conftest import Shown
from tests.cli.test_status import HERO, LAKESIDE, add_lakeside


def test_json(districts: Path, shown: Shown) -> None:
    file = districts / "riverside-ca.yaml"
    file.write_text(file.read_text() + "    reset_dates: {2025-26: 2026-07-20}\n")
    content = shown(ResetDates, "dates", "2025-26")
    row = {"tenant": "hero__riverside-ca", "reset_date": "2026-07-20", "is_own_date": True}
    assert content == {"school_year": "2025-26", "dates": [row]}


def test_sorted_by_date_and_between_two_days(districts: Path, shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    add_lakeside(districts)

    def found(*arguments: str) -> list[tuple[str, str]]:
        dates = shown(ResetDates, "dates", "2025-26", *arguments)["dates"]
        return [(each["tenant"], each["reset_date"]) for each in dates]

    riverside, lakeside = (HERO, "2026-07-10"), (LAKESIDE, "2026-07-20")
    assert found() == [riverside, lakeside], "the names are in the other order"
    assert found("--from", "2026-07-11") == [lakeside]
    assert found("--to", "2026-07-10") == [riverside]
    assert found("--from", "2026-07-10", "--to", "2026-07-20") == [riverside, lakeside]
    assert found("--from", "2026-07-11", "--to", "2026-07-19") == []
    assert cli.main(["dates", "2025-26", "--from", "2026-07-11", "--to", "2026-07-10"]) == 2
    assert "--from 2026-07-11 is after --to 2026-07-10" in capsys.readouterr().err
    assert cli.main(["dates", "2025-26", "--from", "July"]) == 2
