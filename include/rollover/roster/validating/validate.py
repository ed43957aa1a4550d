"""Judge a staged set as a whole: whose it is, of which year, which rows hold together; and shape the roster of it."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
from sqlalchemy import Connection, Engine, Table, select
from upath import UPath

from rollover.calendar import JULY, MonthDay, SchoolYear, begins_on, year_of_day
from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables import directory, ledger
from rollover.database.tables.roster import ROSTER_TABLES, enrollments, guardians
from rollover.roster import imports
from rollover.roster.columnar import columnar, local_copy
from rollover.roster.findings import Findings, added, why_refused
from rollover.roster.formats import FORMATS, Format
from rollover.roster.formats.spec import Keeps
from rollover.roster.imports import Import, ImportDetails, ImportState
from rollover.roster.imports.details import Problems, Validation
from rollover.roster.imports.files import staged_file, typed_file
from rollover.roster.imports.queue import why_it_waits
from rollover.roster.imports.roster_version import roster_version
from rollover.roster.live import load_live
from rollover.roster.staged import ALL, key_columns, value_columns, write_staged
from rollover.roster.validating.kept_out import keep_live
from rollover.roster.validating.rules import CheckedSet
from rollover.storage import TEMPORARY, whole_file

log = logging.getLogger(__name__)

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


PERSON_IDS = (
    *(("people", "sourced_id"), ("guardians", "student_id"), ("guardians", "guardian_id")),
    ("enrollments", "person_id"),
)
"""Where the live roster names a person."""


@dataclass(frozen=True)
class Years:
    """What a set's school year is decided by, beside its own dates."""

    of_files: SchoolYear
    begins: MonthDay


def validate(
    engine: Engine, tenant_id: str, import_id: str, storage: UPath, *, time_zone: str, begins: MonthDay = JULY
) -> Import:
    """Check a staged set, and write the rows that are accepted by roster table: staged → validated, or ``rejected``.

    A row in error is kept out, and so is what depends on it. Rejected whole are: another district's files, a school
    year that is neither the tenant's current one nor the next, a set without a student, and one in which a
    required file has not a single row that can be taken.

    What a set does not say is taken from the live roster, and the set then holds for this version of it alone: see
    :func:`validate_again`. A set with a delta stays staged, and the ledger has the reason, while an older import can
    still change the roster that it is to be laid over (:func:`rollover.roster.imports.queue.why_it_waits`).
    """
    with tenant_session(engine, tenant_id) as connection:
        found = imports.load(connection, import_id)
        refused_for = found.details.reading.refused_for
        if found.state is ImportState.STAGED and not refused_for and _reads_live(found):
            lock_tenant(connection)
            found = imports.load(connection, import_id)
        if found.state is not ImportState.STAGED:
            return found
        if not refused_for and (why := why_it_waits(connection, found)):
            if why != found.reason:
                imports.advance(connection, found, ImportState.STAGED, reason=why)
                log.info("%s waits: %s", import_id, why)
            return imports.load(connection, import_id)
        years = Years(_files_year(connection, import_id, time_zone, begins), begins)
        if refused_for:
            return _reject(connection, found, storage, years)
        return _validate(connection, found, storage, years, after=ImportState.VALIDATED)


def is_outdated(connection: Connection, found: Import) -> bool:
    """Whether a set was filled up from another live roster than the present one."""
    return found.details.validation.laid_over not in (None, roster_version(connection))


def validate_again(connection: Connection, found: Import, storage: UPath, *, renamed: bool = False) -> Import:
    """Validate a set again if it takes something from the live roster; returns the import, as it was or ``rejected``.

    With `renamed`, people are known in the live roster by the new ids of the import's map. The caller holds the
    tenant's lock: what is written to storage is then of the version of the roster that the ledger says.
    """
    before = found.details.validation
    if before.laid_over is None or before.files_year is None:
        return found
    begins = MonthDay(*before.school_year_begins) if before.school_year_begins else JULY
    years = Years(SchoolYear.parse(before.files_year), begins)
    log.info("%s is validated again: the live roster is another one now", found.import_id)
    return _validate(connection, found, storage, years, after=found.state, renamed=renamed)


