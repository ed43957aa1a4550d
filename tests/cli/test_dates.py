"""`rollover dates`."""

from __future__ import annotations

from pathlib import Path

from rollover.cli.dates import ResetDates
from tests.cli.conftest import Shown


def test_json(districts: Path, shown: Shown) -> None:
    file = districts / "riverside-ca.yaml"
    file.write_text(file.read_text() + "    reset_dates: {2025-26: 2026-07-20}\n")
    content = shown(ResetDates, "dates", "2025-26")
    row = {"tenant": "hero__riverside-ca", "reset_date": "2026-07-20", "is_own_date": True}
    assert content == {"school_year": "2025-26", "dates": [row]}
