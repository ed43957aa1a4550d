"""The state of a tenant in a school year: the ledger's facts, and what they mean by the district file and the clock.

`rollover status`, run notes, mails and pages all read it, so that they say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property

from rollover.config import District, Product
from rollover.season.deadlines import Alarm, Dates, Severity, alarms, severity_of
from rollover.season.facts import Facts
from rollover.season.phases import NOT_BEGUN, Phase, Standing, WaitsFor, standing
from rollover.tenant import Tenant
from rollover.texts import render

LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
"""Sorts a state without a time behind all others."""


@dataclass(frozen=True)
class TenantState:
    """What people look at: phase, who it waits for, since when, how serious it is, and what comes next."""

    tenant: Tenant
    school_year: str
    district_name: str
    product_name: str
    standing: Standing
    severity: Severity
    alarms: tuple[Alarm, ...]
    next_date: date | None
    next_why: str | None
    dates: Dates
    facts: Facts
    days_paused: int | None

    @property
    def title(self) -> str:
        """Who and which year: ``Springfield Public Schools · Hero 2025-26``."""
        return f"{self.district_name} · {self.product_name} {self.school_year}"

    @property
    def phase(self) -> Phase:
        return self.standing.phase

    @property
    def waits_for(self) -> WaitsFor:
        return self.standing.waits_for

    @property
    def since(self) -> datetime | None:
        return self.standing.since

    @property
    def is_under_way(self) -> bool:
        """Whether the rollover has begun and is not certified."""
        return self.phase not in {*NOT_BEGUN, Phase.CERTIFIED}

    @property
    def is_late(self) -> bool:
        """Whether something is late or wrong."""
        return self.severity in {Severity.LATE, Severity.WRONG}

    @cached_property
    def urgency(self) -> tuple[int, bool, datetime, date, Tenant]:
        """For sorting: the most serious first; among equals who has waited longest, then whose date comes next."""
        waits = self.waits_for is not WaitsFor.NOBODY
        since = self.since if waits and self.since else LAST_MOMENT
        return -self.severity.rank, not waits, since, self.next_date or date.max, self.tenant

    @property
    def summary(self) -> str:
        """The result first, in a line: ``Waiting for approval: 20,181 rows to erase``."""
        return render("state.txt.j2", state=self)

    @property
    def sentences(self) -> list[str]:
        """A sentence for each alarm."""
        return [render("alarm.txt.j2", alarm=alarm, state=self) for alarm in self.alarms]


def state_of(
    tenant: Tenant,
    school_year: str,
    facts: Facts,
    district: District,
    product: Product,
    dates: Dates,
    now: datetime,
) -> TenantState:
    """What the facts of a tenant's school year mean as of `now`."""
    where = standing(facts, approval_required=product.approval_required)
    next_date, why = dates.next_of(where)
    found = tuple(alarms(where, facts, dates, school_year, now))
    return TenantState(
        tenant=tenant,
        school_year=school_year,
        district_name=district.name,
        product_name=product.label,
        standing=where,
        severity=severity_of(where, found),
        alarms=found,
        next_date=next_date,
        next_why=why,
        dates=dates,
        facts=facts,
        days_paused=_days_paused(facts, now),
    )


def as_of(state: TenantState, now: datetime) -> TenantState:
    """What the same facts mean at another time: the same object if they mean the same."""
    found = tuple(alarms(state.standing, state.facts, state.dates, state.school_year, now))
    days_paused = _days_paused(state.facts, now)
    if (found, days_paused) == (state.alarms, state.days_paused):
        return state
    return replace(state, severity=severity_of(state.standing, found), alarms=found, days_paused=days_paused)


def _days_paused(facts: Facts, now: datetime) -> int | None:
    return (now - facts.pause.since).days if facts.pause else None
