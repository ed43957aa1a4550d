"""``rollover season``: how far the season is, who resets next and whether they know, and what is late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import typer

from rollover.cli.command import LOOK, Cell, Lines, Sheet, Tabular, command
from rollover.cli.context import Context, school_year
from rollover.cli.parameters import AnyYear

if TYPE_CHECKING:
    from rollover.season.state import TenantState

app = typer.Typer()


@dataclass(frozen=True)
class PhaseTotal:
    """How many tenants are in a phase, and how many of them are late or stopped."""

    phase: str
    tenants: int
    late: int


@dataclass(frozen=True)
class DayTotal:
    """How many tenants reset on a day, and how many of them are reset, and certified."""

    day: date
    planned: int
    reset: int
    certified: int


@dataclass(frozen=True)
class NextReset:
    """A tenant that resets soon. `informed_at` is when its district was first informed of the date; null: not yet."""

    tenant: str
    district: str
    school_year: str
    reset_date: date
    phase: str
    informed_at: datetime | None

    def __str__(self) -> str:
        informed = f"informed on {self.informed_at:%Y-%m-%d}" if self.informed_at else "not informed"
        on_hold = ", on hold" if self.phase == "held" else ""
        return f"{self.reset_date} {self.tenant} ({self.district}): {informed}{on_hold}"


@dataclass(frozen=True)
class LateYear:
    """A tenant's year in which something is late or wrong."""

    tenant: str
    school_year: str
    severity: str
    waits_for: str
    summary: str
    alarms: list[str]

    def __str__(self) -> str:
        return f"{self.tenant} {self.school_year}: {'; '.join([self.summary, *self.alarms])}"


@dataclass(frozen=True)
class SeasonTotals(Tabular):
    """A season: the rollovers of one school year. `due` is how many tenants have a reset date that has come.

    `next_resets` are those of the next `next_days` days; with --year, both lists are of that year only.
    """

    school_year: str
    tenants: int
    due: int
    reset: int
    certified: int
    by_phase: list[PhaseTotal]
    by_day: list[DayTotal]
    next_days: int
    next_resets: list[NextReset]
    late: list[LateYear]

    def sheet(self) -> Sheet:
        rows: list[tuple[Cell | str, ...]] = [
            (_label(each.phase), f"{each.tenants:,}", Cell(f"{each.late:,}", "magenta") if each.late else "")
            for each in self.by_phase
        ]
        return Sheet(("Phase", "Tenants", "Late"), rows, list(self.below))

    @property
    def lines(self) -> Iterator[str]:
        """The season in a pipe."""
        for each in self.by_phase:
            late = f", {each.late:,} late" if each.late else ""
            yield f"{self.school_year} {_label(each.phase)}: {each.tenants:,}{late}"
        yield from self.below

    @property
    def below(self) -> Iterator[str]:
        yield f"{self.school_year}: {self.tenants:,} planned, {self.due:,} due by today, {self.reset:,} reset, " + (
            f"{self.certified:,} certified"
        )
        yield f"Resets in the next {self.next_days} days: {len(self.next_resets) or 'none'}"
        yield from (f"  {each}" for each in self.next_resets)
        yield f"Late or stopped: {len(self.late) or 'none'}"
        yield from (f"  {each}" for each in self.late)


@app.command("season", rich_help_panel=LOOK, epilog="Example: rollover season --year 2025-26")
@command
def season(context: Context, year: AnyYear = None) -> Lines[SeasonTotals]:
    """Show how far the season is, by phase; who resets next, and whether they were informed; and what is late.

    Without --year, the totals are of the school year that ends in this calendar year, the lists of every year.
    """
    from rollover.season.overview import NEXT_DAYS, overview, season_year
    from rollover.season.read import read_season

    wanted = school_year(year) if year else season_year(context.now)
    states = read_season(context.engine, context.catalog, context.now, year=wanted).states
    if year is not None:
        states = tuple(state for state in states if state.school_year == wanted.key)
    found = overview(states, wanted, context.now)
    totals = SeasonTotals(
        school_year=found.school_year,
        tenants=found.tenants,
        due=found.due,
        reset=found.reset,
        certified=found.certified,
        by_phase=[PhaseTotal(each.phase, each.tenants, each.late) for each in found.by_phase],
        by_day=[DayTotal(each.day, each.planned, each.reset, each.certified) for each in found.by_day],
        next_days=NEXT_DAYS,
        next_resets=[_next_reset(state) for state in found.upcoming],
        late=[_late(state) for state in found.late],
    )
    yield from totals.lines
    return totals


def _next_reset(state: TenantState) -> NextReset:
    notices = state.facts.notices
    return NextReset(
        tenant=state.tenant.id,
        district=state.district_name,
        school_year=state.school_year,
        reset_date=state.dates.reset_date,
        phase=state.phase,
        informed_at=notices.informed_at if notices else None,
    )


def _late(state: TenantState) -> LateYear:
    return LateYear(state.tenant.id, state.school_year, state.severity, state.waits_for, state.summary, state.sentences)


def _label(phase: str) -> str:
    from rollover.season.phases import Phase

    return Phase(phase).label
