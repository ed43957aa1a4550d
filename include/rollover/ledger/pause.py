"""The pause of a tenant's roster sync: a recorded lease. It ends when the new roster is verified, or by a person.

After a failure it stays: a sync that meets a half-reset tenant would bring last year back.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.database.tables.ledger import pauses
from rollover.errors import Refused
from rollover.ledger import evidence
from rollover.ledger.results import Paused, Resumed
from rollover.tenant import Tenant


@dataclass(frozen=True)
class Pause:
    """A recorded lease: who paused the sync, why, and since when."""

    pause_id: int
    paused_by: str
    reason: str
    paused_at: datetime

    def as_result(self) -> dict[str, Any]:
        return {
            "pause": self.pause_id,
            "paused_by": self.paused_by,
            "reason": self.reason,
            "paused_at": self.paused_at.isoformat(timespec="seconds"),
        }


def current(connection: Connection) -> Pause | None:
    """The open pause of the session's tenant, if there is one."""
    columns = [pauses.c[field.name] for field in fields(Pause)]
    row = connection.execute(select(*columns).where(pauses.c.ended_at.is_(None))).one_or_none()
    return Pause(**row._mapping) if row else None


def begin(connection: Connection, tenant_id: str, *, by: str, reason: str) -> Paused:
    """Pause, or join a pause that is open. The caller holds the tenant's lock, so no import is under way."""
    if current(connection) is None:
        connection.execute(insert(pauses).values(tenant_id=tenant_id, paused_by=by, reason=reason))
    lease = current(connection)
    assert lease is not None
    return Paused(**lease.as_result())


def end(connection: Connection, *, by: str) -> Resumed:
    """End the open pause; if there is none, the result says so and nothing else happens."""
    lease = current(connection)
    if lease is None:
        return Resumed(was_paused=False)
    connection.execute(
        update(pauses).where(pauses.c.pause_id == lease.pause_id).values(ended_by=by, ended_at=func.clock_timestamp())
    )
    return Resumed(was_paused=True, **lease.as_result(), ended_by=by)


def end_by_hand(connection: Connection, tenant_id: str, *, by: str, reason: str) -> Resumed:
    """End the open pause because a person says so, and record that as evidence. The caller holds the tenant's lock."""
    result = end(connection, by=by)
    if result.was_paused:
        evidence.record(connection, tenant_id, "resumed_by_hand", {**result.as_json(), "why": reason}, None)
    return result


def refuse_overdue(engine: Engine, known: Catalog, now: datetime) -> None:
    """Raise Refused, naming every tenant whose pause has lasted longer than its ``pause_max_days``.

    Changes nothing: a pause never ends by itself, so the same is said again whenever it is asked.
    """
    found = [_overdue(engine, tenant.id, _max_days(known, tenant), now) for tenant in known.tenants]
    if overdue := [said for said in found if said]:
        raise Refused(
            f"The roster sync is paused for too long: {'; '.join(overdue)}.",
            "finish the rollover that paused it (its run in Airflow shows which task waits or has failed), or let the "
            'sync go on without it: rollover resume <tenant> --reason "…".',
        )


def _max_days(known: Catalog, tenant: Tenant) -> int:
    config = known.districts[tenant.district].uses(tenant.product)
    return known.products[tenant.product].pause_max_days_of(config)


def _overdue(engine: Engine, tenant_id: str, max_days: int, now: datetime) -> str | None:
    with tenant_session(engine, tenant_id) as connection:
        lease = current(connection)
    if lease is None or now - lease.paused_at <= timedelta(days=max_days):
        return None
    since = lease.paused_at.astimezone(UTC)
    return (
        f"{tenant_id} since {since:%Y-%m-%d %H:%M} UTC by {lease.paused_by} "
        f"({(now - since).days} days; {max_days} are allowed)"
    )
