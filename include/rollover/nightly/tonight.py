"""Decides what is due tonight: the ledger's times against the days in the district and product files.

The ledger is asked once for all tenants. A tenant without anything due is not opened, and a task without such a tenant
is not started.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Engine
from upath import UPath

from rollover.config import Catalog, District, Product, TenantConfig
from rollover.ledger import due
from rollover.ledger.due import Due, Kind
from rollover.season.overdue import overdue_pauses
from rollover.sftp.outbox import Outbox
from rollover.tenant import Tenant

NIGHTS = 7
"""In so many nights each tenant's files are compared with the ledger once, whether or not any have changed."""
LATE = timedelta(days=NIGHTS, hours=12)
"""If the last comparison is older, a night was left out or a server was down: the next night makes up for it."""

DAYS: Mapping[Kind, Callable[[Product, TenantConfig], int]] = {
    Kind.ROSTER_ROWS: lambda product, config: product.grace_days_of(config),
    Kind.REPORTS: lambda product, config: product.grace_days_of(config),
    Kind.EXPORTS: lambda product, config: product.exports_kept_days_of(config),
}
"""After how many days work of a kind is due; of other kinds, it is due when it is there."""

WAKE, TIDY, REPORT, STRAY_FILES, OVERDUE_PAUSES = "wake", "tidy", "report", "stray_files", "overdue_pauses"
TASKS: Mapping[str, tuple[Kind, ...]] = {
    WAKE: (Kind.IMPORT,),
    TIDY: (Kind.IMPORT_FILES, Kind.ROSTER_ROWS, Kind.EXPORTS, Kind.REPORTS),
    REPORT: (Kind.OUTDATED_REPORT,),
    STRAY_FILES: (Kind.FILES_CHANGED, Kind.FILES_CHECKED),
    OVERDUE_PAUSES: (Kind.PAUSE,),
}
"""The tasks of `roster_sync`, and the kinds of work that each does."""


@dataclass(frozen=True)
class Night:
    """The arguments of every nightly task. `day` is the day of its run: a run that is repeated has the same."""

    engine: Engine
    known: Catalog
    storage: UPath
    outbox_of: Callable[[District], AbstractContextManager[Outbox]]
    now: datetime
    day: date

    def days(self, tenant: Tenant, kind: Kind) -> int:
        """After how many days work of one of the kinds in `DAYS` is due for a tenant."""
        district, product = self.known.districts[tenant.district], self.known.products[tenant.product]
        return DAYS[kind](product, district.uses(tenant.product))


def tasks_due(night: Night) -> list[str]:
    """The tasks that have something to do tonight, in one query."""
    found = due.read(night.engine, *(kind for kinds in TASKS.values() for kind in kinds))
    return [task for task in TASKS if _work(night, found, task)]


def work_due(night: Night, task: str) -> dict[Tenant, list[Due]]:
    """The tenants for which a task has something to do, with what is due for each, in a stable order."""
    return _work(night, due.read(night.engine, *TASKS[task]), task)


def is_turn(tenant: Tenant, day: date) -> bool:
    """Whether a tenant's files are compared on a day because it is its turn: once in any `NIGHTS` days in a row."""
    digest = hashlib.sha256(tenant.id.encode()).digest()
    return int.from_bytes(digest[:8]) % NIGHTS == day.toordinal() % NIGHTS


def _work(night: Night, found: Iterable[Due], task: str) -> dict[Tenant, list[Due]]:
    work: dict[str, list[Due]] = {tenant.id: [] for tenant in night.known.tenants}
    parts = [each for each in found if each.kind in TASKS[task] and each.tenant_id in work]
    for each in overdue_pauses(parts, night.known, night.now) if task == OVERDUE_PAUSES else parts:
        if _is_due(night, each):
            work[each.tenant_id].append(each)
    in_turn = {tenant for tenant in night.known.tenants if task == STRAY_FILES and is_turn(tenant, night.day)}
    return {tenant: work[tenant.id] for tenant in night.known.tenants if work[tenant.id] or tenant in in_turn}


def _is_due(night: Night, found: Due) -> bool:
    if found.kind is Kind.FILES_CHECKED:
        return found.at is not None and found.at < night.now - LATE
    if found.kind not in DAYS:
        return True
    days = night.days(Tenant.parse(found.tenant_id), found.kind)
    return found.at is not None and found.at < night.now - timedelta(days=days)
