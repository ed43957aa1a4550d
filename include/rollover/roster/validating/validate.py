"""Checks a staged set as a whole (district, school year, duplicates, references), and makes the roster tables from
it."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
from sqlalchemy import Connection, Engine, select
from upath import UPath

from rollover.calendar import JULY, MonthDay, SchoolYear, year_of_day
from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables import ledger
from rollover.database.tables.roster import ROSTER_TABLES, guardians
from rollover.roster import imports
from rollover.roster.columnar import columnar, local_copy
from rollover.roster.findings import Findings, added, why_refused
from rollover.roster.formats import FORMATS, Format
from rollover.roster.imports import Import, ImportDetails, ImportState
from rollover.roster.imports.details import Problems, Validation
from rollover.roster.imports.files import staged_file, typed_file
from rollover.roster.imports.queue import why_it_waits
from rollover.roster.imports.roster_version import roster_version
from rollover.roster.staged import write_staged
from rollover.roster.validating.live_rows import (
    Kept,
    keep_what_rejected_rows_are_about,
    kept_live,
    load_what_is_not_said,
    reads_live,
)
from rollover.roster.validating.rules import CheckedSet
from rollover.roster.validating.set_rules import check_set, school_year_of
from rollover.roster.validating.shape import shape
from rollover.storage import TEMPORARY, whole_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Years:
    """The dates that decide a set's school year, besides its own."""

    of_files: SchoolYear
    begins: MonthDay


def validate(
    engine: Engine, tenant_id: str, import_id: str, storage: UPath, *, time_zone: str, begins: MonthDay = JULY
) -> Import:
    """Check a staged set, and write the accepted rows by roster table: staged → validated, or ``rejected``.

    A row with an error is rejected, and so are the rows that depend on it. The whole set is rejected if its files are
    another district's, if its school year is neither the tenant's current one nor the next, if it has no student, or if
    a required file has no row that can be accepted.

    Columns and files that a set lacks are completed from the live roster; the set is then valid for that version of the
    roster only: see :func:`validate_again`. A set with a delta stays staged, and the ledger has the reason, while an
    older import can still change the roster under it (:func:`rollover.roster.imports.queue.why_it_waits`).
    """
    with tenant_session(engine, tenant_id) as connection:
        found = imports.load(connection, import_id)
        refused_for = found.details.reading.refused_for
        if found.state is ImportState.STAGED and not refused_for and reads_live(found):
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
    """Whether a set was completed from an older version of the live roster."""
    return found.details.validation.laid_over not in (None, roster_version(connection))


def validate_again(connection: Connection, found: Import, storage: UPath, *, renamed: bool = False) -> Import:
    """Validate a set again if it uses rows of the live roster. Returns the import, unchanged or rejected.

    `renamed`: the live roster already has the new ids of the import's map. The caller holds the tenant's lock, so that
    the files in storage fit the roster version in the ledger.
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
        load_what_is_not_said(connection, duck, found, renamed=renamed)
        checked = CheckedSet(duck, spec, paths, found.details.reading.deltas, findings)
        shape(duck, checked, years.of_files, kept=kept_live(spec, found), begins=years.begins)
        school_year = school_year_of(duck)
        check_set(connection, duck, checked, school_year, findings, years.begins)
        taken, kept, accepted = checked.rows.taken(), Kept(), {}
        if not findings.refusing:
            kept = keep_what_rejected_rows_are_about(connection, duck, checked, found, taken, renamed=renamed)
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
        laid_over=roster_version(connection) if reads_live(found) else kept.laid_over,
    )
    return _finish(connection, found, findings, school_year, result, after)


def _reject(connection: Connection, found: Import, storage: UPath, years: Years) -> Import:
    """Reject a set, with all findings about the files that it has."""
    spec, findings = FORMATS[str(found.format)], Findings()
    missing = [file.name for file in spec.files if file.required and file.name not in found.details.reading.files_read]
    with columnar() as duck, _typed_files(found, spec, storage) as paths:
        checked = CheckedSet(duck, spec, paths, (), findings, missing)
        shape(duck, checked, years.of_files, begins=years.begins)
        school_year = school_year_of(duck)
        check_set(connection, duck, checked, school_year, findings, years.begins)
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


def _write(duck: duckdb.DuckDBPyConnection, found: Import, storage: UPath) -> dict[str, int]:
    """Write the accepted rows of each roster table; returns how many there are."""
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
