"""Sums up the season: how far it is, who resets next and whether they know, and what is late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from rollover.calendar import SchoolYear
from rollover.season.phases import NOT_BEGUN, Phase
from rollover.season.state import TenantState

NEXT_DAYS = 14


@dataclass(frozen=True)
class PhaseCount:
    """How many tenants are in a phase, and how many of them are late or stopped."""

    phase: Phase
    tenants: int
    late: int


@dataclass(frozen=True)
class DayCount:
    """How many tenants reset on a day, and how many of them are done: reset, and certified."""

    day: date
    planned: int
    reset: int
    certified: int


@dataclass(frozen=True)
class Overview:
    """A season: the tenants whose rollovers end one school year.

    `due` is how many of them have a reset date that has come. `upcoming` and `late` are sorted by date and seriousness.
    """

    school_year: str
    tenants: int
    due: int
    reset: int
    certified: int
    by_phase: list[PhaseCount]
    by_day: list[DayCount]
    upcoming: list[TenantState]
    late: list[TenantState]


def season_year(now: datetime) -> SchoolYear:
    """The school year of the season that `now` is in: the one that ends in this calendar year."""
    return SchoolYear.ending_in(now.astimezone(UTC).year)


def overview(states: Iterable[TenantState], year: SchoolYear, now: datetime) -> Overview:
    """Sum up some states as of `now`. The totals are those of one school year, the lists those of every year given."""
    today = now.astimezone(UTC).date()
    known = [state for state in states if state.dates.is_active or state.phase not in NOT_BEGUN]
    key = year.key
    of_year = [state for state in known if state.school_year == key]
    upcoming = [state for state in known if _resets_soon(state, today)]
    late = [state for state in known if state.is_late]
    return Overview(
        school_year=year.key,
        tenants=len(of_year),
        due=sum(state.dates.reset_date <= today for state in of_year),
        reset=sum(state.is_reset for state in of_year),
        certified=sum(state.phase is Phase.CERTIFIED for state in of_year),
        by_phase=_by_phase(of_year),
        by_day=_by_day(of_year),
        upcoming=sorted(upcoming, key=lambda state: (state.dates.reset_date, state.tenant.id)),
        late=sorted(late, key=lambda state: (-state.severity.rank, state.tenant.id, state.school_year)),
    )


def _resets_soon(state: TenantState, today: date) -> bool:
    return state.phase in NOT_BEGUN and today <= state.dates.reset_date <= today + timedelta(days=NEXT_DAYS)


def _by_phase(states: list[TenantState]) -> list[PhaseCount]:
    tenants = Counter(state.phase for state in states)
    late = Counter(state.phase for state in states if state.is_late)
    return [PhaseCount(phase, tenants[phase], late[phase]) for phase in Phase if tenants[phase]]


def _by_day(states: list[TenantState]) -> list[DayCount]:
    planned = Counter(state.dates.reset_date for state in states)
    reset = Counter(state.dates.reset_date for state in states if state.is_reset)
    certified = Counter(state.dates.reset_date for state in states if state.phase is Phase.CERTIFIED)
    return [DayCount(day, planned[day], reset[day], certified[day]) for day in sorted(planned)]
