"""What must hold before a rollover may begin, and can only be known on the day."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from rollover import ledger
from rollover.calendar import SchoolYear
from rollover.database.school_years import ensure_school_year
from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables import product_tables
from rollover.database.tables.base import is_activity
from rollover.database.tables.directory import districts
from rollover.database.tables.ledger import rollovers
from rollover.database.tables.roster import academic_sessions
from rollover.errors import Refused
from rollover.plan import current_school_year
from rollover.run import Run

log = logging.getLogger(__name__)


def begin(run: Run, run_id: str, is_alive: Callable[[str], bool]) -> dict[str, Any]:
    """The guard as a step: decides anew each time it runs, and records the first admission."""
    with tenant_session(run.engine, run.tenant.id) as connection:
        lock_tenant(connection)
        result = admit(connection, run, run_id, is_alive)
        if result["go"] and ledger.result_of(connection, run, "guard") is None:
            ledger.finish(connection, run, "guard", result, 0)
        return result


def admit(connection: Connection, run: Run, run_id: str, is_alive: Callable[[str], bool]) -> dict[str, Any]:
    """Let a rollover in, let it go on, or say why not.

    Returns ``{"go": bool, "is_current": bool, "why": str}``; ``go`` is False where the year is certified already.
    `is_alive` tells whether another DAG run is still at work. Raises Refused with the reason otherwise.
    """
    known = connection.execute(select(rollovers).where(rollovers.c.rollover_id == run.id)).mappings().one_or_none()
    if known and known["state"] == "certified":
        why = f"{run.school_year} was rolled over and certified on {known['finished_at']:%Y-%m-%d}; nothing to do."
        log.info(why)
        return {"go": False, "is_current": known["is_current"], "why": why}
    if known:
        return _go_on(connection, run, run_id, is_alive, is_current=known["is_current"], by=known["run_id"])
    _check_district(connection, run)
    current = SchoolYear.parse(_current_year(connection, run))
    if run.school_year > current:
        raise Refused(
            f"{run.school_year} has not begun for {run.tenant}: its current school year is {current}.",
            f"roll over {current} first.",
        )
    _check_other_rollovers(connection, run)
    _check_earlier_years(connection, run)
    if run.school_year == current:
        _check_dates(connection, run)
    ensure_school_year(connection, run.school_year.key)
    ensure_school_year(connection, run.school_year.next.key)
    connection.execute(
        insert(rollovers).values(
            tenant_id=run.tenant.id,
            rollover_id=run.id,
            school_year=run.school_year.key,
            reset_date=run.reset_date,
            reset_at=run.reset_at,
            is_current=run.school_year == current,
            state="running",
            run_id=run_id,
        )
    )
    is_current = run.school_year == current
    why = "the current school year" if is_current else f"a past year: archives or erases only ({current} is current)"
    log.info("%s begins: %s, as of %s", run.id, why, run.reset_date)
    return {"go": True, "is_current": is_current, "why": why}


def _go_on(
    connection: Connection,
    run: Run,
    run_id: str,
    is_alive: Callable[[str], bool],
    *,
    is_current: bool,
    by: str,
) -> dict[str, Any]:
    if by != run_id and is_alive(by):
        raise Refused(f"{run.id} is under way in the run {by}.", "wait for it, or mark it as failed first.")
    connection.execute(update(rollovers).where(rollovers.c.rollover_id == run.id).values(run_id=run_id))
    why = "goes on where the ledger says it stopped"
    log.info("%s %s", run.id, why)
    return {"go": True, "is_current": is_current, "why": why}


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
    other = connection.scalar(select(rollovers.c.rollover_id).where(rollovers.c.state == "running").limit(1))
    if other is not None:
        raise Refused(f"{other} is not finished.", "finish it first: two rollovers of a tenant never overlap.")


def _check_earlier_years(connection: Connection, run: Run) -> None:
    """Airflow's depends_on_past does not hold for partitioned runs, so the ledger and the data answer."""
    for table in product_tables(run.product.product):
        if not is_activity(table):
            continue
        oldest = connection.scalar(select(func.min(table.c.school_year)))
        if oldest is not None and oldest < run.school_year.key:
            raise Refused(
                f"{oldest} of {run.tenant} still has rows in {table.fullname}: it was not rolled over.",
                f"backfill it first: airflow backfill create --dag-id {run.tenant.dag_id} "
                f"--from-date {SchoolYear.parse(oldest).starts_on} --to-date {run.school_year.previous.starts_on} "
                "--reprocess-behavior completed --max-active-runs 1",
            )


def _check_dates(connection: Connection, run: Run) -> None:
    if run.now < run.reset_at:
        raise Refused(
            f"The reset date of {run.school_year} is {run.reset_date}; it is not reached.",
            "wait for the scheduled run, or agree on an earlier own date in the district file.",
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
