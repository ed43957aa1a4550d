"""Counts the changes that a set would make in the live roster, by type, and by school and grade before and after.

DuckDB counts the staged rows, the differences and the few live columns that are needed. The result is small: one
:class:`Flow` for all rows that went the same way.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import duckdb
import polars as pl
from sqlalchemy import Connection, Table, Text, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from upath import UPath

from rollover.database.tables import metadata, roster
from rollover.roster.columnar import local_copy, quoted
from rollover.roster.comparing.diff import ALL_ADDED, all_added
from rollover.roster.imports.files import diff_file, staged_file
from rollover.roster.live import load_live
from rollover.roster.model import GUARDIAN_ROLES
from rollover.roster.staged import key_columns

Change = Literal["added", "returned", "changed", "unchanged", "removed"]
CHANGES: tuple[Change, ...] = ("added", "returned", "changed", "unchanged", "removed")
TYPES = (
    *("schools", "other_orgs", "sessions", "courses", "classes"),
    *("students", "educators", "guardians", "guardian_links", "enrollments"),
)
"""The types of rows that are counted; people by what they are, orgs by whether they are schools."""
Counts = dict[str, dict[str, int]]

KIND_OF_ORG = "CASE type WHEN 'school' THEN 'schools' ELSE 'other_orgs' END"
KIND_OF_PERSON = (
    f"CASE WHEN role = 'student' THEN 'students' WHEN role IN {GUARDIAN_ROLES} THEN 'guardians' ELSE 'educators' END"
)
SCHOOLS = """
    CREATE TABLE schools AS
    SELECT school_id, max(name) FILTER (staged) AS staged_name, max(name) FILTER (NOT staged) AS live_name
    FROM (
        SELECT sourced_id AS school_id, name, true AS staged FROM staged_orgs WHERE type = 'school'
        UNION ALL
        SELECT sourced_id, name, false FROM live_orgs WHERE type = 'school' AND status = 'active'
    )
    GROUP BY school_id
"""
# A person can belong to several orgs, the district among them: their school is the first that is one, in the set or
# in the live roster.
PEOPLE = """
    CREATE TABLE {side}_person AS
    SELECT p.sourced_id, {kind} AS kind, coalesce(first.school_id, other.school_id) AS school_id,
           CASE WHEN role = 'student' THEN grade END AS grade
    FROM {side}_people p
    LEFT JOIN schools first ON first.school_id = p.school_ids[1]
    LEFT JOIN (
        SELECT sourced_id, arg_min(listed.org_id, listed.place) AS school_id
        FROM (SELECT sourced_id, unnest(school_ids) AS org_id, generate_subscripts(school_ids, 1) AS place
              FROM {side}_people WHERE len(school_ids) > 1) listed
        JOIN schools ON schools.school_id = listed.org_id
        GROUP BY sourced_id
    ) other ON other.sourced_id = p.sourced_id
    {active}
"""
ACTIVE = "WHERE p.status = 'active'"
ORGS = """
    CREATE TABLE {side}_org AS
    SELECT sourced_id, {kind} AS kind, CASE type WHEN 'school' THEN sourced_id END AS school_id, NULL AS grade
    FROM {side}_orgs p {active}
"""
IN_A_SCHOOL = """
    CREATE VIEW {side}_{row} AS
    SELECT p.sourced_id, '{kind}' AS kind, school_id, NULL AS grade FROM {side}_{table} p {active}
"""
FLOWS = """
    SELECT staged.kind, coalesce(diff.change, 'unchanged'), staged.school_id, staged.grade,
           live.kind, live.school_id, live.grade, count(*), 0
    FROM staged_{row} staged
    LEFT JOIN diff_{table} diff ON diff.sourced_id = staged.sourced_id
    LEFT JOIN live_{row} live ON live.sourced_id = staged.sourced_id AND diff.change = 'changed'
    GROUP BY ALL
    UNION ALL
    SELECT NULL, 'removed', NULL, NULL, live.kind, live.school_id, live.grade, count(*), count(rekeyed.old_id)
    FROM diff_{table} diff
    JOIN live_{row} live ON live.sourced_id = diff.sourced_id
    LEFT JOIN rekeyed ON rekeyed.old_id = diff.sourced_id AND rekeyed.table_name = '{table}'
    WHERE diff.change = 'removed'
    GROUP BY ALL
"""
# If every row of the set goes the same way and no row is removed, there is nothing to look up.
ONE_FLOW = """
    SELECT kind, '{change}', school_id, grade, NULL, NULL, NULL, count(*), 0 FROM staged_{row} GROUP BY ALL
