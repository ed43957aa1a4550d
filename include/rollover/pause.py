"""The pause of a tenant's roster sync: a recorded lease. It ends when the new roster is verified, or by a person.

After a failure it stays: a sync that meets a half-reset tenant would bring last year back.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from rollover.database.tables.ledger import pauses


def current(connection: Connection) -> dict[str, Any] | None:
    """The open pause of the session's tenant, if there is one."""
    row = connection.execute(select(pauses).where(pauses.c.ended_at.is_(None))).mappings().one_or_none()
    return dict(row) if row else None


def begin(connection: Connection, tenant_id: str, *, by: str, reason: str) -> dict[str, Any]:
    """Pause, or join a pause that is open. The caller holds the tenant's lock, so no import is under way."""
    if current(connection) is None:
        connection.execute(insert(pauses).values(tenant_id=tenant_id, paused_by=by, reason=reason))
    lease = current(connection)
    assert lease is not None
    return _facts(lease)


def end(connection: Connection, *, by: str) -> dict[str, Any]:
    """End the open pause; where there is none, that is said and nothing else happens."""
    lease = current(connection)
    if lease is None:
        return {"was_paused": False}
    connection.execute(
        update(pauses)
        .where(pauses.c.pause_id == lease["pause_id"])
        .values(ended_by=by, ended_at=func.clock_timestamp())
    )
    return {"was_paused": True, **_facts(lease), "ended_by": by}


def _facts(lease: dict[str, Any]) -> dict[str, Any]:
    return {
        "paused_by": lease["paused_by"],
        "reason": lease["reason"],
        "paused_at": lease["paused_at"].isoformat(timespec="seconds"),
    }