def _validate(
    connection: Connection, found: Import, storage: UPath, years: Years, *, after: ImportState, renamed: bool = False
) -> Import:
    spec, findings = FORMATS[str(found.format)], Findings()
    with columnar() as duck, _typed_files(found, spec, storage) as paths:
        _load_live(connection, duck, found, renamed=renamed)
        checked = CheckedSet(duck, spec, paths, found.details.reading.deltas, findings)
        shape(duck, checked, years.of_files, kept=_kept(spec, found), begins=years.begins)
        school_year = _school_year(duck)
        _check_set(connection, duck, checked, school_year, findings, years.begins)
        taken, kept, accepted = checked.taken(), _Kept(), {}
        if not findings.refusing:
            kept = _keep_live(connection, duck, checked, found, taken, renamed=renamed)
            accepted = _write(duck, found, storage)
    result = Validation(
        before=_problems_before(found),
        files_year=years.of_files.key,
        school_year_begins=(years.begins.month, years.begins.day),
        taken=taken,
        repeated=checked.repeated,
        accepted=accepted,
        kept_live=kept.rows,
        unnamed=kept.unnamed,
        laid_over=roster_version(connection) if _reads_live(found) else kept.laid_over,
    )
    return _finish(connection, found, findings, school_year, result, after)


def _reject(connection: Connection, found: Import, storage: UPath, years: Years) -> Import:
    """Reject a set that cannot be taken, with all that can be said about the files that are there."""
    spec, findings = FORMATS[str(found.format)], Findings()
    missing = [file.name for file in spec.files if file.required and file.name not in found.details.reading.files_read]
    with columnar() as duck, _typed_files(found, spec, storage) as paths:
        checked = CheckedSet(duck, spec, paths, (), findings, missing)
        shape(duck, checked, years.of_files, begins=years.begins)
        school_year = _school_year(duck)
        _check_set(connection, duck, checked, school_year, findings, years.begins)
    findings.refusing += found.details.reading.refused_for
    result = Validation(before=_problems_before(found), files_year=years.of_files.key)
    return _finish(connection, found, findings, school_year, result, ImportState.REJECTED)


def _finish(
    connection: Connection,
    found: Import,
    findings: Findings,
    school_year: str | None,
    result: Validation,
    after: ImportState,
) -> Import:
    before = _problems_before(found)
    reason = found.reason if after == found.state else None
    moved = imports.advance(
        connection,
        found,
        ImportState.REJECTED if findings.refusing else after,
        reason=why_refused(findings.refusing) if findings.refusing else reason,
        school_year=school_year,
        details=ImportDetails(
            errors=added(before.errors, findings.errors),
            warnings=added(before.warnings, findings.warnings),
            validation=result,
        ),
    )
    if moved:
        findings.store(connection, found.import_id, found.tenant_id)
    return imports.load(connection, found.import_id)


def _problems_before(found: Import) -> Problems:
    """The findings of fetch and stage, also of a set that is validated again."""
    details = found.details
    return details.validation.before or Problems(errors=details.errors, warnings=details.warnings)


def _files_year(connection: Connection, import_id: str, time_zone: str, begins: MonthDay) -> SchoolYear:
    """The school year in which the newest file of the drop was last changed."""
    files = connection.scalar(select(ledger.drops.c.files).where(ledger.drops.c.drop_id == import_id)) or []
    newest = datetime.fromtimestamp(max(file["modified"] for file in files), UTC).astimezone(ZoneInfo(time_zone))
    return year_of_day(newest.date(), begins)


@contextmanager
def _typed_files(found: Import, spec: Format, storage: UPath) -> Iterator[dict[str, Path]]:
    with ExitStack() as stack:
        yield {
            file.name: stack.enter_context(local_copy(typed_file(storage, found.import_id, file.stem)))
            for file in spec.files
            if file.name in found.details.reading.files_read
        }


def _reads_live(found: Import) -> bool:
    """Whether a set is filled up from the live roster, since it does not say everything."""
    return bool(not found.is_whole or found.details.reading.not_said or _kept(FORMATS[str(found.format)], found))


def _load_live(connection: Connection, duck: duckdb.DuckDBPyConnection, found: Import, *, renamed: bool) -> None:
    """What the set does not say and the live roster knows: all of it under a delta, else single columns."""
    spec = FORMATS[str(found.format)]
    whole = {name for name, column, *_ in found.details.reading.not_said if column == ALL}
    whole |= {keeps.table for keeps in _kept(spec, found)}
    for table in ROSTER_TABLES:
        silent = {column for name, column, *_ in found.details.reading.not_said if name == table.name}
        is_all_kept = not found.is_whole or table.name in whole
        if not is_all_kept and not silent:
            continue
        columns = value_columns(table) if is_all_kept else [*key_columns(table), *sorted(silent)]
        _load_active(connection, duck, found, table, columns, renamed=renamed)
    if not found.is_whole:
        duck.execute(LINKS)


