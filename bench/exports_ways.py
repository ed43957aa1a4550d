"""Runs one way of making a report that ``bench.exports`` measures, in a process of its own.

A job comes as JSON on the standard input: ``{"way", "url", "folder"}``; the answer is the last line of the output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pandas as pd
from sqlalchemy import Engine
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.database.session import connect, driver_of, tenant_session
from rollover.exports import Scope, reports_of
from rollover.exports.write import write_report

YEAR = SchoolYear.parse("2025-26")
DISTRICT = "bench-xx"
SCOPE = Scope(YEAR.key, True, "America/Chicago", "Bench", datetime(2026, 7, 8, tzinfo=UTC))


def _report(product: str, name: str) -> Callable[[Engine, UPath], None]:
    def work(engine: Engine, folder: UPath) -> None:
        with tenant_session(engine, f"{product}__{DISTRICT}", isolation="REPEATABLE READ") as connection:
            write_report(connection, reports_of(product)[name], SCOPE, folder)

    return work


def _pandas(engine: Engine, folder: UPath) -> None:
    """As its manual has it: no receipt, nothing read back, and a cell may be a formula."""
    folder.mkdir(parents=True, exist_ok=True)
    with tenant_session(engine, f"hero__{DISTRICT}") as connection:
        query = reports_of("hero")["behavior_history"].query
        frame = pd.read_sql(query, cast(Any, driver_of(connection)), params=SCOPE.parameters)
        frame.to_csv(str(folder / "pandas.csv"), index=False)


def _copy(engine: Engine, folder: UPath) -> None:
    """The query alone, as CSV to nowhere."""
    with tenant_session(engine, f"hero__{DISTRICT}") as connection, driver_of(connection).cursor() as cursor:
        query = f"COPY ({reports_of('hero')['behavior_history'].query}) TO STDOUT (FORMAT csv)"
        with cursor.copy(query.encode(), SCOPE.parameters) as copy:
            for _ in copy:
                pass


WAYS: dict[str, Callable[[Engine, UPath], None]] = {
    "copy": _copy,
    "csv": _report("hero", "behavior_history"),
    "pandas": _pandas,
    "sheet": _report("imagine_math", "student_data_export"),
    "progress": _report("imagine_math", "student_progress_3_plus"),
}


def work(job: dict[str, Any]) -> None:
    """Run one way in a process of its own; its last line of output is its answer."""
    started, used = time.perf_counter(), time.process_time()
    WAYS[job["way"]](connect(job["url"]), UPath(job["folder"]) / job["way"])
    answer = {"seconds": time.perf_counter() - started, "processor": time.process_time() - used}
    print(json.dumps(answer))


if __name__ == "__main__":
    work(json.loads(sys.stdin.read()))
