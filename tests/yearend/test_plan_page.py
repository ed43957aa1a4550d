"""The plan as a person reads it, in stored examples."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rollover.calendar import SchoolYear
from rollover.ledger.plans import Line, PlanAction
from rollover.lint import load_catalog
from rollover.yearend import plan_page
from rollover.yearend.subscription import AGAIN
from tests.support.examples import check_example
from tests.support.small_district import PRODUCTS

NAMES = {"north": "North School", "south": "South | *School*"}
HERO = load_catalog(Path("/nonexistent"), PRODUCTS).products["hero"]


def line(school: str, data_class: str, action: str, why: str, rows: int, size: int, table: str = "hero.t") -> Line:
    return Line(school, data_class, table, action, why, rows, Decimal(1), size)


LINES = [
    line(
        "north", "tracking_data", PlanAction.ARCHIVE, "subscription active on 2026-07-01", 12_000, 3_400_000, "hero.a"
    ),
    line("north", "tracking_data", PlanAction.ARCHIVE, "subscription active on 2026-07-01", 30, 900, "hero.b"),
    line("south", "tracking_data", PlanAction.ERASE, "subscription not active on 2026-07-01", 8, 800),
    line("north", "points", PlanAction.HOLD, "legal hold 1 on school north", 1, 99),
    line("south", "settings", PlanAction.KEEP, "kept from year to year", 5, 12_345),
]


def test_a_plan() -> None:
    said = plan_page.markdown(NAMES, LINES, ["3 behavior codes changed after the school year ended."], {})
    assert r"| South \| \*School\* | tracking_data | **erase** | 8 |" in said
    assert "| North School | tracking_data | **archive** | 12,030 | 3.4 MB |" in said
    check_example("plan--warning_and_hold.md", said)


def test_a_gap_comes_before_everything_else() -> None:
    why = f"subscription not active on 2026-07-01, {AGAIN} 2026-07-04: from 2026-07-04 to 2027-06-30"
    said = plan_page.markdown(
        NAMES, [line("south", "tracking_data", PlanAction.ERASE, why, 18, 1_800)], [], {"south": 18}
    )
    assert said.startswith(r"**South \| \*School\* has had a subscription again since 2026-07-04")
    check_example("plan--gap.md", said)


@pytest.mark.parametrize(
    ("case", "rows"),
    [
        ("both", {PlanAction.ERASE: 20_181, PlanAction.ARCHIVE: 89_490, PlanAction.KEEP: 3}),
        ("only_erase", {PlanAction.ERASE: 1}),
        ("only_archive", {PlanAction.ARCHIVE: 7}),
        ("nothing", {PlanAction.KEEP: 3}),
    ],
)
def test_the_question_in_one_line(case: str, rows: dict[str, int]) -> None:
    run: Any = SimpleNamespace(
        district=SimpleNamespace(name="Springfield Public Schools"), product=HERO, school_year=SchoolYear(2025)
    )
    check_example(f"plan_question--{case}.txt", plan_page.question(run, rows))
