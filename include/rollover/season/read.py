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
from sqlalchemy import Connection, Engine, Row, func, or_, select

from rollover.calendar import SchoolYear
from rollover.config import Catalog
from rollover.database.session import every_tenant_session
from rollover.database.tables.ledger import season
from rollover.season.deadlines import Dates, Severity
from rollover.season.facts import CertificateFacts, Facts
from rollover.season.state import TenantState, as_of, state_of
from rollover.tenant import Tenant

_FACTS = TypeAdapter(Facts)
_YEARS = select(
    season.c.school_year,
    func.max(season.c.version).label("newest"),
    func.count().label("all"),
    func.count().filter(season.c.is_past.is_(False)).label("open"),
).group_by(season.c.school_year)


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
    with every_tenant_session(engine) as connection:
        connection.execute(select(func.ledger.refresh_season()))
        yield connection


def read_season(engine: Engine, known: Catalog, now: datetime, *, year: SchoolYear | None = None) -> Season:
    """The season of every tenant that a district file lists, as of `now`: its years that are not past, and `year`."""
    return SeasonReader().read(engine, known, now, year=year)


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

    It keeps the years that are not past and those that were asked for. What it keeps is not made again for each
    reading: thousands of new objects each time would let Python's garbage collector look through all others as often.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._version = 0
        self._asked: set[str] = set()
        self._years: set[str] = set()
        self._known: dict[tuple[str, str], _Known] = {}
        self._catalog: Catalog | None = None
        self._listed: dict[str, Tenant] = {}

    def read(self, engine: Engine, known: Catalog, now: datetime, *, year: SchoolYear | None = None) -> Season:
        """Like :func:`read_season`."""
        with self._lock:
            self._update(engine, year)
            if self._catalog is not known:
                self._catalog, self._listed = known, {tenant.id: tenant for tenant in known.tenants}
                for each in self._known.values():
                    each.state = None
            key = year.key if year else None
            return Season(
                tuple(
                    found.as_of(self._listed[tenant_id], school_year, known, now)
                    for (tenant_id, school_year), found in self._known.items()
                    if tenant_id in self._listed and (not found.is_past or school_year == key)
                )
            )

    def years(self) -> set[str]:
        """The school years that any tenant has, as of the last reading."""
        with self._lock:
            return set(self._years)

    def _update(self, engine: Engine, year: SchoolYear | None) -> None:
        with season_session(engine) as connection:
            there = connection.execute(_YEARS).all()
            newest = max((each.newest for each in there), default=0)
            self._years = {each.school_year for each in there}
            if newest < self._version:  # another database, or an older state of it
                self._known = {}
            added = {year.key} & self._years - self._asked if year else set()
            self._asked |= added
            wanted = or_(season.c.is_past.is_(False), season.c.school_year.in_(self._asked))
            if self._known:
                changed = or_(season.c.version > self._version, season.c.school_year.in_(added))
                self._learn(connection.execute(select(season).where(changed)))
            if len(self._known) != sum(each.all if each.school_year in self._asked else each.open for each in there):
                self._known = {}  # nothing is known, or a row is gone, which has no version
                self._learn(connection.execute(select(season).where(wanted)))
        self._version = newest

    def _learn(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            key = row.tenant_id, row.school_year
            if row.is_past and row.school_year not in self._asked:
                self._known.pop(key, None)
            else:
                self._known[key] = _Known(_FACTS.validate_python(row.facts), row.is_past)


@dataclass(slots=True)
class _Known:
    """The facts of a tenant's year, and what they meant when they were last asked for."""

    facts: Facts
    is_past: bool
    state: TenantState | None = None

    def as_of(self, tenant: Tenant, school_year: str, known: Catalog, now: datetime) -> TenantState:
        before = self.state
        self.state = as_of(before, now) if before else _state(tenant, school_year, self.facts, known, now)
        return self.state


def read_tenant(connection: Connection, known: Catalog, now: datetime) -> list[TenantState]:
    """The states of the session's tenant in all its years, newest first."""
    connection.execute(select(func.ledger.refresh_season()))
    rows = connection.execute(select(season).order_by(season.c.school_year.desc()))
    return [_state_of(row, known, now) for row in rows]


def _state_of(row: Row[Any], known: Catalog, now: datetime) -> TenantState:
    return _state(Tenant.parse(row.tenant_id), row.school_year, _FACTS.validate_python(row.facts), known, now)


def _state(tenant: Tenant, school_year: str, facts: Facts, known: Catalog, now: datetime) -> TenantState:
    district, product = known.districts[tenant.district], known.products[tenant.product]
    dates = Dates.of(tenant, school_year, district, product)
    return state_of(tenant, school_year, facts, district, product, dates, now)
