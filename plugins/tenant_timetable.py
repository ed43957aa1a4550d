"""A schedule by asset events whose partition key is a tenant, e.g. ``hero__springfield-il``."""

from __future__ import annotations

from datetime import datetime

from airflow.exceptions import InvalidPartitionKeyError
from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.simple import PartitionedAssetTimetable

from rollover.tenant import Tenant


class TenantTimetable(PartitionedAssetTimetable):
    """Airflow's own, which also refuses to create a run by hand whose key is missing or is not a tenant."""

    def resolve_partition_date(self, partition_key: str | None) -> datetime | None:
        """None: a tenant has no date. Raises InvalidPartitionKeyError, which the API answers with 400."""
        try:
            Tenant.parse(partition_key or "")
        except ValueError as error:
            raise InvalidPartitionKeyError(
                f"{error}. Give the tenant as Partition Key (Trigger, Advanced Options)."
            ) from None
        return None


class TenantTimetablePlugin(AirflowPlugin):
    name = "tenant_timetable"
    timetables = [TenantTimetable]  # noqa: RUF012 - Airflow's own attribute
