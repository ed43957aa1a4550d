"""Draws how far a season is: the calendar of reset dates, and planned against certified as a chart."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta

from rollover.calendar import SchoolYear
from rollover.season.phases import NOT_BEGUN, Phase
from rollover.season.state import TenantState

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
class Soon:
    """A day on which tenants reset soon: how many, and which of them do not know yet."""

    day: date
    resets: int
    uninformed: list[TenantState]


def soon(upcoming: Iterable[TenantState]) -> list[Soon]:
    """The days of the resets that come next, first day first."""
    found: dict[date, list[TenantState]] = {}
    for state in upcoming:
        found.setdefault(state.dates.reset_date, []).append(state)
    return [
        Soon(day, len(states), [state for state in states if not is_informed(state)])
        for day, states in sorted(found.items())
    ]


def next_resets(states: Iterable[TenantState], today: date) -> Soon | None:
    """The first day after today on which tenants reset whose rollover has not begun."""
    ahead = [state for state in states if state.phase in NOT_BEGUN and state.dates.is_active]
    days = soon(state for state in ahead if state.dates.reset_date > today)
    return days[0] if days else None


def is_informed(state: TenantState) -> bool:
    """Whether the district was informed of the reset date."""
    return state.facts.notices is not None and state.facts.notices.informed_at is not None


def certified_days(states: Iterable[TenantState], year: SchoolYear) -> list[date]:
    """The days on which the rollovers of a year were certified."""
    return sorted(
        state.since.astimezone(UTC).date()
        for state in states
        if state.school_year == year.key and state.phase is Phase.CERTIFIED and state.since is not None
    )


def months(number: Mapping[date, int]) -> Iterator[Month]:
    """The months from the first to the last of some days, with the number of resets on each day."""
    days = [day for day in number if number[day]]
    if not days:
        return
    month = min(days).replace(day=1)
    for _ in range(MOST_MONTHS):
        if month > max(days):
            return
        weeks = calendar.Calendar().monthdatescalendar(month.year, month.month)
        shown = [[(day, number.get(day, 0)) if day.month == month.month else None for day in week] for week in weeks]
        yield Month(f"{month:%B %Y}", shown)
        month = (month + timedelta(days=31)).replace(day=1)


def chart(by_day: Mapping[date, int], done: Sequence[date], today: date) -> Chart | None:
    """The chart of the planned resets by day and of the days of certificates; None if nothing is planned.

    Time goes from left to right, the number of resets from bottom to top.
    """
    planned = sorted(day for day, number in by_day.items() for _ in range(number))
    if not planned:
        return None
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
