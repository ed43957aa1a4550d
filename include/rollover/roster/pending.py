"""Which imports there are to work on."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import imports
from rollover.roster.imports import TERMINAL


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


def ready_import(connection: Connection, school_year: str) -> str | None:
    """The newest import of a school year that is ready to be applied; None where there is none.

    `connection` is a tenant session.
    """
    return connection.scalar(
        select(imports.c.import_id)
        .where(imports.c.state == "ready", imports.c.school_year == school_year)
        .order_by(imports.c.found_at.desc(), imports.c.import_id.desc())
        .limit(1)
    )
