"""Counts what archived years hold: a few numbers per school year and school, and per month. Nobody is named.

An archived file never changes, so the numbers of a year are counted once in a process and kept in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb

from rollover.archive import manifest as manifests
from rollover.archive.keys import Keys
from rollover.archive.query import archived, ask, without_values
from rollover.archive.retained import Retained
from rollover.storage import storage_path

KEPT_YEARS = 2_000
"""For so many archived years the numbers are kept in memory; each takes a few kilobytes."""


@dataclass(frozen=True)
class Measure:
    """A number that a year has for each school: `sql` over the rows of a table, e.g. ``count(*)``."""

    name: str
    table: str
    sql: str
    adds_up: bool = True
    """Whether the schools' numbers added up are the district's. A student can be in two schools."""


@dataclass(frozen=True)
class OverMonths:
    """What is counted by month: rows of a table, by a column with their day."""

    name: str
    table: str
    day: str


MEASURES: dict[str, tuple[Measure, ...]] = {
    "hero": (
        Measure("events tracked", "tracking_events", "count(*)"),
        Measure("points of events", "tracking_events", "sum(points)"),
        Measure("students with an event", "tracking_events", "count(DISTINCT student_id)", adds_up=False),
        Measure("consequences assigned", "action_assignments", "count(*)"),
        Measure("consequences served", "action_assignments", "count(served_on)"),
        Measure("points earned", "points_ledger", "coalesce(sum(points) FILTER (kind = 'earned'), 0)"),
    ),
    **{
        product: (
            Measure("assessments", "assessments", "count(*)"),
            Measure("hours of use", "usage", "sum(minutes) / 60"),
            Measure("problems solved", "usage", "sum(problems)"),
            Measure("students who used it", "usage", "count(DISTINCT account_id)", adds_up=False),
            Measure("lessons passed", "progress", "sum(lessons_passed)"),
        )
        for product in ("imagine_math", "imagine_math_facts")
    },
}
MONTHS: dict[str, OverMonths] = {
    "hero": OverMonths("events tracked", "tracking_events", "occurred_at"),
    "imagine_math": OverMonths("assessments", "assessments", "taken_on"),
    "imagine_math_facts": OverMonths("assessments", "assessments", "taken_on"),
}


@dataclass(frozen=True)
class Counted:
    """The numbers of one archived year: by school id and measure, and by calendar month."""

    school_year: str
    by_school: dict[tuple[str, str], int]
    by_month: dict[int, int]

    def total(self, measure: Measure) -> int:
        """A measure over all schools."""
        return sum(number for (_, name), number in self.by_school.items() if name == measure.name)

    @property
    def schools(self) -> set[str]:
        return {school_id for school_id, _ in self.by_school}


def counted(year: Retained, keys: Keys) -> Counted:
    """The numbers of one archived year. The first time, its files are read, which takes as long as they are large.

    Raises Refused if its key is missing. Raises ProofFailed if a file is damaged.
    """
    with _one_at_a_time:
        return _counted(year.manifest, year.sha256, keys)


_one_at_a_time = threading.Lock()
"""So that people who open a page at once do not read the same files at once."""


@lru_cache(maxsize=KEPT_YEARS)
def _counted(path: str, sha256: str, keys: Keys) -> Counted:
    manifest = manifests.read(storage_path(path), sha256)
    held = {file.table.partition(".")[2] for file in manifest.files}
    if not held:
        return Counted(manifest.school_year, {}, {})
    by_school: dict[tuple[str, str], int] = {}
    with archived([(storage_path(path).parent, manifest)], keys) as connection:
        for measure in MEASURES[manifest.product]:
            if measure.table in held:
                sql = f"SELECT school_id, {measure.sql} FROM {measure.table} GROUP BY ALL ORDER BY ALL"  # noqa: S608
                by_school |= {(school, measure.name): int(number) for school, number in _rows(connection, sql)}
        by_month = dict(_months(connection, MONTHS[manifest.product], held))
    return Counted(manifest.school_year, by_school, by_month)


def _months(connection: duckdb.DuckDBPyConnection, counted: OverMonths, held: set[str]) -> Iterator[tuple[int, int]]:
    if counted.table in held:
        sql = f"SELECT month({counted.day}), count(*) FROM {counted.table} GROUP BY ALL ORDER BY ALL"  # noqa: S608
        yield from ((int(month), int(number)) for month, number in _rows(connection, sql))


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    with without_values():
        return ask(connection, sql).fetchall()
