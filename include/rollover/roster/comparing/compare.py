"""Compare a valid set with the live roster before anything is applied: what would change, and is that plausible?

A set within its limits is ready. A set over one needs review (:mod:`rollover.roster.review.decision`).
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace

import duckdb
from sqlalchemy import Connection, Engine, and_, exists, or_, select, text
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.config import RosterLimits
from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables import directory, ledger, roster
from rollover.errors import Refused
from rollover.roster import imports
from rollover.roster.columnar import columnar
from rollover.roster.comparing import rekeyed
from rollover.roster.comparing.breaches import Season
from rollover.roster.comparing.cohorts import school_cells
from rollover.roster.comparing.comparison import Cohort, Comparison, school_counts, type_counts
from rollover.roster.comparing.diff import write_differences
from rollover.roster.comparing.numbers import Numbers
from rollover.roster.comparing.safety import judge
from rollover.roster.comparing.tally import open_set, tally, without_enrollment
from rollover.roster.imports import Import, ImportDetails, ImportState
from rollover.roster.imports.details import Changes
from rollover.roster.imports.earlier import rows_before, seen_before
from rollover.roster.imports.model import IS_WHOLE, is_newer, supersede_older, write_decision
from rollover.roster.imports.roster_version import roster_version
from rollover.roster.validating import validate

log = logging.getLogger(__name__)

# The same choice as is made for a set: the year of the terms of most classes, else of the session of type schoolYear,
# else of most sessions.
# There are few different lists of terms.
LIVE_SCHOOL_YEAR = """
    WITH years AS (
        SELECT school_year, array_agg(sourced_id) AS session_ids, bool_or(type = 'schoolYear') AS is_whole
        FROM roster.academic_sessions WHERE status = 'active'
        GROUP BY school_year
    ), taught AS MATERIALIZED (
        SELECT term_ids, count(*) AS classes FROM roster.classes WHERE status = 'active' GROUP BY term_ids
    )
    SELECT school_year
    FROM years
    ORDER BY (SELECT coalesce(sum(classes), 0) FROM taught WHERE term_ids && session_ids) DESC, is_whole DESC,
             cardinality(session_ids) DESC, school_year DESC
    LIMIT 1