"""
# The ids in the set that stand, or stood, for a class of an earlier year than the set's, which is that of most of its
# classes. An unchanged class has the terms that it has in the set; what year these are of, the live sessions say.
SECTION_IDS_REUSED = """
    WITH set_year AS (
        SELECT s.school_year
        FROM (SELECT unnest(term_ids) AS sourced_id FROM staged_classes)
        JOIN staged_academic_sessions s USING (sourced_id)
        GROUP BY s.school_year ORDER BY count(*) DESC, s.school_year DESC LIMIT 1
    ), known AS (
        SELECT staged.sourced_id, unnest(coalesce(live.term_ids, staged.term_ids)) AS term_id
        FROM staged_classes staged
        LEFT JOIN diff_classes diff ON diff.sourced_id = staged.sourced_id
        LEFT JOIN live_classes live ON live.sourced_id = staged.sourced_id
        WHERE diff.change IS DISTINCT FROM 'added'
    )
    SELECT count(*) FROM (
        SELECT known.sourced_id
        FROM known JOIN live_academic_sessions s ON s.sourced_id = known.term_id
        GROUP BY known.sourced_id HAVING max(s.school_year) < (SELECT school_year FROM set_year)
    )
"""
# An id that stands for another person: neither name is the same, and nor, as far as it is known, the birth date.
IDS_REASSIGNED = f"""
    SELECT {KIND_OF_PERSON.replace("role", "staged.role")}, count(*)
    FROM diff_people diff
    JOIN staged_people staged ON staged.sourced_id = diff.sourced_id
    JOIN live_people live ON live.sourced_id = diff.sourced_id
    WHERE diff.change = 'changed'
      AND lower(trim(staged.given_name)) <> lower(trim(live.given_name))
      AND lower(trim(staged.family_name)) <> lower(trim(live.family_name))
      AND coalesce(staged.birth_date <> live.birth_date, true)
    GROUP BY 1
"""
WITHOUT_ENROLLMENT = """
    SELECT count(*) FROM staged_people p
    ANTI JOIN (FROM staged_enrollments WHERE role = 'student') e ON e.person_id = p.sourced_id
    WHERE p.role = 'student'
