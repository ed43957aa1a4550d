"""The state of a tenant in a school year: the ledger's facts, and what they mean by the district file and the clock.

`rollover status`, run notes, mails and pages all read it, so that they say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TypedDict

from rollover.config import District, Product
from rollover.ledger.results import Step
from rollover.season.deadlines import Alarm, Dates, Severity, TimedAlarm, alarms, severity_of
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
    timed: tuple[TimedAlarm, ...]
    """The alarms of any time, of which `alarms` are those of now."""
    known_from: datetime = field(compare=False)
    known_until: datetime = field(compare=False)
    """The state is the same at all times from the one on and before the other, while the facts are."""

    @property
    def title(self) -> str:
        """Who and which year: ``Springfield Public Schools · Hero 2025-26``."""
        return f"{self.district_name} · {self.product_name} {self.school_year}"

    @cached_property
    def phase(self) -> Phase:
        return self.standing.phase

    @cached_property
    def waits_for(self) -> WaitsFor:
        return self.standing.waits_for

    @property
    def since(self) -> datetime | None:
        return self.standing.since

    @cached_property
    def is_under_way(self) -> bool:
        """Whether the rollover has begun and is not certified."""
        return self.phase not in {*NOT_BEGUN, Phase.CERTIFIED}

    @cached_property
    def is_late(self) -> bool:
        """Whether something is late or wrong."""
        return self.severity in {Severity.LATE, Severity.WRONG}

    @cached_property
    def is_reset(self) -> bool:
        """Whether the year's data is gone, as a step of its own has verified."""
        return self.phase is Phase.CERTIFIED or Step.VERIFY_RESET in self.facts.done

    @cached_property
    def urgency(self) -> tuple[int, bool, datetime, date, str]:
        """For sorting: the most serious first; among equals who has waited longest, then whose date comes next."""
        waits = self.waits_for is not WaitsFor.NOBODY
        since = self.since if waits and self.since else LAST_MOMENT
        return -self.severity.rank, not waits, since, self.next_date or date.max, self.tenant.id

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
    timed = tuple(alarms(where, facts, dates, school_year))
    return TenantState(
        tenant=tenant,
        school_year=school_year,
        district_name=district.name,
        product_name=product.label,
        standing=where,
        next_date=next_date,
        next_why=why,
        dates=dates,
        facts=facts,
        timed=timed,
        **_of_now(where, facts, timed, now),
    )


def as_of(state: TenantState, now: datetime) -> TenantState:
    """What the same facts mean at another time: the same object while they mean the same."""
    if state.known_from <= now < state.known_until:
        return state
    return replace(state, **_of_now(state.standing, state.facts, state.timed, now))


class _OfNow(TypedDict):
    """What of a state depends on the clock."""

    alarms: tuple[Alarm, ...]
    severity: Severity
    days_paused: int | None
    known_from: datetime
    known_until: datetime


def _of_now(where: Standing, facts: Facts, timed: tuple[TimedAlarm, ...], now: datetime) -> _OfNow:
    found = tuple(each.alarm for each in timed if each.holds_at(now))
    changes = [moment for each in timed for moment in (each.begins, each.ends) if moment is not None]
    days_paused = None
    if facts.pause is not None:
        days_paused = (now - facts.pause.since).days
        changes.append(facts.pause.since + timedelta(days=days_paused + 1))
    return _OfNow(
        alarms=found,
        severity=severity_of(where, found),
        days_paused=days_paused,
        known_from=now,
        known_until=min((moment for moment in changes if moment > now), default=LAST_MOMENT),
    )