"""


def compare(engine: Engine, tenant_id: str, import_id: str, storage: UPath, limits: RosterLimits) -> Import:
    """Compare a set with the live roster and judge it: validated → ready, or in review.

    A set in review is compared again if the live roster has changed since, and may be ready then. A set of the next
    school year becomes ready too, and waits for the rollover. Returns the import, with its rows by table and change in
    ``details.changes`` and the rest in ``comparison``.
    """
    _validate_outdated(engine, tenant_id, import_id, storage)
    with columnar() as duck:
        # One snapshot for everything that is counted, and none for what is decided: others may move the import.
        with tenant_session(engine, tenant_id, isolation="REPEATABLE READ") as connection:
            found = imports.load(connection, import_id)
            if not _is_to_compare(connection, found):
                return found
            is_outdated = validate.is_outdated(connection, found)
            if not is_outdated:
                changes, seen = _look(connection, duck, found, storage, limits)
        if is_outdated:  # the live roster has changed again in between
            return compare(engine, tenant_id, import_id, storage, limits)
        with tenant_session(engine, tenant_id) as connection:
            lock_tenant(connection)
            now = imports.load(connection, import_id, for_update=True)
            if now.state == found.state and now.decision is None:
                _settle(connection, duck, now, changes, seen)
            return imports.load(connection, import_id)


def _validate_outdated(engine: Engine, tenant_id: str, import_id: str, storage: UPath) -> None:
    """Validate a set again that was completed from an older version of the live roster."""
    with tenant_session(engine, tenant_id) as connection:
        if not validate.is_outdated(connection, imports.load(connection, import_id)):
            return
        lock_tenant(connection)
        found = imports.load(connection, import_id, for_update=True)
        if _is_to_compare(connection, found) and validate.is_outdated(connection, found):
            validate.validate_again(connection, found, storage)


def refresh(connection: Connection, import_id: str, storage: UPath, limits: RosterLimits) -> Import:
    """Compare a ready set again if the live roster has changed since it was compared; returns the import as it is.

    A set that was completed from the live roster is validated again first. The caller is about to apply it, and holds
    the tenant's lock. An approval counts for the numbers that the person saw: if other numbers are over their limits,
    the set is in review again.
    """
    found = imports.load(connection, import_id, for_update=True)
    if found.state is not ImportState.READY or not _roster_has_changed(connection, found):
        return found
    found = validate.validate_again(connection, found, storage)
    if found.state is not ImportState.READY:
        return found
    with columnar() as duck:
        changes, seen = _look(connection, duck, found, storage, limits)
        _settle(connection, duck, found, changes, seen)
    return imports.load(connection, import_id)


def _is_to_compare(connection: Connection, found: Import) -> bool:
    if found.state is ImportState.IN_REVIEW:
        return _roster_has_changed(connection, found)
    return found.state is ImportState.VALIDATED


def _roster_has_changed(connection: Connection, found: Import) -> bool:
    """Whether the live roster has changed since the set was compared with it.

    False for files that are identical to those of the live import: they are not even staged.
    """
    if found.details.unchanged:
        return False
    seen = Comparison.of(found)
    version = None if seen is None else seen.roster_version
    return version != roster_version(connection) or validate.is_outdated(connection, found)


def _look(
    connection: Connection, duck: duckdb.DuckDBPyConnection, found: Import, storage: UPath, limits: RosterLimits
) -> tuple[Changes, Comparison]:
    """Count the changes and judge them; writes only the files of the differences."""
    changes = write_differences(connection, found.import_id, storage)
    with ExitStack() as files:
        open_set(duck, files, connection, storage, found.import_id, changes)
        rekeyed.find(duck, changes)
        counted = tally(duck, changes)
        in_no_class = without_enrollment(duck)
    live_year, set_year = _live_year(connection), _set_year(found)
    years = 0 if live_year is None else set_year.first_year - SchoolYear.parse(live_year).first_year
    known = frozenset(connection.scalars(select(directory.schools.c.school_id)))
    numbers = Numbers(
        _season(live_year, years),
        years,
        counted,
        known,
        seen_before(connection, found),
        found.rejected_rows,
        in_no_class,
        found.details.reading.cut_off,
        found.details.reading.other_status,
        rows_before(connection) if live_year is None else {},
    )
    breaches, warnings = judge(numbers, limits)
    cells = school_cells(numbers) if numbers.season is Season.NEW_YEAR else []
    return changes, Comparison(
        season=numbers.season,
        school_year=set_year.key,
        live_school_year=live_year,
        roster_version=roster_version(connection),
        types=type_counts(counted),
        schools=school_counts(counted),
        names={school_id: school.name for school_id, school in sorted(counted.schools.items())},
        cohorts=tuple(Cohort(cell.school, cell.grade, cell.expected, cell.found) for cell in cells if cell.school),
        breaches=tuple(breaches),
        warnings=tuple(warnings),
        id_map=rekeyed.summary(duck),
    )


def _live_year(connection: Connection) -> str | None:
    """The school year of the live roster; None if nothing is live."""
    if not connection.scalar(select(exists().where(roster.people.c.status == "active"))):
        return None
    said = connection.scalar(text(LIVE_SCHOOL_YEAR))
    return str(said or connection.scalar(select(directory.tenants.c.current_school_year)))


def _set_year(found: Import) -> SchoolYear:
    if found.school_year is None:
        raise Refused(f"The set of {found.import_id} is of no school year.", "ask for a set with academic sessions.")
    return SchoolYear.parse(found.school_year)


def _season(live_year: str | None, years: int) -> Season:
    if live_year is None:
        return Season.FIRST
    return Season.NEW_YEAR if years > 0 else Season.DURING_THE_YEAR


# Storing the result


def _settle(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    found: Import,
    changes: Changes,
    seen: Comparison,
) -> None:
    """Store a comparison, and advance the import by its result. The caller holds the tenant's lock."""
    before = Comparison.of(found)
    same_as_decided = found.decision is not None and before is not None and before.digest == seen.digest
    if not seen.breaches or same_as_decided:
        offered = before is not None and before.id_map_is_offered and same_as_decided
        seen = replace(seen, id_map_is_offered=offered)
        _store(connection, found, ImportState.READY, None, changes, seen, is_decided=same_as_decided)
        supersede_in_review(connection, found)
        return
    seen = replace(seen, id_map_is_offered=rekeyed.propose(connection, duck, found.import_id, seen.id_map))
    if newer := _overtaken_by(connection, found):
        reason = f"import {newer} is newer, and within its limits"
        _store(connection, found, ImportState.SUPERSEDED, reason, changes, seen)
    else:
        _store(connection, found, ImportState.IN_REVIEW, seen.why_in_review, changes, seen)
        log.info("%s is in review, %s", found.import_id, seen.why_in_review)


def _store(
    connection: Connection,
    found: Import,
    after: ImportState,
    reason: str | None,
    changes: Changes,
    seen: Comparison,
    *,
    is_decided: bool = False,
) -> None:
    imports.advance(
        connection,
        found,
        after,
        reason=reason,
        details=ImportDetails(changes=changes),
        comparison=seen.as_json(),
    )
    if found.decision is not None and not is_decided:
        write_decision(connection, found.import_id, None, None)


def supersede_in_review(connection: Connection, good: Import) -> None:
    """Supersede the older imports of the same school year that are in review: a newer good drop replaces them.

    A set of the next year waits for the rollover: until it is applied, it is no substitute for one of this year. One
    with a delta is no substitute for any.
    """
    rows = ledger.imports.c
    in_review = (rows.state == ImportState.IN_REVIEW, rows.school_year == good.school_year)
    reason = f"import {good.import_id} is newer, and within its limits or approved"
    supersede_older(connection, good, *in_review, reason=reason)


def _overtaken_by(connection: Connection, found: Import) -> str | None:
    """A newer import that became good while this one was compared: imports are worked on at the same time."""
    rows = ledger.imports.c
    return connection.scalar(
        select(rows.import_id)
        .where(
            IS_WHOLE,
            is_newer(found),
            or_(
                and_(rows.state == ImportState.READY, rows.school_year == found.school_year),
                and_(rows.state == ImportState.APPLIED, rows.school_year >= found.school_year),
            ),
        )
        .limit(1)
    )
