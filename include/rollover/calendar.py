"""Computes school years and reset dates, and writes times. Pure functions: every date is an argument.

Sources of the rules: Hero archives "sometime between July 1st - July 15th", earlier or later on request.
Imagine resets on July 28 unless the district asks for another date, June 19 or later, before rostering of
the new year. If the school year or the summer session ends later, the reset is on the first day after both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Self
from zoneinfo import ZoneInfo

SATURDAY = 5


@dataclass(frozen=True, order=True)
class SchoolYear:
    """A school year, July 1 to June 30, named as schools name it: ``2025-26``."""

    first_year: int

    @classmethod
    def parse(cls, key: str) -> Self:
        """Read ``2025-26``. Raises ValueError for anything else."""
        if re.fullmatch(r"\d{4}-\d{2}", key) and (year := cls(int(key[:4]))).key == key:
            return year
        raise ValueError(f"{key!r} is not a school year like '2025-26'")

    @classmethod
    def ending_in(cls, year: int) -> Self:
        """The school year that ends in `year`: OneRoster's ``schoolYear`` 2026 is 2025-26."""
        return cls(year - 1)

    @property
    def key(self) -> str:
        return f"{self.first_year}-{(self.first_year + 1) % 100:02d}"

    @property
    def last_year(self) -> int:
        return self.first_year + 1

    @property
    def starts_on(self) -> date:
        return date(self.first_year, 7, 1)

    @property
    def next(self) -> Self:
        return type(self)(self.first_year + 1)

    @property
    def previous(self) -> Self:
        return type(self)(self.first_year - 1)

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True)
class MonthDay:
    """A day of every year, such as July 28."""

    month: int
    day: int

    def in_year(self, year: int) -> date:
        return date(year, self.month, self.day)


JULY = MonthDay(7, 1)
"""When a school year begins, unless the district's file says otherwise."""
LAST_WITHIN_ONE = 2
"""A school year that begins in January or February ends in the same calendar year (Australia, South Africa)."""


def begins_on(year: SchoolYear, begins: MonthDay) -> date:
    """The first day of a school year. ``2025-26`` is the one that ends in 2026, wherever it begins."""
    return begins.in_year(year.last_year if begins.month <= LAST_WITHIN_ONE else year.first_year)


def year_of_day(day: date, begins: MonthDay) -> SchoolYear:
    """The school year that a day belongs to."""
    year = SchoolYear(day.year)
    while begins_on(year, begins) > day:
        year = year.previous
    return year


def years_after(day: date, years: int) -> date:
    """Return the same day, years later; for a February 29, March 1 if the year has none."""
    return date(day.year + years, day.month, 1) + timedelta(days=day.day - 1)


@dataclass(frozen=True)
class ResetRule:
    """When a product resets: the window of default days, and which own dates a district may choose.

    `window_from` equals `window_to` if the default is one fixed day. With `waits_for_summer_session`, the reset comes
    after the summer session too, not only after the school year.
    """

    window_from: MonthDay
    window_to: MonthDay
    earliest_own_date: MonthDay | None
    waits_for_summer_session: bool
    at: time


@dataclass(frozen=True)
class YearFacts:
    """What a district says about one school year; None for what it does not say."""

    ends: date | None = None
    summer_session_ends: date | None = None
    rostering_begins: date | None = None
    own_reset_date: date | None = None


def reset_day(rule: ResetRule, district: str, year: SchoolYear, facts: YearFacts) -> date:
    """Return the local day on which a district's year is reset: its own date, or the product's default."""
    if facts.own_reset_date is not None:
        return facts.own_reset_date
    default = _default_day(rule, district, year)
    last = _last_day_of_school(rule, facts)
    return default if last is None or last < default else last + timedelta(days=1)


def reset_instant(day: date, at: time, time_zone: str) -> datetime:
    """Return the UTC instant of `day` at the local time `at`.

    A time that daylight saving skips is read with the offset before the change, so it falls after the gap. Of a time
    that occurs twice, the first is meant.
    """
    return datetime.combine(day, at, ZoneInfo(time_zone)).astimezone(UTC)


def utc_minute(when: datetime) -> str:
    """Return a time in UTC, to the minute: ``2026-07-01 08:00 UTC``."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def date_problems(rule: ResetRule, district: str, year: SchoolYear, facts: YearFacts) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the dates of one tenant and year, as (field, message)."""
    own, last = facts.own_reset_date, _last_day_of_school(rule, facts)
    field = "reset_dates" if own else "school_years"
    day = reset_day(rule, district, year, facts)
    if own and own.year != year.last_year:
        yield field, f"{own} is not in {year.last_year}, the year in which {year} ends"
        return
    if own and rule.earliest_own_date and own < (earliest := rule.earliest_own_date.in_year(own.year)):
        yield field, f"{own} is before {earliest}, the earliest own reset date of this product"
    if own and last and own <= last:
        what = "the summer session" if last == facts.summer_session_ends else "the school year"
        yield field, f"{own} is not after {last}, the last day of {what}"
    if facts.rostering_begins and day >= facts.rostering_begins:
        yield (
            field,
            f"the reset on {day} would not be before {facts.rostering_begins}, when rostering of {year.next} "
            "begins; agree on an earlier own date",
        )
    if facts.ends and facts.ends.year != year.last_year:
        yield "school_years", f"ends: {facts.ends} is not in {year.last_year}, the year in which {year} ends"
    if facts.ends and facts.summer_session_ends and facts.summer_session_ends < facts.ends:
        yield (
            "school_years",
            f"the summer session ends {facts.summer_session_ends}, before the school year does",
        )


def _last_day_of_school(rule: ResetRule, facts: YearFacts) -> date | None:
    summer = facts.summer_session_ends if rule.waits_for_summer_session else None
    return max((day for day in (facts.ends, summer) if day is not None), default=None)


def _default_day(rule: ResetRule, district: str, year: SchoolYear) -> date:
    """Return the fixed day, or one of the weekdays of the window: always the same one for a district.

    The hash spreads districts over the window, and keeps a district's day when others come and go. A window has no
    weekends, since somebody has to answer the approval. A fixed day is a promise, so it may be a Sunday.
    """
    first, last = rule.window_from.in_year(year.last_year), rule.window_to.in_year(year.last_year)
    if first == last:
        return first
    weekdays = _weekdays(first, last)
    pick = int.from_bytes(hashlib.sha256(district.encode()).digest()[:8], "big")
    return weekdays[pick % len(weekdays)]


@cache
def _weekdays(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if day.weekday() < SATURDAY]