"""
LIVE_COLUMNS = {
    "orgs": ["sourced_id", "name", "type", "identifier", "status"],
    "academic_sessions": ["sourced_id", "school_year"],
    "classes": ["sourced_id", "school_id", "term_ids", "status"],
    "people": [
        *("sourced_id", "role", "grade", "school_ids", "status"),
        *("identifier", "username", "email", "given_name", "family_name", "birth_date"),
    ],
    "enrollments": ["sourced_id", "school_id", "status"],
}
"""What is loaded of the live rows, and of which tables: of the others only the number is known."""
FEW = 50_000
"""Live rows that differ, of a table: so many are looked up one by one, and may be in memory."""
ROWS = {
    "orgs": "org",
    "classes": "class",
    "people": "person",
    "enrollments": "enrollment",
}
ONE_TYPE = {"academic_sessions": "sessions", "courses": "courses", "guardians": "guardian_links"}


@dataclass(frozen=True)
class Flow:
    """Rows of one type that went the same way. A place that does not exist is None: the school of a person without one,
    the live place of an added row. An unchanged row has the same place twice."""

    kind: str
    change: Change
    school: str | None
    grade: str | None
    live_school: str | None
    live_grade: str | None
    rows: int
    rekeyed: int = 0
    """How many of the removed rows are in the set under another id."""

    @property
    def is_staged(self) -> bool:
        return self.change != "removed"

    @property
    def is_live(self) -> bool:
        return self.change in ("changed", "unchanged", "removed")


@dataclass(frozen=True)
class School:
    """The name of a school in the set, or in the live roster if the set lacks the school."""

    name: str
    is_staged: bool
    is_live: bool


@dataclass(frozen=True)
class Tally:
    """What was counted."""

    flows: tuple[Flow, ...]
    schools: dict[str, School]
    section_ids_reused: int
    ids_reassigned: dict[str, int]
    """By type of person."""


def open_set(
    duck: duckdb.DuckDBPyConnection,
    files: ExitStack,
    connection: Connection,
    storage: UPath,
    import_id: str,
    counts: Counts,
) -> None:
    """Load the set (``staged_…``), the differences (``diff_…``) and the needed columns of the live roster (``live_…``)
    into DuckDB, with the places of people and classes (``schools``, ``staged_person``, ``live_person``, …)."""
    for table in roster.ROSTER_TABLES:
        for side, path in (("staged", staged_file), ("diff", diff_file)):
            file = files.enter_context(local_copy(path(storage, import_id, table.name)))
            rows = f"SELECT * FROM read_parquet({quoted(file)})"
            if side == "diff" and all_added(counts[table.name]):
                rows = ALL_ADDED.format(keys=", ".join(key_columns(table)), staged=f"staged_{table.name}")
            duck.execute(f"CREATE VIEW {side}_{table.name} AS {rows}")
        if table.name in LIVE_COLUMNS:
            _load(duck, connection, table, counts[table.name])
    duck.execute(SCHOOLS)
    for side, active in (("staged", ""), ("live", ACTIVE)):
        duck.execute(ORGS.format(side=side, kind=KIND_OF_ORG, active=active))
        duck.execute(PEOPLE.format(side=side, kind=KIND_OF_PERSON, active=active))
        for table_name, row, kind in (("classes", "class", "classes"), ("enrollments", "enrollment", "enrollments")):
            duck.execute(IN_A_SCHOOL.format(side=side, row=row, table=table_name, kind=kind, active=active))


def tally(duck: duckdb.DuckDBPyConnection, counts: Counts) -> Tally:
    """Count. The set is open, and who was re-keyed is in the table ``rekeyed``."""
    flows: list[Flow] = []
    for table, row in ROWS.items():
        change = _only_change(counts[table])
        query = FLOWS.format(table=table, row=row) if change is None else ONE_FLOW.format(change=change, row=row)
        for found in duck.execute(query).fetchall():
            flows += _flows(*found)
    for table, kind in ONE_TYPE.items():
        flows += [Flow(kind, change, None, None, None, None, counts[table][change]) for change in CHANGES]
    schools = {
        school_id: School(staged or live or "", staged is not None, live is not None)
        for school_id, staged, live in duck.execute("SELECT * FROM schools").fetchall()
    }
    return Tally(
        flows=tuple(flow for flow in flows if flow.rows),
        schools=schools,
        section_ids_reused=_number(duck, SECTION_IDS_REUSED),
        ids_reassigned=dict(duck.execute(IDS_REASSIGNED).fetchall()),
    )


def without_enrollment(duck: duckdb.DuckDBPyConnection) -> int:
    """How many students of the set, which is open, are enrolled in no class of it."""
    return _number(duck, WITHOUT_ENROLLMENT)


def _only_change(counts: dict[str, int]) -> str | None:
    """The one thing that happens to all rows, if that is all: a first import, or a table that stays as it is."""
    happens = {change for change, rows in counts.items() if rows}
    return happens.pop() if happens in ({"added"}, {"unchanged"}) else None


def _flows(
    kind: str | None,
    change: Change,
    school: str | None,
    grade: str | None,
    live_kind: str | None,
    live_school: str | None,
    live_grade: str | None,
    rows: int,
    rekeyed: int,
) -> list[Flow]:
    """One flow, or two for rows that are of another type now: one type has lost them, the other got them."""
    if change == "removed":
        return [Flow(str(live_kind), change, None, None, live_school, live_grade, rows, rekeyed)]
    assert kind is not None
    flow = Flow(kind, change, school, grade, live_school, live_grade, rows)
    if change == "unchanged":
        return [replace(flow, live_school=school, live_grade=grade)]
    if change == "changed" and kind != live_kind:
        came = replace(flow, change="added", live_school=None, live_grade=None)
        return [came, Flow(str(live_kind), "removed", None, None, live_school, live_grade, rows)]
    return [flow]


def _load(duck: duckdb.DuckDBPyConnection, connection: Connection, table: Table, counts: dict[str, int]) -> None:
    """Load what is needed of a live table: of the rows that differ, but for orgs and sessions, which others name.

    Where many differ, to load all of them is faster.
    """
    columns = LIVE_COLUMNS[table.name]
    differ = ("returned", "changed", "removed")
    if table in (roster.orgs, roster.academic_sessions) or sum(counts[change] for change in differ) > FEW:
        load_live(connection, duck, table, columns)
        return
    wanted = f"SELECT sourced_id FROM diff_{table.name} WHERE change IN {differ}"
    keys = [key for (key,) in duck.execute(wanted).fetchall()]
    query = select(*(table.c[column] for column in columns)).where(
        table.c.sourced_id == any_(literal(keys, ARRAY(Text)))
    )
    rows = connection.execute(query).all() if keys else []
    lists = pl.List(pl.String())
    types: dict[str, pl.DataType] = {"birth_date": pl.Date(), "school_ids": lists, "term_ids": lists}
    schema = {column: types.get(column, pl.String()) for column in columns}
    duck.register("few", pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row").to_arrow())
    duck.execute(f"CREATE TABLE live_{table.name} AS SELECT * FROM few")
    duck.unregister("few")


def _number(duck: duckdb.DuckDBPyConnection, query: str) -> int:
    row: Any = duck.execute(query).fetchone()
    return int(row[0])


assert all(key_columns(metadata.tables[f"roster.{table}"]) == ["sourced_id"] for table in ROWS)
