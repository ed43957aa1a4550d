"""Reads the season: the facts of all tenants in one query, or of one tenant under row-level security."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from threading import Lock
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Engine, Row, func, or_, select, text, true

from rollover.calendar import SchoolYear
from rollover.config import Catalog
from rollover.database.session import without_values
from rollover.database.tables.ledger import season
from rollover.season.deadlines import Dates, Severity
from rollover.season.facts import CertificateFacts, Facts
from rollover.season.state import TenantState, state_of
from rollover.tenant import Tenant

SEASON_ROLE = "rollover_season"
"""May read ``ledger.season`` and ``ledger.notices`` of all tenants, and nothing else."""
_FACTS = TypeAdapter(Facts)


@dataclass(frozen=True)
class Season:
    """What is known about all tenants: one state per tenant and school year, by tenant and year."""

    states: tuple[TenantState, ...]

    def of(self, tenant_id: str) -> list[TenantState]:
        """The states of one tenant, newest year first."""
        return self._by_tenant.get(tenant_id, [])

    @property
    def current(self) -> list[TenantState]:
        """For each tenant the one state that people look at: see :func:`most_important`."""
        return self.where(lambda _: True)

    def where(self, is_wanted: Callable[[TenantState], bool]) -> list[TenantState]:
        """For each tenant with wanted states the most important of those: what is looked for is never hidden behind
        another year."""
        found = ([state for state in states if is_wanted(state)] for states in self._by_tenant.values())
        return [most_important(states) for states in found if states]

    def beside(self, shown: TenantState) -> list[TenantState]:
        """The tenant's other years that are not finished or not fine, newest first."""
        others = (state for state in self.of(shown.tenant.id) if state.school_year != shown.school_year)
        return [state for state in others if state.is_under_way or state.severity is not Severity.FINE]

    @cached_property
    def _by_tenant(self) -> dict[str, list[TenantState]]:
        found: dict[str, list[TenantState]] = {}
        for state in sorted(self.states, key=lambda state: state.school_year, reverse=True):
            found.setdefault(state.tenant.id, []).append(state)
        return dict(sorted(found.items()))


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


@dataclass(frozen=True)
class CertifiedYear:
    """A tenant's school year with its newest certificate."""

    tenant: Tenant
    school_year: str
    certificate: CertificateFacts


def read_certificates(engine: Engine, known: Catalog) -> list[CertifiedYear]:
    """The certificates of every tenant that a district file lists, past years too, by tenant and year."""
    wanted = {tenant.id: tenant for tenant in known.tenants}
    issued = season.c.facts["certificate"]
    query = select(season.c.tenant_id, season.c.school_year, issued).where(issued["path"].astext.isnot(None))
    with season_session(engine) as connection:
        rows = connection.execute(query.order_by(season.c.tenant_id, season.c.school_year)).all()
    return [
        CertifiedYear(wanted[tenant_id], school_year, CertificateFacts.model_validate(facts))
        for tenant_id, school_year, facts in rows
        if tenant_id in wanted
    ]


def read_recent(engine: Engine, known: Catalog, now: datetime, since: datetime) -> Season:
    """Like :func:`read_season`, with the past years that have changed after `since`."""
    with season_session(engine) as connection:
        wanted = or_(season.c.is_past.is_(False), season.c.changed_at > since)
        rows = connection.execute(select(season).where(wanted).order_by(season.c.tenant_id, season.c.school_year)).all()
    ids = {tenant.id for tenant in known.tenants}
    return Season(tuple(_state_of(row, known, now) for row in rows if row.tenant_id in ids))


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

    def years(self) -> set[str]:
        """The school years that any tenant has, as of the last reading."""
        with self._lock:
            return {school_year for _, school_year in self._facts}

    def _update(self, engine: Engine) -> None:
        rows = select(season).where(self._wanted)
        with season_session(engine) as connection:
            newest = connection.scalar(select(func.max(season.c.version))) or 0
            if newest < self._version:  # another database, or an older state of it
                self._facts = {}
            self._learn(connection.execute(rows.where(season.c.version > (self._version if self._facts else 0))).all())
            if len(self._facts) != connection.scalar(select(func.count()).select_from(season).where(self._wanted)):
                self._facts = {}  # a row is gone, which has no version
                self._learn(connection.execute(rows).all())
        self._version = newest

    def _learn(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            self._facts[row.tenant_id, row.school_year] = _Known(_FACTS.validate_python(row.facts), row.is_past)

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
    rows = connection.execute(select(season).order_by(season.c.school_year.desc()))
    return [_state_of(row, known, now) for row in rows]


def _state_of(row: Row[Any], known: Catalog, now: datetime) -> TenantState:
    tenant = Tenant.parse(row.tenant_id)
    district, product = known.districts[tenant.district], known.products[tenant.product]
    dates, facts = Dates.of(tenant, row.school_year, district, product), _FACTS.validate_python(row.facts)
    return state_of(tenant, row.school_year, facts, district, product, dates, now)
