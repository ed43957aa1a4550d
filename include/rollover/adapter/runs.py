"""Opens what a task works on: a rollover, by the DAG and the partition key of its run, or an import, by its id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException
from sqlalchemy import Engine
from upath import UPath

from rollover.adapter.connections import engine
from rollover.calendar import SchoolYear
from rollover.config import Catalog, District, Product, RosterLimits, TenantConfig
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import rollovers
from rollover.lint import load_catalog
from rollover.roster import imports
from rollover.roster.imports import Import
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


def tenant_of(partition_key: str | None) -> Tenant:
    """The tenant that a run's partition key names. Raises Refused if it names none."""
    try:
        return Tenant.parse(partition_key or "")
    except ValueError as error:
        raise Refused(f"The partition key {error}.", "start the run with a tenant as its partition key.") from None


@dataclass(frozen=True)
class OpenImport:
    """An import and its tenant, with the arguments of the import's stages."""

    engine: Engine
    tenant: Tenant
    district: District
    product: Product
    storage: UPath
    import_id: str

    @property
    def config(self) -> TenantConfig:
        return self.district.products[self.product.product]

    @property
    def limits(self) -> RosterLimits:
        return self.product.limits_of(self.config)

    @property
    def given(self) -> tuple[Engine, str, str, UPath]:
        """The first arguments of a stage."""
        return self.engine, self.tenant.id, self.import_id, self.storage

    def current(self) -> Import:
        """The import as the ledger has it now."""
        return imports.current(self.engine, self.tenant.id, self.import_id)


def open_import(import_id: str) -> OpenImport:
    """The import with an id ``<tenant>__<12 digits>``."""
    tenant = Tenant.parse(import_id.rpartition(SEPARATOR)[0])
    known = catalog(only=tenant.district)
    district, product = district_of(known, tenant), known.products[tenant.product]
    return OpenImport(engine(), tenant, district, product, Settings().storage_root, import_id)


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
