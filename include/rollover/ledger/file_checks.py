"""Records when a tenant's files were last compared with the ledger. Each `connection` is a tenant session."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from rollover.database.tables.ledger import file_checks


def begin(connection: Connection) -> datetime:
    """The time at which a comparison begins, by the clock that dates the files."""
    at: datetime = connection.scalars(select(func.clock_timestamp())).one()
    return at


def record(connection: Connection, tenant_id: str, began_at: datetime, *, differs: bool) -> None:
    """Record a comparison, and whether it found a difference. What is written after `began_at` is compared again."""
    values = {"checked_at": began_at, "differs": differs}
    statement = insert(file_checks).values(tenant_id=tenant_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=values))
