"""Finds the pauses of the roster sync that last too long."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Engine

from rollover.calendar import utc_minute
from rollover.config import Catalog
from rollover.errors import Refused
from rollover.ledger import due
from rollover.ledger.due import Due, Kind
from rollover.tenant import Tenant


def refuse_overdue_pauses(engine: Engine, known: Catalog, now: datetime) -> None:
    """Raise Refused, naming every tenant whose sync has been paused for longer than its ``pause_max_days``.

    Changes nothing: a pause never ends by itself, so the same error is raised every time until somebody ends it.
    """
    if overdue := [_sentence(found, known, now) for found in overdue_pauses(due.read(engine, Kind.PAUSE), known, now)]:
        raise Refused(
            f"The roster sync is paused for too long: {'; '.join(overdue)}.",
            "finish the rollover that paused it (its run in Airflow shows which task waits or has failed), or let the "
            'sync go on without it: rollover resume <tenant> --reason "…".',
        )


def overdue_pauses(found: Iterable[Due], known: Catalog, now: datetime) -> list[Due]:
    """Those of the open pauses that last too long, of the tenants that a district file lists."""
    listed = {tenant.id for tenant in known.tenants}
    return [
        each
        for each in found
        if each.kind is Kind.PAUSE
        and each.tenant_id in listed
        and each.at is not None
        and now - each.at > timedelta(days=_max_days(known, each))
    ]


def _max_days(known: Catalog, found: Due) -> int:
    tenant = Tenant.parse(found.tenant_id)
    config = known.districts[tenant.district].uses(tenant.product)
    return known.products[tenant.product].pause_max_days_of(config)


def _sentence(found: Due, known: Catalog, now: datetime) -> str:
    assert found.at is not None
    return (
        f"{found.tenant_id} since {utc_minute(found.at)} by {found.about} "
        f"({(now - found.at).days} days; {_max_days(known, found)} are allowed)"
    )
