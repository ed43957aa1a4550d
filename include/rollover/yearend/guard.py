"""What must hold before a rollover may begin, and can only be known on the day."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import time
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, update

from rollover.archive.keys import Keys
from rollover.calendar import SchoolYear, reset_instant
from rollover.certificate import signing
from rollover.config import Action
from rollover.database.held import not_held
from rollover.database.school_years import ensure_school_year
from rollover.database.session import tenant_session
from rollover.database.tables import product_tables
from rollover.database.tables.base import is_activity
from rollover.database.tables.directory import districts
from rollover.database.tables.ledger import rollovers as rollovers_table
from rollover.database.tables.roster import academic_sessions
from rollover.database.undeclared import refuse_undeclared
from rollover.errors import Refused
from rollover.ledger import rollovers
from rollover.ledger.results import Admission, Step
from rollover.ledger.rollovers import Rollover, RolloverState
from rollover.ledger.steps import finish
from rollover.run import Run
from rollover.yearend.plan import current_school_year

log = logging.getLogger(__name__)


def begin(run: Run, run_id: str, is_alive: Callable[[str], bool]) -> Admission:
    """The guard as a step: decides again each time it runs, and records the first admission."""
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        result = admit(connection, run, run_id, is_alive)
        if result.go:
            signing.read_key(run.signing_key)  # what could not be certified is not begun
            if run.product.classes(Action.ARCHIVE_OR_ERASE):
                Keys(run.archive_keys).to_write(run.tenant.id)  # nor what could not be archived as configured
        if result.go and not rollovers.is_done(connection, run, Step.GUARD):
            finish(connection, run, result, 0)
        return result


def admit(connection: Connection, run: Run, run_id: str, is_alive: Callable[[str], bool]) -> Admission:
    """Let a rollover in, let it go on, or say why not.

    ``go`` is False if the year is certified already. `is_alive` says whether another DAG run is still at work. Raises
    Refused with the reason otherwise.
    """
    known = rollovers.find(connection, run)
    if known is not None:
        if known.state == RolloverState.CERTIFIED:
            return _again(connection, run, run_id, known)
        return _go_on(connection, run, run_id, is_alive, known)
    _check_district(connection, run)
    refuse_undeclared(connection, run.product.product)
    current = SchoolYear.parse(_current_year(connection, run))
    if run.school_year > current:
        raise Refused(
            f"{run.school_year} has not begun for {run.tenant}: its current school year is {current}.",
            f"roll over {current} first.",
        )
    _check_other_rollovers(connection, run)
    _check_earlier_years(connection, run)
    _check_reached(run)
    if run.school_year == current:
        _check_rostering(connection, run)
    else:
        _check_past(run, current)
    ensure_school_year(connection, run.school_year.key)
    ensure_school_year(connection, run.school_year.next.key)
    connection.execute(
        insert(rollovers_table).values(
            tenant_id=run.tenant.id,
            rollover_id=run.id,
            school_year=run.school_year.key,
            reset_date=run.reset_date,
            reset_at=run.reset_at,
            is_current=run.school_year == current,
            state=RolloverState.RUNNING,
            run_id=run_id,
        )
    )
    is_current = run.school_year == current
    why = "the current school year" if is_current else f"a past year: archives or erases only ({current} is current)"
    log.info("%s begins: %s, as of %s", run.id, why, run.reset_date)
    return Admission(go=True, is_current=is_current, why=why)


def _again(connection: Connection, run: Run, run_id: str, known: Rollover) -> Admission:
    """Admit a certified year only if rows came late: a further plan archives or erases them, as in a past year."""
    if not _tables_with_rows(connection, run, run.school_year):
        why = f"{run.school_year} was rolled over and certified on {known.finished_at:%Y-%m-%d}; nothing to do."
        log.info(why)
        return Admission(go=False, is_current=known.is_current, why=why)
    _check_other_rollovers(connection, run)
    values = {"state": RolloverState.RUNNING, "is_current": False, "run_id": run_id}
    connection.execute(update(rollovers_table).where(rollovers_table.c.rollover_id == run.id).values(**values))
    why = "rows came late, after the certificate: they are archived or erased by a further plan"
    log.info("%s: %s", run.id, why)
    return Admission(go=True, is_current=False, why=why)


def _go_on(
    connection: Connection, run: Run, run_id: str, is_alive: Callable[[str], bool], known: Rollover
) -> Admission:
    by = known.run_id
    if by != run_id and is_alive(by):
        raise Refused(f"{run.id} is under way in the run {by}.", "wait for it, or mark it as failed first.")
    values: dict[str, Any] = {"run_id": run_id}
    if not rollovers.is_done(connection, run, Step.ERASE):
        _check_reached(run)
        if known.is_current:
            _check_rostering(connection, run)
        values |= {"reset_date": run.reset_date, "reset_at": run.reset_at}
    is_current, why = known.is_current, "goes on where the ledger says it stopped"
    if is_current and _is_resumed(connection, run) and _tables_with_rows(connection, run, run.school_year):
        is_current, why = False, "rows came late, after the new year began: they go by a further plan"
    values["is_current"] = is_current
    connection.execute(update(rollovers_table).where(rollovers_table.c.rollover_id == run.id).values(**values))
    log.info("%s: %s", run.id, why)
    return Admission(go=True, is_current=is_current, why=why)


def _is_resumed(connection: Connection, run: Run) -> bool:
    """Whether the sync was resumed: the tenant is then in its new year, even if the old one is not certified."""
    return rollovers.is_done(connection, run, Step.RESUME_SYNC)


def _check_district(connection: Connection, run: Run) -> None:
    expected = run.district.org_sourced_id
    found = connection.scalar(select(districts.c.org_sourced_id))
    if found != expected:
        raise Refused(
            f"The database knows {run.district.district} as '{found}', its file says '{expected}'.",
            "correct org_sourced_id in the district file, or the product_db connection.",
        )


def _current_year(connection: Connection, run: Run) -> str:
    year = current_school_year(connection)
    if year is None:
        raise Refused(f"The directory does not know the tenant {run.tenant}.", "add it to the directory.")
    return year


def _check_other_rollovers(connection: Connection, run: Run) -> None:
    other = connection.scalar(
        select(rollovers_table.c.rollover_id).where(rollovers_table.c.state == RolloverState.RUNNING).limit(1)
    )
    if other is not None:
        raise Refused(f"{other} is not finished.", "finish it first: two rollovers of a tenant never overlap.")


def _check_earlier_years(connection: Connection, run: Run) -> None:
    """Refuse while an earlier year has rows: Airflow's depends_on_past does not apply to partitioned runs."""
    for table in _activity_tables(run):
        oldest = connection.scalar(select(func.min(table.c.school_year)).where(not_held(table)))
        if oldest is not None and oldest < run.school_year.key:
            raise Refused(
                f"{oldest} of {run.tenant} still has rows in {table.fullname}: it was not rolled over.",
                f"backfill it first: airflow backfill create --dag-id {run.tenant.dag_id} "
                f"--from-date {SchoolYear.parse(oldest).starts_on} --to-date {run.school_year.previous.starts_on} "
                "--reprocess-behavior completed --max-active-runs 1",
            )


