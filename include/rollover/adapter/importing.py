"""Opens the import that a task works on, and decides whether it goes on in this run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException
from sqlalchemy import Engine
from upath import UPath

from rollover.adapter.connections import engine
from rollover.adapter.runs import catalog, district_of
from rollover.config import District, Product, RosterLimits, TenantConfig
from rollover.errors import Refused
from rollover.roster import imports
from rollover.roster.imports import Import, ImportState
from rollover.settings import Settings
from rollover.tenant import SEPARATOR, Tenant

NIGHTLY = "nightly"
"""In the extra of an asset event: the nightly sync sent it."""
OVER = (ImportState.REJECTED, ImportState.SUPERSEDED, ImportState.UNDONE)


def tenant_of(partition_key: str | None) -> Tenant:
    """The tenant that a run's partition key names. Raises Refused if it names none."""
    try:
        return Tenant.parse(partition_key or "")
    except ValueError as error:
        raise Refused(f"The partition key {error}.", "start the run with a tenant as its partition key.") from None


@dataclass(frozen=True)
class OpenTenant:
    """A tenant, with the arguments of the tasks about it."""

    engine: Engine
    tenant: Tenant
    district: District
    product: Product
    storage: UPath

    @property
    def config(self) -> TenantConfig:
        return self.district.products[self.product.product]

    @property
    def limits(self) -> RosterLimits:
        return self.product.limits_of(self.config)


@dataclass(frozen=True)
class OpenImport(OpenTenant):
    """An import, with the arguments of its stages."""

    import_id: str

    @property
    def given(self) -> tuple[Engine, str, str, UPath]:
        """The first arguments of a stage."""
        return self.engine, self.tenant.id, self.import_id, self.storage

    def current(self) -> Import:
        """The import as the ledger has it now."""
        return imports.current(self.engine, self.tenant.id, self.import_id)


def every_tenant() -> Iterator[OpenTenant]:
    """The tenants whose district and product files are valid, in a stable order."""
    known, storage = catalog(), Settings().storage_root
    for tenant in known.tenants:
        district, product = known.districts[tenant.district], known.products[tenant.product]
        yield OpenTenant(engine(), tenant, district, product, storage)


def open_import(import_id: str) -> OpenImport:
    """The import with an id ``<tenant>__<12 digits>``."""
    tenant = Tenant.parse(import_id.rpartition(SEPARATOR)[0])
    known = catalog(only=tenant.district)
    district, product = district_of(known, tenant), known.products[tenant.product]
    return OpenImport(engine(), tenant, district, product, Settings().storage_root, import_id)


def is_due(work: OpenImport) -> bool:
    """Whether a ready import may be applied in this run: at once, in the nightly sync, or when a person asks.

    The nightly sync says so in its asset event; a run without any event was started by a person.
    """
    if work.config.roster_import == "at_once":
        return True
    by_asset = get_current_context()["triggering_asset_events"]
    events = [event for group in by_asset.values() for event in group]
    return not events or any(event.extra.get(NIGHTLY) for event in events)


def unless_over(found: Import, *, for_rollover: bool) -> Import:
    """The import that a stage returned, unless it goes no further in this run: then the task is skipped.

    Raises Refused in a rollover, which cannot go on without the set; an import in review stops it, too.
    """
    is_in_review = found.state is ImportState.IN_REVIEW
    if found.state not in OVER and not (for_rollover and is_in_review):
        return found
    what = f"Import {found.import_id} is {found.state}: {found.reason}."
    if for_rollover:
        how = "answer the question of `roster_import`, then " if is_in_review else ""
        raise Refused(what, f"{how}clear 'await_roster' and what follows: it takes the newest set that is ready.")
    raise AirflowSkipException(what)


def unless_waiting(found: Import, *, for_rollover: bool) -> Import:
    """Like :func:`unless_over`, and also skips the task if the import is still staged: it waits for an older one."""
    if found.state is ImportState.STAGED and not for_rollover:
        raise AirflowSkipException(f"Import {found.import_id} waits: {found.reason}.")
    return unless_over(found, for_rollover=for_rollover)
