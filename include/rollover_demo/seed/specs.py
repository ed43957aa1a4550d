"""What a seeded district is: its tenants, schools, subscriptions and dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from rollover.calendar import SchoolYear
from rollover.tenant import Tenant

MonthDay = tuple[int, int]
FirstDrop = Literal["right", "broken", "half"]
"""The first set that a district drops for the new year: right, without a file, or without a school."""


@dataclass(frozen=True)
class SchoolSpec:
    """A school: its id in the roster files, its grades (-1 is PK, 0 is KG), about how many students."""

    id: str
    name: str
    low: int
    high: int
    students: int

    @property
    def cohort(self) -> int:
        """Students in a grade."""
        return round(self.students / (self.high - self.low + 1))


@dataclass(frozen=True)
class SubscriptionSpec:
    """A school's right to a product: both days inclusive."""

    school_id: str
    state: Literal["active", "ended", "cancelled"]
    starts_on: date
    ends_on: date


@dataclass(frozen=True)
class TenantSpec:
    """One district's use of one product, and what is special about it."""

    tenant: Tenant
    schools: tuple[SchoolSpec, ...]
    subscriptions: tuple[SubscriptionSpec, ...]
    roster_import: Literal["nightly", "at_once"] = "nightly"
    own_reset_date: date | None = None
    past_years: int = 0
    events_per_student: int = 30
    first_drop: FirstDrop = "right"
    code_updated_in_summer: bool = False
    inspected_school: str | None = None
    """A school whose first student's parents asked to inspect the records, and wait for them."""

    @property
    def id(self) -> str:
        return self.tenant.id


@dataclass(frozen=True)
class DistrictCalendar:
    """A district's school year. `ends` and `summer_session_ends` are last days, inclusive."""

    starts: date
    ends: date
    summer_session_ends: date | None = None


@dataclass(frozen=True)
class DistrictSpec:
    """A district and its tenants; `year` is the school year that has just finished."""

    id: str
    name: str
    time_zone: str
    year: SchoolYear
    tenants: tuple[TenantSpec, ...]
    ends: MonthDay = (6, 5)
    summer_session_ends: MonthDay | None = None

    @property
    def org_sourced_id(self) -> str:
        return f"{self.id}-district"

    @property
    def schools(self) -> tuple[SchoolSpec, ...]:
        """Every school of the district, once, by id."""
        return tuple(sorted({s for t in self.tenants for s in t.schools}, key=lambda s: s.id))

    def calendar(self, year: SchoolYear) -> DistrictCalendar:
        """The district's dates in any school year."""
        summer = year.last_year
        return DistrictCalendar(
            starts=_weekday_from(date(year.first_year, 8, 19)),
            ends=_weekday_from(date(summer, *self.ends)),
            summer_session_ends=date(summer, *self.summer_session_ends) if self.summer_session_ends else None,
        )


def _weekday_from(day: date) -> date:
    """`day`, or the Monday after it when it falls on a weekend."""
    return day + timedelta(days=7 - day.weekday() if day.weekday() >= 5 else 0)
