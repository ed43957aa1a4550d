"""Draws how far a season is: the calendar of reset dates, and planned against certified as a chart."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from rollover.calendar import SchoolYear
from rollover.config import Catalog
from rollover.season.deadlines import Dates
from rollover.season.phases import Phase
from rollover.season.state import TenantState
from rollover.tenant import Tenant

MOST_MONTHS = 12
WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 28


@dataclass(frozen=True)
class Month:
    """A month of the calendar: its weeks, Monday first, with the number of resets on each day."""

    name: str
    weeks: list[list[tuple[date, int] | None]]


@dataclass(frozen=True)
class Line:
    """A line of the chart, as the points of an SVG polyline."""

    points: str


@dataclass(frozen=True)
class Chart:
    """Planned and certified resets over time. All numbers are SVG units, with their text beside them."""

    planned: Line
    done: Line
    now: float | None
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]


@dataclass(frozen=True)
class Progress:
    """A season's resets: how many are planned, how many until today, and how many are certified."""

    year: SchoolYear
    planned: int
    until_today: int
    certified: int
    months: list[Month]
    chart: Chart | None


def reset_dates(
    year: SchoolYear, tenants: Iterable[Tenant], known: Catalog, states: Iterable[TenantState]
) -> list[date]:
    """The reset date of every tenant that uses its product in a year, whether its rollover has begun or not."""
    of_state = {state.tenant: state.dates for state in states if state.school_year == year.key}
    found = []
    for tenant in tenants:
        district, product = known.districts[tenant.district], known.products[tenant.product]
        if district.uses(tenant.product).first_school_year > year:
            continue
        dates = of_state.get(tenant) or Dates.of(tenant, year.key, district, product)
        if dates.is_active:
            found.append(dates.reset_date)
    return sorted(found)


def progress(
    year: SchoolYear, tenants: Iterable[Tenant], known: Catalog, states: Sequence[TenantState], now: datetime
) -> Progress:
    """How far the season of a year is, for some tenants."""
    today = now.astimezone(UTC).date()
    planned = reset_dates(year, tenants, known, states)
    done = sorted(
        state.since.astimezone(UTC).date()
        for state in states
        if state.school_year == year.key and state.phase is Phase.CERTIFIED and state.since is not None
    )
    return Progress(
        year=year,
        planned=len(planned),
        until_today=sum(day <= today for day in planned),
        certified=len(done),
        months=list(months(planned)),
        chart=chart(planned, done, today) if planned else None,
    )


def months(days: Sequence[date]) -> Iterable[Month]:
    """The months from the first to the last of some days, with how many of them are on each day."""
    number = Counter(days)
    if not days:
        return
    month = min(days).replace(day=1)
    for _ in range(MOST_MONTHS):
        if month > max(days):
            return
        weeks = calendar.Calendar().monthdatescalendar(month.year, month.month)
        shown = [[(day, number[day]) if day.month == month.month else None for day in week] for week in weeks]
        yield Month(f"{month:%B %Y}", shown)
        month = (month + timedelta(days=31)).replace(day=1)


def chart(planned: Sequence[date], done: Sequence[date], today: date) -> Chart:
    """The chart: time from left to right, resets from bottom to top."""
    first = min([*planned[:1], *done[:1]]) - timedelta(days=3)
    last = max([*planned[-1:], *done[-1:], min(today, planned[-1] + timedelta(days=60))]) + timedelta(days=3)
    days, most = (last - first).days, max(len(planned), len(done))

    def x(day: date) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (day - first).days / days, 1)

    def y(number: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * number / most, 1)

    def line(of: Sequence[date], until: date) -> Line:
        counted, total, points = Counter(of), 0, [(x(first), y(0))]
        for day in sorted(counted):
            points.append((x(day), y(total)))
            total += counted[day]
            points.append((x(day), y(total)))
        points.append((x(until), y(total)))
        return Line(" ".join(f"{left},{top}" for left, top in points))

    until = max([min(max(today, first), last), *done[-1:]])
    return Chart(
        planned=line(planned, last),
        done=line(done, until),
        now=x(today) if first <= today <= last else None,
        across=[(x(day), f"{day:%b} {day.day}") for day in marks(first, last)],
        up=[(y(number), f"{number:,}") for number in sorted({0, most // 2, most})],
    )


def marks(first: date, last: date, most: int = 8) -> list[date]:
    """Mondays between two days, a few of them at equal distances."""
    monday = first + timedelta(days=-first.weekday() % 7)
    weeks = max(0, (last - monday).days // 7) + 1
    step = -(-weeks // most)
    return [monday + timedelta(weeks=n) for n in range(0, weeks, step) if monday + timedelta(weeks=n) <= last]
