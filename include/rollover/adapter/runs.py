"""Opens the rollover that a task works on, by the DAG and the partition key of its run."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from rollover.adapter.connections import engine
from rollover.calendar import SchoolYear
from rollover.config import Catalog, District
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import rollovers
from rollover.lint import load_catalog
from rollover.run import Run
from rollover.settings import Settings
from rollover.tenant import SEPARATOR, Tenant

UNFINISHED = frozenset({"queued", "running"})


def clock() -> datetime:
    """The time of a run, which reads the clock here and nowhere else."""
    return datetime.now(UTC)


def catalog(*, only: str | None = None) -> Catalog:
    """The valid district and product files; with `only`, the id of a district, only the file of that district."""
    settings = Settings()
    return load_catalog(settings.districts, settings.products, only=only)


def open_run(partition_key: str | None, tenant_id: str) -> Run:
    """The argument of every step of a rollover. Raises Refused if the run's key is no school year."""
    try:
        school_year = SchoolYear.parse(partition_key or "")
    except ValueError:
        raise Refused(
            f"The run of {tenant_id} has no school year as its partition key.",
            "start it with one: Trigger, Advanced Options, Partition Key, like 2025-26.",
        ) from None
    tenant, settings = Tenant.parse(tenant_id), Settings()
    known = catalog(only=tenant.district)
    return Run(
        engine=engine(),
        tenant=tenant,
        school_year=school_year,
        district=district_of(known, tenant),
        product=known.products[tenant.product],
        storage=settings.storage_root,
        now=clock(),
        signing_key=settings.signing_key,
        archive_keys=settings.archive_keys,
        backup_days=settings.backup_days,
    )


def open_rollover(rollover_id: str) -> Run:
    """The argument of a step by its rollover's id, ``<tenant>__<school year>``, for a run about several rollovers."""
    tenant_id, _, year = rollover_id.rpartition(SEPARATOR)
    return open_run(year, tenant_id)


def is_alive(run_id: str) -> bool:
    """Whether another run of the current DAG is still at work, as Airflow knows it."""
    task = get_current_context()["ti"]
    if task.get_dr_count(dag_id=task.dag_id, run_ids=[run_id]) == 0:
        return False
    return str(task.get_dagrun_state(dag_id=task.dag_id, run_id=run_id)) in UNFINISHED


def only_current_year(run: Run) -> None:
    """Skip the current task in the rollover of a past year, which only archives or erases."""
    with tenant_session(run.engine, run.tenant.id) as connection:
        if not rollovers.load(connection, run).is_current:
            raise AirflowSkipException(f"{run.school_year} is a past year of {run.tenant}: nothing to do here")


def district_of(known: Catalog, tenant: Tenant) -> District:
    """The district of a tenant. Raises Refused if no district file lists it."""
    district = known.districts.get(tenant.district)
    if district is None or tenant.product not in district.products:
        raise Refused(
            f"No district file that is right lists {tenant}.",
            "see the import error of district_files_dag.py, fix the file, then clear this task.",
        )
    return district
