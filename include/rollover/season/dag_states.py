"""Records whether Airflow has each tenant's DAG, and whether it is switched on: a DAG that is not never fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import cast, literal

from rollover.season.read import season_session
from rollover.tenant import Tenant

DagState = Literal["on", "paused", "missing"]


def states_of(tenants: Iterable[Tenant], paused: Mapping[str, bool]) -> dict[Tenant, DagState]:
    """The state of each tenant's DAG; `paused` has the DAGs that Airflow has, and whether each is paused."""
    return {tenant: _state(paused.get(tenant.dag_id)) for tenant in tenants}


def _state(is_paused: bool | None) -> DagState:
    if is_paused is None:
        return "missing"
    return "paused" if is_paused else "on"


def record_dag_states(engine: Engine, states: Mapping[Tenant, DagState], now: datetime) -> int:
    """Record the states that have changed, of all tenants in one statement; returns how many have.

    `now` is since when a changed state is known. Tenants that the directory lacks are left out.
    """
    found = [{"tenant_id": tenant.id, "dag_id": tenant.dag_id, "state": state} for tenant, state in states.items()]
    with season_session(engine) as connection:
        changed = connection.scalar(select(func.ledger.record_dag_states(cast(literal(found, JSONB), JSONB), now)))
    return int(changed or 0)
