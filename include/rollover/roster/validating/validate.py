"""Judge a staged set as a whole: whose it is, of which year, which rows hold together; and shape the roster of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sqlalchemy import Connection, Engine, Table, select
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.database.session import tenant_session
from rollover.database.tables import directory, ledger
from rollover.database.tables.roster import ROSTER_TABLES, enrollments, guardians
from rollover.roster import imports
from rollover.roster.columnar import columnar, local_copy
from rollover.roster.files import staged_file, typed_file
from rollover.roster.findings import Findings, added, why_refused
from rollover.roster.formats import FORMATS, Format
from rollover.roster.formats.spec import Keeps
from rollover.roster.imports import Import
from rollover.roster.live import load_live
from rollover.roster.staged import ALL, key_columns, value_columns, write_staged
from rollover.roster.staging.stage import UNNAMED
from rollover.roster.validating.kept_out import keep_live
from rollover.roster.validating.rules import CheckedSet
from rollover.storage import whole_file

KEPT_LIVE = "kept_live"
"""In an import's counts: by roster table, the live rows that stay since rows about them were kept out."""
# That of the terms of most classes: a few old sections, or next year's sessions in April, do not make the year. Where
# no class tells, that of the session of type schoolYear, else of most sessions; then the latest.
SCHOOL_YEAR = """
    SELECT school_year
    FROM roster_academic_sessions
    LEFT JOIN (SELECT sourced_id AS class_id, unnest(term_ids) AS sourced_id FROM roster_classes) USING (sourced_id)
    WHERE school_year IS NOT NULL
    GROUP BY school_year
    ORDER BY count(DISTINCT class_id) DESC, bool_or(type = 'schoolYear') DESC, count(DISTINCT sourced_id) DESC,
             school_year DESC
    LIMIT 1
"""
LINKS = """
    CREATE VIEW live_links AS SELECT person_id, list(agent ORDER BY agent) AS agents FROM (
        SELECT student_id AS person_id, guardian_id AS agent FROM live_guardians
        UNION ALL SELECT guardian_id, student_id FROM live_guardians
    ) GROUP BY person_id
"""


@dataclass(frozen=True)
class _Expected:
    """What the directory says about the tenant, and the drop about its files."""

    org_sourced_id: str
    year: SchoolYear
    files_year: SchoolYear
    """The school year in which the newest file of the drop was last changed."""


def validate(engine: Engine, tenant_id: str, import_id: str, storage: UPath, *, time_zone: str) -> dict[str, Any]:
    """Check a staged set, and write the rows that are accepted by roster table: staged → validated, or ``rejected``.

    A row in error is kept out, and so is what depends on it. Rejected whole are: another district's files, a school
    year that is neither the tenant's current one nor the next, a set without a student, and one in which a
    required file has not a single row that can be taken.
    """
    with tenant_session(engine, tenant_id, isolation="REPEATABLE READ") as connection:
        found = imports.load(connection, import_id)
        if found.state != "staged":
            return found.summary()
        spec = FORMATS[str(found.format)]
        expected = _expected(connection, import_id, time_zone)
        findings = Findings()
        with columnar() as duck, _typed_files(found, spec, storage) as paths:
            _load_live(connection, duck, found)
            checked = CheckedSet(duck, spec, paths, found.counts["deltas"], findings)
            shape(duck, checked, expected.files_year, kept=_kept(spec, found))
            school_year = _school_year(duck)
            _check_set(duck, spec, school_year, expected, findings)
            counts: dict[str, Any] = {"taken": checked.taken(), "accepted": {}}
            if not findings.refusing:
                counts |= _keep_live(connection, duck, checked, found, counts["taken"])
                counts["accepted"] = _write(duck, found, storage)
    return _finish(engine, tenant_id, found, findings, school_year, counts)


