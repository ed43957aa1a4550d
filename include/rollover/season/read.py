"""Reads the season: the facts of all tenants in one query, or of one tenant under row-level security."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Engine, func, or_, select, text, true

from rollover.calendar import SchoolYear
from rollover.config import Catalog
from rollover.database.session import without_values
from rollover.database.tables.ledger import season
from rollover.season.deadlines import Dates
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


def read_season(engine: Engine, known: Catalog, now: datetime, *, year: SchoolYear | None = None) -> Season:
    """The season of every tenant that a district file lists, as of `now`: its years that are not past, and `year`."""
    wanted = or_(season.c.is_past.is_(False), season.c.school_year == (year.key if year else None))
    return SeasonReader(wanted).read(engine, known, now, year=year)


class SeasonReader:
    """Reads the season again and again, as a server does: each time only what has changed since the last time.

    With `wanted`, a condition on rows of ``ledger.season``, it reads no others.
    """

    def __init__(self, wanted: ColumnElement[bool] | None = None) -> None:
        self._wanted = true() if wanted is None else wanted
        self._lock = Lock()
        self._version = 0
        self._facts: dict[tuple[str, str], _Known] = {}
        self._catalog: Catalog | None = None
        self._dates: dict[tuple[str, str], Dates] = {}

    def read(self, engine: Engine, known: Catalog, now: datetime, *, year: SchoolYear | None = None) -> Season:
        """Like :func:`read_season`."""
        with self._lock:
            self._update(engine)
            if self._catalog is not known:
                self._catalog, self._dates = known, {}
            wanted = {tenant.id: tenant for tenant in known.tenants}
            return Season(
                tuple(
                    self._state(wanted[tenant_id], school_year, found.facts, known, now)
                    for (tenant_id, school_year), found in self._facts.items()
                    if tenant_id in wanted and (not found.is_past or (year is not None and school_year == year.key))
                )
            )

    def _update(self, engine: Engine) -> None:
        with season_session(engine) as connection:
            newest = connection.scalar(select(func.max(season.c.version))) or 0
            if newest < self._version:  # another database, or an older state of it
                self._version, self._facts = 0, {}
            rows = connection.execute(select(season).where(self._wanted, season.c.version > self._version)).all()
        for row in rows:
            self._facts[row.tenant_id, row.school_year] = _Known(_FACTS.validate_python(row.facts), row.is_past)
        self._version = newest

    def _state(self, tenant: Tenant, school_year: str, facts: Facts, known: Catalog, now: datetime) -> TenantState:
        district, product = known.districts[tenant.district], known.products[tenant.product]
        dates = self._dates.get((tenant.id, school_year))
        if dates is None:
            dates = self._dates[tenant.id, school_year] = Dates.of(tenant, school_year, district, product)
        return state_of(tenant, school_year, facts, district, product, dates, now)


@dataclass(frozen=True)
class _Known:
    facts: Facts
    is_past: bool


def read_tenant(connection: Connection, known: Catalog, now: datetime) -> list[TenantState]:
    """The states of the session's tenant in all its years, newest first."""
    connection.execute(select(func.ledger.refresh_season()))
    found = []
    for row in connection.execute(select(season).order_by(season.c.school_year.desc())):
        tenant = Tenant.parse(row.tenant_id)
        district, product = known.districts[tenant.district], known.products[tenant.product]
        dates = Dates.of(tenant, row.school_year, district, product)
        facts = _FACTS.validate_python(row.facts)
        found.append(state_of(tenant, row.school_year, facts, district, product, dates, now))
    return found