def _check_reached(run: Run) -> None:
    if run.now < run.reset_at:
        raise Refused(
            f"The reset date of {run.school_year} is {run.reset_date}; it is not reached.",
            "wait for the scheduled run, or agree on an earlier own date in the district file.",
        )


def _check_past(run: Run, current: SchoolYear) -> None:
    """Refuse a past year that Rollover itself should have rolled over: its accounts and points are still there."""
    if run.school_year >= run.config.first_school_year:
        raise Refused(
            f"The directory says that {run.tenant} is in {current}, but {run.school_year} was never rolled over.",
            f"set current_school_year in the directory back to {run.school_year}: only the reset step moves it on.",
        )


def _check_rostering(connection: Connection, run: Run) -> None:
    begins = run.facts.rostering_begins
    if begins and run.now >= reset_instant(begins, time(0), run.district.time_zone):
        raise Refused(
            f"Rostering of {run.school_year.next} began on {begins}, so {run.school_year} cannot be reset any more.",
            "find out whether it did; if not, correct rostering_begins in the district file.",
        )
    began = connection.scalar(
        select(func.count()).where(
            academic_sessions.c.status == "active", academic_sessions.c.school_year > run.school_year.key
        )
    )
    if began:
        raise Refused(
            f"Rostering of {run.school_year.next} has begun: its sessions are in the live roster.",
            "find out who imported it; `rollover status` names the last import.",
        )


def _tables_with_rows(connection: Connection, run: Run, year: SchoolYear) -> list[str]:
    counts = (
        (
            table.fullname,
            connection.scalar(select(func.count()).where(table.c.school_year == year.key, not_held(table))),
        )
        for table in _activity_tables(run)
    )
    return [name for name, rows in counts if rows]


def _activity_tables(run: Run) -> list[Table]:
    return [table for table in product_tables(run.product.product) if is_activity(table)]