def _load_active(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    found: Import,
    table: Table,
    columns: list[str],
    *,
    renamed: bool,
) -> None:
    name = load_live(connection, duck, table, [*columns, "status"])
    duck.execute(f"DELETE FROM {name} WHERE status <> 'active'")
    if renamed:
        _rename(connection, duck, found, table, columns)


def _rename(
    connection: Connection, duck: duckdb.DuckDBPyConnection, found: Import, table: Table, columns: Collection[str]
) -> None:
    """Give people of a live table that was loaded the ids that the import's map has for them."""
    ids = select(ledger.id_maps.c.old_id, ledger.id_maps.c.new_id).where(ledger.id_maps.c.import_id == found.import_id)
    pairs = [tuple(row) for row in connection.execute(ids)]
    duck.register("id_map", pl.DataFrame(pairs, schema=["old_id", "new_id"], orient="row").to_arrow())
    for its_table, column in PERSON_IDS:
        if its_table == table.name and column in columns:
            duck.execute(f"UPDATE live_{table.name} SET {column} = new_id FROM id_map WHERE {column} = old_id")
    duck.unregister("id_map")


def _kept(spec: Format, found: Import) -> list[Keeps]:
    """The live rows that stay since the set does not have their file, or the column that tells of them."""
    reading = found.details.reading
    files = [file.keeps for file in spec.files if file.name not in reading.files_read]
    columns = [column.keeps for file in spec.files for column in file.columns if column.fills in reading.not_said]
    return [keeps for keeps in (*files, *columns) if keeps is not None]


def shape(
    duck: duckdb.DuckDBPyConnection,
    files: CheckedSet,
    files_year: SchoolYear,
    *,
    kept: Collection[Keeps] = (),
    begins: MonthDay = JULY,
) -> None:
    """Check files and make ``roster_<table>`` of their accepted rows, and of the live rows that are `kept`.

    Enrollments, the most by far, are not kept a second time. `files_year` is what a set is of that does not say it.
    """
    files.check_files()
    duck.execute(f"SET VARIABLE files_year_begins = DATE '{begins_on(files_year, begins)}'")
    duck.execute(
        f"SET VARIABLE begins_in_last_year = {int(begins_on(files_year, begins).year == files_year.last_year)}"
    )
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


@dataclass(frozen=True)
class _Kept:
    """What of the live roster stays since rows about it were kept out."""

    rows: dict[str, int] = field(default_factory=dict)
    unnamed: dict[str, int] = field(default_factory=dict)
    laid_over: int | None = None
    """The version of the live roster that was read; None where nothing of it was."""


def _keep_live(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    checked: CheckedSet,
    found: Import,
    taken: dict[str, int],
    *,
    renamed: bool,
) -> _Kept:
    """Keep what rows that were kept out are about.

    The tenant's lock keeps the live roster as it is read here until the ledger has its version.
    """
    details, reading = found.details, found.details.reading
    full = [name for name in reading.files_read if name not in reading.deltas]
    laid_over: int | None = None

    def load(table: Table) -> None:
        nonlocal laid_over
        lock_tenant(connection)
        laid_over = roster_version(connection)
        _load_whole(connection, duck, found, table, renamed=renamed)

    stayed = keep_live(
        duck,
        checked,
        {name: details.rows[name] - taken[name] for name in full},
        {name: count for name, count in reading.not_identified.items() if name in full},
        load,
        lambda table: _shape_table(duck, checked, table, _kept(checked.format, found)),
    )
    return _Kept(stayed.rows, stayed.unnamed, laid_over)


