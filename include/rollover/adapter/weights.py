"""Says whose tasks go first where Airflow's places are few."""

from __future__ import annotations

from functools import lru_cache

from rollover.adapter.runs import catalog, district_of
from rollover.config.load import files_in
from rollover.settings import Settings
from rollover.tenant import Tenant


def weight_of(tenant_id: str) -> int:
    """The weight of a tenant's tasks: see `District.weight`. A district file is read once, and again when it changes.

    Raises ValueError for an id that is no tenant's, and Refused if no valid district file lists the tenant.
    """
    tenant = Tenant.parse(tenant_id)
    files = files_in(Settings().districts, tenant.district)
    return _read(tenant, tuple(file.stat().st_mtime_ns for file in files))


@lru_cache(maxsize=10_000)
def _read(tenant: Tenant, _changed_at: tuple[int, ...]) -> int:
    return district_of(catalog(only=tenant.district), tenant).weight
