"""The pause of a tenant's roster sync: a recorded lease. It ends when the new roster is verified, or by a person.

After a failure it stays: a sync that meets a half-reset tenant would bring last year back.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.database.tables.ledger import pauses
from rollover.errors import Refused
from rollover.ledger import evidence
from rollover.tenant import Tenant


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


def end_by_hand(connection: Connection, tenant_id: str, *, by: str, reason: str) -> dict[str, Any]:
    """End the open pause because a person says so, and record that as evidence. The caller holds the tenant's lock."""
    result = end(connection, by=by)
    if result["was_paused"]:
        evidence.record(connection, tenant_id, "resumed_by_hand", {**result, "why": reason}, None)
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
    if lease is None or now - lease["paused_at"] <= timedelta(days=max_days):
        return None
    since = lease["paused_at"].astimezone(UTC)
    return (
        f"{tenant_id} since {since:%Y-%m-%d %H:%M} UTC by {lease['paused_by']} "
        f"({(now - since).days} days; {max_days} are allowed)"
    )


def _facts(lease: dict[str, Any]) -> dict[str, Any]:
    return {
        "pause": lease["pause_id"],
        "paused_by": lease["paused_by"],
        "reason": lease["reason"],
        "paused_at": lease["paused_at"].isoformat(timespec="seconds"),
    }
