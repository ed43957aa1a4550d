"""Checks that every active tenant can be rolled over: the directory knows it, and Airflow has its DAG, switched on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import date, datetime

from sqlalchemy import Connection, Engine, create_engine, select, text

from rollover.calendar import year_of_day
from rollover.config import Catalog
from rollover.database.tables.ledger import season
from rollover.errors import RolloverError
from rollover.season.dag_states import record_dag_states, states_of
from rollover.season.read import season_session
from rollover.tenant import Tenant

METADATA_URL = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
SHARED_DAGS = ("roster_intake", "roster_import", "roster_sync", "archive_expiry", "notices")
"""DAGs that work for all tenants."""
DAGS = "SELECT dag_id, is_paused FROM dag WHERE NOT is_stale AND dag_id = ANY(:dag_ids)"


def metadata_engine() -> Engine:
    """Airflow's own database, by the variable that Airflow reads. Raises RolloverError if it is not set."""
    url = os.environ.get(METADATA_URL)
    if url is None:
        raise RolloverError(f"set {METADATA_URL} to it")
    return create_engine(url, hide_parameters=True)


def active_tenants(catalog: Catalog, today: date) -> list[Tenant]:
    """The tenants whose last school year, if they have one, is not over."""
    found = []
    for tenant in catalog.tenants:
        district = catalog.districts[tenant.district]
        last = district.uses(tenant.product).last_school_year
        if last is None or last >= year_of_day(today, district.school_year_begins):
            found.append(tenant)
    return found


def unknown_to_directory(engine: Engine, tenants: Iterable[Tenant]) -> Iterator[tuple[str, str]]:
    """Each tenant that the directory lacks, with what to do. The season has every tenant of the directory."""
    with season_session(engine) as connection:
        known = set(connection.scalars(select(season.c.tenant_id)))
    for tenant in tenants:
        if tenant.id not in known:
            yield (
                tenant.id,
                "the directory lacks this tenant; add it there, with its schools and subscriptions",
            )


def paused_dags(airflow: Connection, dag_ids: Iterable[str]) -> dict[str, bool]:
    """Of these DAGs, those that Airflow has, and whether each is paused; `airflow` is a session of its database."""
    return {row.dag_id: row.is_paused for row in airflow.execute(text(DAGS), {"dag_ids": list(dag_ids)})}


def dags_switched_off(
    metadata: Engine, tenants: Iterable[Tenant], *, record_in: Engine | None = None, now: datetime | None = None
) -> Iterator[tuple[str, str]]:
    """Each tenant, or DAG of all tenants, whose DAG is missing or paused in Airflow, with what to do.

    With the product database as `record_in`, what was found as of `now` is recorded there, too.
    """
    tenants = list(tenants)
    wanted = {**dict.fromkeys(SHARED_DAGS, "all tenants"), **{tenant.dag_id: tenant.id for tenant in tenants}}
    with metadata.connect() as airflow:
        paused = paused_dags(airflow, wanted)
    if record_in is not None and now is not None:
        record_dag_states(record_in, states_of(tenants, paused), now)
    for dag_id, whose in wanted.items():
        if dag_id not in paused:
            yield whose, f"Airflow has no DAG {dag_id}; see its import errors, or run `airflow dags reserialize`"
        elif paused[dag_id]:
            yield whose, f"the DAG {dag_id} is paused; switch it on: `airflow dags unpause {dag_id}`"
