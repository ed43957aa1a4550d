"""Finds the pauses of the roster sync that last too long."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine

from rollover.calendar import utc_minute
from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import pause
from rollover.tenant import Tenant


def refuse_overdue_pauses(engine: Engine, known: Catalog, now: datetime) -> None:
    """Raise Refused, naming every tenant whose sync has been paused for longer than its ``pause_max_days``.

    Changes nothing: a pause never ends by itself, so the same error is raised every time until somebody ends it.
    """
    found = [_overdue(engine, tenant.id, _max_days(known, tenant), now) for tenant in known.tenants]
    if overdue := [sentence for sentence in found if sentence]:
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
        found = pause.current(connection)
    if found is None or now - found.paused_at <= timedelta(days=max_days):
        return None
    return (
        f"{tenant_id} since {utc_minute(found.paused_at)} by {found.paused_by} "
        f"({(now - found.paused_at).days} days; {max_days} are allowed)"
    )
