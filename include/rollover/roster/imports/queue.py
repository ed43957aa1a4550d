"""Finds the imports to work on, those that wait for others, and the one that a rollover waits for.

The newest import is the one that was found last: ``found_at`` rises with every drop of a tenant, whatever the clock
says (see :func:`rollover.sftp.drops.record`). Each `connection` is a tenant session.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, func, select

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import imports
from rollover.roster.imports.earlier import last_applied
from rollover.roster.imports.model import IS_WHOLE, TERMINAL, Import, ImportState, load

NEWEST_FIRST = (imports.c.found_at.desc(), imports.c.import_id.desc())


def pending(engine: Engine, tenant_id: str) -> list[str]:
    """The ids of a tenant's unfinished imports, oldest first: the work of a run, in its order."""
    with tenant_session(engine, tenant_id) as connection:
        return list(
            connection.scalars(
                select(imports.c.import_id)
                .where(imports.c.state.not_in(TERMINAL))
                .order_by(imports.c.found_at, imports.c.import_id)
            )
        )


def why_it_waits(connection: Connection, found: Import) -> str | None:
    """Why a set with a delta has to wait; None if it does not.

    A delta says what has changed since the sets before it, so it waits until each of them is finished, whatever they
    wait for: a person, the end of a pause, the rollover to the next year. It does not wait for imports that are older
    than the last whole set applied before it: that set has replaced them.
    """
    if found.is_whole:
        return None
    rows = imports.c
    whole = (
        select(func.max(rows.found_at))
        .where(rows.state == ImportState.APPLIED, IS_WHOLE, rows.found_at < found.found_at)
        .scalar_subquery()
    )
    first = connection.execute(
        select(rows.import_id, rows.state)
        .where(rows.state.not_in(TERMINAL), rows.found_at < found.found_at)
        .where(rows.found_at > func.coalesce(whole, func.to_timestamp(0)))
        .order_by(rows.found_at)
        .limit(1)
    ).one_or_none()
    return first and f"it is a delta, and the older import {first.import_id} is {first.state.replace('_', ' ')}"


def lets_another_go_on(engine: Engine, tenant_id: str, import_id: str) -> bool:
    """Whether an import is finished, and a newer one waited for it."""
    rows = imports.c
    with tenant_session(engine, tenant_id) as connection:
        ended = load(connection, import_id)
        if ended.state not in TERMINAL:
            return False
        next_delta = connection.scalar(
            select(rows.import_id)
            .where(rows.state == ImportState.STAGED, ~IS_WHOLE, rows.found_at > ended.found_at)
            .order_by(rows.found_at)
            .limit(1)
        )
        return next_delta is not None and why_it_waits(connection, load(connection, next_delta)) is None


def ready_import(connection: Connection, school_year: str) -> str | None:
    """The newest import of a school year that is ready to be applied; None if there is none."""
    return connection.scalar(
        select(imports.c.import_id)
        .where(imports.c.state == ImportState.READY, imports.c.school_year == school_year)
        .order_by(*NEWEST_FIRST)
        .limit(1)
    )


def awaited_import(connection: Connection, school_year: str) -> str | None:
    """The import that brings in a school year, for a rollover that waits for it; None while there is none.

    A ready set goes first: it may be the district's correction of one that was applied. An applied set counts, too:
    without it, a task that is killed right after applying would wait for ever.
    """
    if (ready := ready_import(connection, school_year)) is not None:
        return ready
    applied = last_applied(connection, school_year)
    return None if applied is None else applied.import_id
