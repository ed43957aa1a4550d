"""Make a ready set the live roster, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, select
from upath import UPath

from rollover.config import RosterLimits
from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables import directory, ledger
from rollover.errors import Refused
from rollover.roster import imports
from rollover.roster.applying.merge import merge
from rollover.roster.columnar import in_one_duckdb
from rollover.roster.comparing import compare
from rollover.roster.comparing.diff import Counts
from rollover.roster.imports import Import, ImportDetails, ImportState
from rollover.roster.imports.details import Applied
from rollover.roster.imports.earlier import same_set
from rollover.roster.imports.model import IS_WHOLE, TERMINAL, is_newer, supersede_older
from rollover.roster.imports.queue import why_it_waits


@dataclass(frozen=True)
class ApplyResult:
    """An import after :func:`apply`. If it was not applied, its `reason` says why."""

    found: Import
    applied: bool

    def as_json(self) -> dict[str, Any]:
        """What the task returns to Airflow."""
        return {**self.found.as_json(), "applied": self.applied}


def apply(
    engine: Engine, tenant_id: str, import_id: str, storage: UPath, limits: RosterLimits, *, rollover_id: str | None
) -> ApplyResult:
    """Merge a ready set into the live roster and provision accounts: ready → applied.

    New rows are added, rows with another hash changed, rows that are missing become ``tobedeleted`` and come back to
    ``active`` when they reappear. The first set of a new school year first notes every student's grade. A person's
    decision in review is followed: additions only, or with the ids of re-keyed people changed first. A set whose files
    are already live changes no row.

    Returns the import, and whether it is applied. It is not, and the set stays ``ready``, while the sync is paused and
    `rollover_id` is None (only a rollover imports then), while the set is of a later school year than the tenant, and
    while one with a delta waits for an older import. A set of an earlier year, or with a newer whole one of its year
    applied (or ready, unless a rollover waited for this one), becomes ``superseded``. A set that was validated over or
    compared with another roster than the one that is live now is validated and compared again, and may be ``in_review``
    or ``rejected``. Raises Refused for an import that is not ready yet.
    """
    with tenant_session(engine, tenant_id) as connection:
        lock_tenant(connection)
        found = imports.load(connection, import_id, for_update=True)
        if found.state in (*TERMINAL, ImportState.IN_REVIEW):
            return ApplyResult(found, found.state is ImportState.APPLIED)
        if found.state is not ImportState.READY or found.school_year is None:
            raise Refused(
                f"Import {import_id} is {found.state}, not ready.", "run fetch, stage, validate and compare first."
            )
        if kept := _why_kept(connection, tenant_id, found, rollover_id):
            return ApplyResult(replace(found, reason=kept), False)
        if superseded := _why_superseded(connection, tenant_id, found, rollover_id):
            imports.advance(connection, found, ImportState.SUPERSEDED, reason=superseded)
            return ApplyResult(imports.load(connection, import_id), False)
        if found.details.unchanged:
            return _apply_unchanged(connection, found)
        with in_one_duckdb():
            found = compare.refresh(connection, import_id, storage, limits)
            if found.state is not ImportState.READY:
                return ApplyResult(found, False)
            return _finish(connection, found, merge(connection, tenant_id, found, storage))


# Whether it goes live at all


def _current_year(connection: Connection, tenant_id: str) -> str:
    tenants = directory.tenants.c
    query = select(tenants.current_school_year).where(tenants.tenant_id == tenant_id)
    return str(connection.execute(query).scalar_one())


def _why_kept(connection: Connection, tenant_id: str, found: Import, rollover_id: str | None) -> str | None:
    pauses = ledger.pauses.c
    pause = connection.execute(select(pauses.paused_by, pauses.reason).where(pauses.ended_at.is_(None))).first()
    if pause is not None and rollover_id is None:
        return f"paused by {pause.paused_by}: {pause.reason}"
    current = _current_year(connection, tenant_id)
    if str(found.school_year) > current:
        return f"kept for the rollover: the set is of {found.school_year}, the tenant is in {current}"
    return why_it_waits(connection, found)


def _why_superseded(connection: Connection, tenant_id: str, found: Import, rollover_id: str | None) -> str | None:
    current = _current_year(connection, tenant_id)
    if str(found.school_year) < current:
        return f"of {found.school_year}, a school year that is over: the tenant is in {current}"
    rows = ledger.imports.c
    # A rollover takes the set that it waited for; one that got ready meanwhile follows when the sync resumes.
    overtaking = [ImportState.APPLIED] if rollover_id else [ImportState.APPLIED, ImportState.READY]
    newer = connection.scalar(
        select(rows.import_id)
        .where(rows.state.in_(overtaking), rows.school_year == found.school_year, IS_WHOLE)
        .where(is_newer(found))
        .limit(1)
    )
    return None if newer is None else f"import {newer} of the same school year is newer"


def _finish(connection: Connection, found: Import, details: ImportDetails) -> ApplyResult:
    """Record that a set is applied, and supersede older sets of its or an earlier school year."""
    imports.advance(connection, found, ImportState.APPLIED, details=details)
    rows = ledger.imports.c
    waiting = (rows.state.in_((ImportState.READY, ImportState.IN_REVIEW)), rows.school_year <= found.school_year)
    supersede_older(connection, found, *waiting, reason=f"import {found.import_id} is newer and applied")
    return ApplyResult(imports.load(connection, found.import_id), True)


def _apply_unchanged(connection: Connection, found: Import) -> ApplyResult:
    """Apply a set whose files are already live: it changes nothing. If the live roster has changed since, begin
    again."""
    same = same_set(connection, found)
    if same is None:
        imports.advance(connection, found, ImportState.FETCHED, details=ImportDetails(unchanged=False))
        reason = "the live roster has changed since: its files are staged and compared now"
        return ApplyResult(replace(imports.load(connection, found.import_id), reason=reason), False)
    applied = Applied(same_as=same.details.applied.same_as or same.import_id, provisioned={})
    changes = {name: _all_unchanged(each) for name, each in same.details.changes.items()}
    return _finish(connection, found, ImportDetails(changes=changes, applied=applied))


def _all_unchanged(counts: Counts) -> Counts:
    """The counts of a comparison of a set that is already live."""
    rows = sum(rows for change, rows in counts.items() if change != "removed")
    return {**dict.fromkeys(counts, 0), "unchanged": rows}
