"""Reads the season: the facts of all tenants in one query, or of one tenant under row-level security."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, Row, func, select, text

from rollover.config import Catalog
from rollover.database.session import without_values
from rollover.database.tables.ledger import season
from rollover.season.facts import Facts
from rollover.season.state import TenantState, state_of
from rollover.tenant import Tenant

SEASON_ROLE = "rollover_season"
"""May read ``ledger.season`` of all tenants, and nothing else."""
_FACTS = TypeAdapter(Facts)


@dataclass(frozen=True)
class Season:
    """What is known about all tenants: one state per tenant and school year, by tenant and year."""

    states: tuple[TenantState, ...]

    def of(self, tenant_id: str) -> list[TenantState]:
        """The states of one tenant, newest year first."""
        found = (state for state in self.states if state.tenant.id == tenant_id)
        return sorted(found, key=lambda state: state.school_year, reverse=True)

    @property
    def current(self) -> list[TenantState]:
        """For each tenant the one state that people look at: see :func:`most_important`."""
        by_tenant: dict[str, list[TenantState]] = {}
        for state in self.states:
            by_tenant.setdefault(state.tenant.id, []).append(state)
        return [most_important(states) for states in by_tenant.values()]


def most_important(states: list[TenantState]) -> TenantState:
    """Of one tenant's years, the one that has the most serious state; among equals an unfinished rollover, then the
    newest. So a refused current year is never hidden behind a backfill that runs, nor the other way round."""
    return max(states, key=lambda state: (state.severity.rank, state.is_under_way, state.school_year))


@contextmanager
def season_session(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees the season of all tenants, up to date, and nothing else."""
    with without_values(), engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {SEASON_ROLE}"))
        connection.execute(select(func.ledger.refresh_season()))
        yield connection


def read_season(engine: Engine, known: Catalog, now: datetime) -> Season:
    """The season of every tenant that a district file lists, as of `now`."""
    with season_session(engine) as connection:
        rows = connection.execute(select(season).order_by(season.c.tenant_id, season.c.school_year)).all()
    wanted = {tenant.id for tenant in known.tenants}
    return Season(tuple(_state(row, known, now) for row in rows if row.tenant_id in wanted))


def read_tenant(connection: Connection, known: Catalog, now: datetime) -> list[TenantState]:
    """The states of the session's tenant, newest year first."""
    connection.execute(select(func.ledger.refresh_season()))
    rows = connection.execute(select(season).order_by(season.c.school_year.desc())).all()
    return [_state(row, known, now) for row in rows]


def _state(row: Row[tuple[str, str, object, datetime]], known: Catalog, now: datetime) -> TenantState:
    tenant = Tenant.parse(row.tenant_id)
    district, product = known.districts[tenant.district], known.products[tenant.product]
    return state_of(tenant, row.school_year, _FACTS.validate_python(row.facts), district, product, now)