def _load_whole(
    connection: Connection, duck: duckdb.DuckDBPyConnection, found: Import, table: Table, *, renamed: bool
) -> None:
    """Load the active rows of a live table, unless they are there with every column."""
    query = "SELECT column_name FROM duckdb_columns() WHERE table_name = $name"
    there = {column for (column,) in duck.execute(query, {"name": f"live_{table.name}"}).fetchall()}
    if not there.issuperset(value_columns(table)):
        duck.execute(f"DROP TABLE IF EXISTS live_{table.name}")
        _load_active(connection, duck, found, table, value_columns(table), renamed=renamed)


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
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    checked: CheckedSet,
    school_year: str | None,
    findings: Findings,
    begins: MonthDay,
) -> None:
    """Refuse another district's files, another year's, and a set without a student, as far as its files tell."""
    spec = checked.format

    def has(query: str, **bound: Any) -> bool:
        return duck.execute(f"SELECT count(*) > 0 FROM ({query})", bound or None).fetchone() == (True,)

    district, current = connection.execute(
        select(directory.districts.c.org_sourced_id, directory.tenants.c.current_school_year).join_from(
            directory.tenants, directory.districts
        )
    ).one()
    tells_district = spec.names_its_district and checked.is_whole(spec.shapes["orgs"])
    kept_out = _district_row(duck, district) if tells_district else None
    if kept_out is not None:
        message = "The row of the district was kept out for an error, and nothing holds without it. Fix this row."
        findings.refuse("district_kept_out", "orgs.csv", message, column="sourcedId", row=kept_out)
    elif tells_district and not has("FROM roster_orgs WHERE sourced_id = $org", org=district):
        message = (
            f"orgs.csv does not hold {district}, the org of this district: these may be another "
            "district's files. Check the folder; if the district's sourcedId has changed, tell the data team."
        )
        findings.refuse("other_district", "orgs.csv", message, column="sourcedId")
    allowed = (current, SchoolYear.parse(current).next.key)
    file, column = spec.tells_year
    wrong = _other_year(duck, school_year, allowed, column, begins) if school_year else None
    if wrong:
        findings.refuse("wrong_year", file, wrong, column=column)
    if checked.is_whole(spec.shapes["people"]) and not has("FROM roster_people WHERE role = 'student'"):
        file, column = spec.tells_students
        message = "There is not a single student. Export all of them, and fix what keeps rows out."
        findings.refuse("no_students", file, message, column=column)


def _district_row(duck: duckdb.DuckDBPyConnection, district: str) -> int | None:
    """Where the row of the district's own org stands that was kept out; None where it was taken, or is not there."""
    row = duck.execute(
        """SELECT min(r."row") FROM read_orgs r ANTI JOIN roster_orgs o ON o.sourced_id = r.sourcedId
           WHERE r.sourcedId = $org AND r."row" > 0""",
        {"org": district},
    ).fetchone()
    return None if row is None else row[0]


def _other_year(
    duck: duckdb.DuckDBPyConnection, said: str, allowed: tuple[str, str], column: str, begins: MonthDay
) -> str | None:
    """What is wrong with the school year of a set; None if it can be taken.

    Some systems write the year in which the school year begins. A set whose sessions all lie in the year after the one
    that its column says is then named by that column, and is not taken for one of the year before.
    """
    days = duck.execute("SELECT start_date FROM roster_academic_sessions WHERE school_year = $1", [said]).fetchall()
    by_dates = {year_of_day(day, begins) for (day,) in days if day is not None}
    following = SchoolYear.parse(said).next
    if column == "schoolYear" and by_dates == {following} and following.key in allowed:
        return (
            f"schoolYear is {following.first_year} in sessions whose dates are of {following}. It is the year in which "
            f"the school year ends: write {following.last_year}. If your school years do not begin on "
            f"{date(2000, begins.month, begins.day):%B %-d}, ask the data team to set school_year_begins."
        )
    if said in allowed:
        return None
    return f"The set is of school year {said}; expected is {' or '.join(allowed)}. Export it from the right year."


def _write(duck: duckdb.DuckDBPyConnection, found: Import, storage: UPath) -> dict[str, int]:
    """Write the accepted rows of each roster table, sorted by their key; returns how many there are."""
    rows = {}
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}staged-") as folder:
        for table in ROSTER_TABLES:
            silent = [columns for name, *columns in found.details.reading.not_said if name == table.name]
            written = Path(folder) / f"{table.name}.parquet"
            rows[table.name] = write_staged(duck, table, silent, written)
            if table is guardians:  # the last to read the others: what comes gets their memory
                for done in ROSTER_TABLES[: ROSTER_TABLES.index(table) + 1]:
                    duck.execute(f"DROP TABLE roster_{done.name}")
            with whole_file(staged_file(storage, found.import_id, table.name)) as target, written.open("rb") as source:
                shutil.copyfileobj(source, target, 2**20)
    return rows
