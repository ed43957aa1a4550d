"""Which imports there are to work on, which one a rollover waits for, and which one is live.

The newest import is the one that was found last: ``found_at`` rises with every drop of a tenant, whatever the clock
says (see :func:`rollover.drops.record`).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Engine, RowMapping, select

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import imports
from rollover.roster.imports import SAME_AS, TERMINAL

NEWEST_FIRST = (imports.c.found_at.desc(), imports.c.import_id.desc())


def pending(engine: Engine, tenant_id: str) -> list[str]:
    """The ids of a tenant's imports that are not at an end, oldest first: the work of a run, in its order."""
    with tenant_session(engine, tenant_id) as connection:
        return list(
            connection.scalars(
                select(imports.c.import_id)
                .where(imports.c.state.not_in(TERMINAL))
                .order_by(imports.c.found_at, imports.c.import_id)
            )
        )


def tenants_with_work(engine: Engine, tenant_ids: Iterable[str]) -> list[str]:
    """The tenants whose ledger lists an import that is not at its end."""
    return [tenant_id for tenant_id in tenant_ids if pending(engine, tenant_id)]


def ready_import(connection: Connection, school_year: str) -> str | None:
    """The newest import of a school year that is ready to be applied; None where there is none.

    `connection` is a tenant session.
    """
    return connection.scalar(
        select(imports.c.import_id)
        .where(imports.c.state == "ready", imports.c.school_year == school_year)
        .order_by(*NEWEST_FIRST)
        .limit(1)
    )


def last_applied(connection: Connection, school_year: str) -> RowMapping | None:
    """``import_id`` and ``counts`` of the import of a school year that is live; None where none was applied.

    It is the newest of those applied, since applying passes over a set that is older. `connection` is a tenant
    session.
    """
    query = (
        select(imports.c.import_id, imports.c.counts)
        .where(imports.c.state == "applied", imports.c.school_year == school_year)
        .order_by(*NEWEST_FIRST)
        .limit(1)
    )
    return connection.execute(query).mappings().one_or_none()


def set_of(applied: RowMapping) -> str:
    """The import whose staged files hold the rows of one that was applied: its own, or those of an equal set."""
    return str(applied["counts"].get(SAME_AS, applied["import_id"]))


def awaited_import(connection: Connection, school_year: str) -> str | None:
    """The import that brings in a school year, for a rollover that waits for it; None while there is none.

    A set that is ready goes first: it may be the district's correction of one that was applied. One that was
    applied counts too, or a task killed right after it would wait for ever. `connection` is a tenant session.
    """
    if (ready := ready_import(connection, school_year)) is not None:
        return ready
    applied = last_applied(connection, school_year)
    return None if applied is None else str(applied["import_id"])