def _finish(
    engine: Engine, tenant_id: str, found: Import, findings: Findings, school_year: str | None, counts: dict[str, Any]
) -> dict[str, Any]:
    with tenant_session(engine, tenant_id) as connection:
        moved = imports.advance(
            connection,
            found.import_id,
            before="staged",
            after="rejected" if findings.refusing else "validated",
            reason=why_refused(findings.refusing) if findings.refusing else None,
            school_year=school_year,
            counts={
                "errors": added(found.counts.get("errors", {}), findings.errors),
                "warnings": added(found.counts.get("warnings", {}), findings.warnings),
                **counts,
            },
        )
        if moved:
            findings.store(connection, found.import_id, tenant_id)
        return imports.load(connection, found.import_id).summary()


def _expected(connection: Connection, import_id: str, time_zone: str) -> _Expected:
    row = connection.execute(
        select(directory.districts.c.org_sourced_id, directory.tenants.c.current_school_year).join_from(
            directory.tenants, directory.districts
        )
    ).one()
    files = connection.scalar(select(ledger.drops.c.files).where(ledger.drops.c.drop_id == import_id)) or []
    newest = datetime.fromtimestamp(max(file["modified"] for file in files), UTC).astimezone(ZoneInfo(time_zone))
    first = newest.year if newest.month >= 7 else newest.year - 1
    return _Expected(row.org_sourced_id, SchoolYear.parse(row.current_school_year), SchoolYear(first))


@contextmanager
def _typed_files(found: Import, spec: Format, storage: UPath) -> Iterator[dict[str, Path]]:
    with ExitStack() as stack:
        yield {
            file.name: stack.enter_context(local_copy(typed_file(storage, found.import_id, file.stem)))
            for file in spec.files
            if file.name in found.counts["files_read"]
        }


def _load_live(connection: Connection, duck: duckdb.DuckDBPyConnection, found: Import) -> None:
    """What the set does not say and the live roster knows: all of it under a delta, else single columns."""
    spec = FORMATS[str(found.format)]
    whole = {name for name, column, *_ in found.counts["not_said"] if column == ALL}
    whole |= {keeps.table for keeps in _kept(spec, found)}
    for table in ROSTER_TABLES:
        silent = {column for name, column, *_ in found.counts["not_said"] if name == table.name}
        is_whole = found.counts["deltas"] or table.name in whole
        if not is_whole and not silent:
            continue
        columns = value_columns(table) if is_whole else [*key_columns(table), *sorted(silent)]
        _load_active(connection, duck, table, columns)
    if found.counts["deltas"]:
        duck.execute(LINKS)


def _load_active(connection: Connection, duck: duckdb.DuckDBPyConnection, table: Table, columns: list[str]) -> None:
    name = load_live(connection, duck, table, [*columns, "status"])
    duck.execute(f"DELETE FROM {name} WHERE status <> 'active'")


def _kept(spec: Format, found: Import) -> list[Keeps]:
    """The live rows that stay since the set does not have their file, or the column that tells of them."""
    not_said = found.counts["not_said"]
    files = [file.keeps for file in spec.files if file.name not in found.counts["files_read"]]
    columns = [column.keeps for file in spec.files for column in file.columns if list(column.fills) in not_said]
    return [keeps for keeps in (*files, *columns) if keeps is not None]


def shape(
    duck: duckdb.DuckDBPyConnection, files: CheckedSet, files_year: SchoolYear, *, kept: Collection[Keeps] = ()
) -> None:
    """Check files and make ``roster_<table>`` of their accepted rows, and of the live rows that are `kept`.

    Enrollments, the most by far, are not kept a second time. `files_year` is what a set is of that does not say it.
    """
    files.check_files()
    duck.execute(f"SET VARIABLE files_year = '{files_year}'")
    for table in ROSTER_TABLES:
        _shape_table(duck, files, table, kept)
    files.check_roster()
    files.forget()


def _shape_table(duck: duckdb.DuckDBPyConnection, files: CheckedSet, table: Table, kept: Collection[Keeps]) -> None:
    kind = "VIEW" if table is enrollments else "TABLE"
    duck.execute(f"CREATE OR REPLACE {kind} roster_{table.name} AS {files.format.shapes[table.name]}")
    for keeps in kept:
        if keeps.table == table.name:
            _keep_not_said(duck, table, keeps)


