"""Make a ready set the live roster, in one transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, func, literal, select, tuple_, update
from upath import UPath

from rollover.config import RosterLimits
from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables import directory, ledger
from rollover.errors import Refused
from rollover.roster import imports
from rollover.roster.applying.merge import merge
from rollover.roster.comparing import compare
from rollover.roster.comparing.diff import Counts
from rollover.roster.imports import Import
from rollover.roster.pending import why_it_waits


def apply(
    engine: Engine, tenant_id: str, import_id: str, storage: UPath, limits: RosterLimits, *, rollover_id: str | None
) -> dict[str, Any]:
    """Merge a ready set into the live roster and provision accounts: ready → applied.

    New rows are added, rows with another hash changed, rows that are missing become ``tobedeleted`` and come back to
    ``active`` when they reappear. The first set of a new school year first notes every student's grade. What a person
    decided about a set that was held is honored: its additions only, or with the ids of re-keyed people changed first.
    A set whose files are those that are live touches no row.

    Returns the import's summary with ``applied``. It is False, and the set stays ``ready``, while the sync is
    paused and `rollover_id` is None (only a rollover imports then), while the set is of a later school year
    than the tenant, and while one with a delta waits for an older import. A set of an earlier year, or with a newer
    whole one of its year applied (or ready, unless a rollover waited for this one), becomes ``superseded``. One that
    was validated over or compared with another roster than the one that is live now is validated and compared again,
    and may be ``held`` or ``rejected``. Raises Refused for an import that is not ready yet.
    """
    with tenant_session(engine, tenant_id) as connection:
        lock_tenant(connection)
        found = imports.load(connection, import_id, for_update=True)
        if found.state in imports.TERMINAL or found.state == "held":
            return found.summary() | {"applied": found.state == "applied"}
        if found.state != "ready" or found.school_year is None:
            raise Refused(
                f"Import {import_id} is {found.state}, not ready.", "run fetch, stage, validate and compare first."
            )
        if kept := _why_kept(connection, tenant_id, found, rollover_id):
            return found.summary() | {"applied": False, "reason": kept}
        if superseded := _why_superseded(connection, tenant_id, found, rollover_id):
            imports.advance(connection, import_id, before="ready", after="superseded", reason=superseded)
            return imports.load(connection, import_id).summary() | {"applied": False}
        if found.counts.get(imports.UNCHANGED):
            return _apply_unchanged(connection, found)
        found = compare.refresh(connection, import_id, storage, limits)
        if found.state != "ready":
            return found.summary() | {"applied": False}
        counts = merge(connection, tenant_id, found, storage)
        imports.advance(connection, import_id, before="ready", after="applied", counts=counts)
        _supersede_older(connection, found)
        return imports.load(connection, import_id).summary() | {"applied": True}


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
    overtaking = ("applied", "ready") if rollover_id is None else ("applied",)
    newer = connection.scalar(
        select(rows.import_id)
        .where(rows.state.in_(overtaking), rows.school_year == found.school_year, imports.IS_WHOLE)
        .where(tuple_(rows.found_at, rows.import_id) > (found.found_at, found.import_id))
        .limit(1)
    )
    return None if newer is None else f"import {newer} of the same school year is newer"


def _supersede_older(connection: Connection, applied: Import) -> None:
    """Older sets of this or an earlier school year can never be applied any more, unless this one is no whole set."""
    if not applied.is_whole:
        return
    rows = ledger.imports.c
    connection.execute(
        update(ledger.imports)
        .where(rows.state.in_(("ready", "held")), rows.school_year <= applied.school_year)
        .where(tuple_(rows.found_at, rows.import_id) < (applied.found_at, applied.import_id))
        .values(
            state="superseded",
            reason=literal(f"import {applied.import_id} is newer and applied"),
            changed_at=func.clock_timestamp(),
        )
    )


def _apply_unchanged(connection: Connection, found: Import) -> dict[str, Any]:
    """Files that are those of the live roster have nothing to change; if these are others now, begin again."""
    same = imports.same_set(connection, found)
    if same is None:
        imports.advance(connection, found.import_id, before="ready", after="fetched", counts={imports.UNCHANGED: False})
        reason = "the live roster has changed since: its files are staged and compared now"
        return imports.load(connection, found.import_id).summary() | {"applied": False, "reason": reason}
    counts = {
        imports.SAME_AS: same.counts.get(imports.SAME_AS, same.import_id),
        "changes": {name: _all_unchanged(each) for name, each in same.counts["changes"].items()},
        "provisioned": {},
    }
    imports.advance(connection, found.import_id, before="ready", after="applied", counts=counts)
    _supersede_older(connection, found)
    return imports.load(connection, found.import_id).summary() | {"applied": True}


def _all_unchanged(counts: Counts) -> Counts:
    """What comparing a set would say that is live already."""
    rows = sum(rows for change, rows in counts.items() if change != "removed")
    return {**dict.fromkeys(counts, 0), "unchanged": rows}
