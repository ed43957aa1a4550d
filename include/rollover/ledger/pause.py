"""The pause of a tenant's roster sync, as the ledger has it. It ends when the new roster is verified, or by a person.

After a failure it stays: a sync that meets a half-reset tenant would bring last year back.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from rollover.database.tables.ledger import pauses
from rollover.ledger import evidence
from rollover.ledger.results import Paused, Resumed


@dataclass(frozen=True)
class Pause:
    """Who paused the sync, why, and since when."""

    pause_id: int
    paused_by: str
    reason: str
    paused_at: datetime

    def as_result(self) -> Paused:
        return Paused(
            pause=self.pause_id,
            paused_by=self.paused_by,
            reason=self.reason,
            paused_at=self.paused_at.isoformat(timespec="seconds"),
        )


def current(connection: Connection) -> Pause | None:
    """The open pause of the session's tenant, if there is one."""
    columns = [pauses.c[field.name] for field in fields(Pause)]
    row = connection.execute(select(*columns).where(pauses.c.ended_at.is_(None))).one_or_none()
    return Pause(**row._mapping) if row else None


def begin(connection: Connection, tenant_id: str, *, by: str, reason: str) -> Paused:
    """Pause, or join a pause that is open. The caller holds the tenant's lock, so no import is under way."""
    if current(connection) is None:
        connection.execute(insert(pauses).values(tenant_id=tenant_id, paused_by=by, reason=reason))
    pause = current(connection)
    assert pause is not None
    return pause.as_result()


def end(connection: Connection, *, by: str) -> Resumed:
    """End the open pause; if there is none, the result says so and nothing else happens."""
    pause = current(connection)
    if pause is None:
        return Resumed(was_paused=False)
    connection.execute(
        update(pauses).where(pauses.c.pause_id == pause.pause_id).values(ended_by=by, ended_at=func.clock_timestamp())
    )
    return Resumed(was_paused=True, **pause.as_result().as_json(), ended_by=by)


def end_by_hand(connection: Connection, tenant_id: str, *, by: str, reason: str) -> Resumed:
    """End the open pause because a person says so, and record that as evidence. The caller holds the tenant's lock."""
    result = end(connection, by=by)
    if result.was_paused:
        evidence.record(connection, tenant_id, "resumed_by_hand", {**result.as_json(), "why": reason}, None)
    return result