def _keep_live(
    connection: Connection, duck: duckdb.DuckDBPyConnection, checked: CheckedSet, found: Import, taken: dict[str, int]
) -> dict[str, Any]:
    """Keep what rows that were kept out are about; returns what of it goes to the import's counts."""
    full = [name for name in found.counts["files_read"] if name not in found.counts["deltas"]]
    stayed = keep_live(
        duck,
        checked,
        {name: found.counts["rows"][name] - taken[name] for name in full},
        {name: count for name, count in found.counts.get(UNNAMED, {}).items() if name in full},
        lambda table: _load_whole(connection, duck, table),
        lambda table: _shape_table(duck, checked, table, _kept(checked.format, found)),
    )
    return {KEPT_LIVE: stayed.rows, UNNAMED: stayed.unnamed}


def _load_whole(connection: Connection, duck: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Load the active rows of a live table, unless they are there with every column."""
    query = "SELECT column_name FROM duckdb_columns() WHERE table_name = $name"
    there = {column for (column,) in duck.execute(query, {"name": f"live_{table.name}"}).fetchall()}
    if not there.issuperset(value_columns(table)):
        duck.execute(f"DROP TABLE IF EXISTS live_{table.name}")
        _load_active(connection, duck, table, value_columns(table))


def _keep_not_said(duck: duckdb.DuckDBPyConnection, table: Table, keeps: Keeps) -> None:
    columns = ", ".join(f'"{name}"' for name in value_columns(table))
    same = " AND ".join(f'r."{key}" = live."{key}"' for key in key_columns(table))
    duck.execute(f"""
        INSERT INTO roster_{table.name} ({columns})
        SELECT {columns} FROM live_{table.name} live
        WHERE ({keeps.where}) AND NOT EXISTS (FROM roster_{table.name} r WHERE {same})
    """)


def _school_year(duck: duckdb.DuckDBPyConnection) -> str | None:
    row = duck.execute(SCHOOL_YEAR).fetchone()
    return None if row is None else str(row[0])


def _check_set(
    duck: duckdb.DuckDBPyConnection, spec: Format, school_year: str | None, expected: _Expected, findings: Findings
) -> None:
    def has(query: str, **bound: Any) -> bool:
        return duck.execute(f"SELECT count(*) > 0 FROM ({query})", bound or None).fetchone() == (True,)

    district = expected.org_sourced_id
    if spec.names_its_district and not has("FROM roster_orgs WHERE sourced_id = $org", org=district):
        message = (
            f"orgs.csv does not hold {district}, the org of this district: these may be another "
            "district's files. Check the folder; if the district's sourcedId has changed, tell the data team."
        )
        findings.refuse("other_district", "orgs.csv", message, column="sourcedId")
    allowed = (expected.year.key, expected.year.next.key)
    if school_year is not None and school_year not in allowed:
        message = (
            f"The set is of school year {school_year}; expected is {' or '.join(allowed)}. "
            "Export it from the right year."
        )
        file, column = spec.tells_year
        findings.refuse("wrong_year", file, message, column=column)
    if not has("FROM roster_people WHERE role = 'student'"):
        file, column = spec.tells_students
        findings.refuse("no_students", file, "There is not a single student. Export all of them.", column=column)


def _write(duck: duckdb.DuckDBPyConnection, found: Import, storage: UPath) -> dict[str, int]:
    """Write the accepted rows of each roster table, sorted by their key; returns how many there are."""
    rows = {}
    with tempfile.TemporaryDirectory(prefix="rollover-staged-") as folder:
        for table in ROSTER_TABLES:
            silent = [columns for name, *columns in found.counts["not_said"] if name == table.name]
            written = Path(folder) / f"{table.name}.parquet"
            rows[table.name] = write_staged(duck, table, silent, written)
            if table is guardians:  # the last to read the others: what comes gets their memory
                for done in ROSTER_TABLES[: ROSTER_TABLES.index(table) + 1]:
                    duck.execute(f"DROP TABLE roster_{done.name}")
            with whole_file(staged_file(storage, found.import_id, table.name)) as target, written.open("rb") as source:
                shutil.copyfileobj(source, target, 2**20)
    return rows
