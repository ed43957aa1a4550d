"""The fate of a tenant's rows, judged by looking: at the rows before and after, and at the archive's files as any
reader of Parquet has them. Nothing of the product is asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import Engine

from rollover.run import Run
from tests.support.small_district import NORTH, everything

Rows = dict[str, list[tuple[Any, ...]]]
GO = {
    "hero": {"tracking_events", "action_assignments", "points_ledger"},
    "imagine_math": {
        *("assessments", "usage", "progress", "pathways", "student_accounts", "classroom_students"),
        *("think_points", "avatars", "classrooms"),
    },
}
RESET = {"hero": {"point_balances", "notification_settings", "portal_settings"}, "imagine_math": set()}
ARCHIVED = {"hero": {NORTH}, "imagine_math": set()}
"""Riverside's north has a subscription, its south has none; of Imagine nothing is archived."""


def rows_of_product(owner: Engine, run: Run) -> Rows:
    return everything(owner, run.tenant.id, [run.tenant.product])


def archived_rows(run: Run, table: str) -> Counter[tuple[Any, ...]]:
    """The rows of a table in all files of the year."""
    folder = Path(run.storage.path) / "archive" / run.tenant.product / run.tenant.district / run.school_year.key
    files = [path for path in folder.glob("*/*.parquet") if path.name.split(".")[0] == table]
    return Counter(tuple(row.values()) for path in files for row in pq.read_table(path).to_pylist())


def judge(owner: Engine, run: Run, before: Rows, *, late: Rows | None = None) -> None:
    """Raise AssertionError unless exactly what should go is gone, all of it that is archived lies in the archive once,
    and all that is kept is as it was. `late`: rows that came in between, and should have gone too."""
    after, product = rows_of_product(owner, run), run.tenant.product
    assert set(after) == set(before)
    for name, had in before.items():
        table, is_now = name.split(".")[1], Counter(after[name])
        had = [*had, *(late or {}).get(name, [])]
        if table in GO[product]:
            gone = Counter(had) - is_now
            assert gone == Counter(had), f"{name} still has rows"
            kept_aside = Counter({row: n for row, n in gone.items() if ARCHIVED[product] & set(row)})
            assert archived_rows(run, table) == kept_aside, f"the archive of {name} is not the rows that went"
            assert {run.school_year.key} & {value for row in is_now for value in row} == set()
        elif table in RESET[product]:
            assert len(after[name]) == len(had), name
        else:
            assert is_now == Counter(had), f"{name} is kept, and changed"
