"""``rollover status``: shows the state of each tenant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

import typer

from rollover.cli.command import LOOK, Cell, Lines, Sheet, Tabular, command
from rollover.cli.context import Context, refuse_other
from rollover.cli.lint import NotReady, not_ready
from rollover.cli.parameters import PHASES, WAITS_FOR, AnyTenant, LateOption, PhaseOption, ProductOption, WaitsForOption
from rollover.tenant import PRODUCTS, Tenant

if TYPE_CHECKING:
    from rollover.season.detail import TenantDetail
    from rollover.season.facts import Fact
    from rollover.season.read import Season
    from rollover.season.state import TenantState

app = typer.Typer()
COLOURS = {"fine": "green", "attention": "yellow", "late": "magenta", "wrong": "bold red"}
NOT_IN_DIRECTORY = "not in the directory"


@dataclass(frozen=True)
class Drop:
    """A drop of roster files: its state and since when, the dates of its files on the district's server, and its
    numbers (None before it is read)."""

    import_id: str
    state: str
    school_year: str | None
    found_at: datetime
    changed_at: datetime
    reason: str | None
    files_from: datetime | None
    files_to: datetime | None
    rows: int | None
    rejected: int | None
    errors: int | None
    warnings: int | None


@dataclass(frozen=True)
class Pause:
    """The current pause of the nightly sync: since when, by which person or rollover, and why."""

    since: datetime
    by: str
    reason: str


@dataclass(frozen=True)
class UnreadFiles:
    """The last files that were ignored, because no roster is read from them."""

    files: int
    found_at: datetime


@dataclass(frozen=True)
class InReview:
    """A roster import in review: since when, and why."""

    import_id: str
    since: datetime
    reason: str | None


@dataclass(frozen=True)
class Year:
    """A year of a tenant: where it is, in a line that begins with the result."""

    school_year: str
    phase: str
    severity: str
    summary: str

    @classmethod
    def of(cls, state: TenantState) -> Self:
        return cls(state.school_year, state.phase, state.severity, state.summary)

    def __str__(self) -> str:
        return f"{self.school_year}: {self.summary}"


@dataclass(frozen=True)
class Detail:
    """What only `rollover status TENANT` shows. `holds` are sentences, without a student; `sentences` say everything.

    `waiting_imports` is the number of drops that wait to be applied; `years` are all, newest first.
    """

    current_school_year: str | None
    pause: Pause | None
    holds: list[str]
    live_roster: Drop | None
    in_review: list[InReview]
    unread: UnreadFiles | None
    waiting_imports: int
    years: list[Year]
    sentences: list[str]

    @classmethod
    def of(cls, found: TenantDetail) -> Self:
        facts = found.states[0].facts if found.states else None
        return cls(
            current_school_year=facts.current_school_year if facts else None,
            pause=_made_of(Pause, facts and facts.pause),
            holds=found.holds,
            live_roster=_made_of(Drop, facts and facts.live_roster),
            in_review=[InReview(each.import_id, each.since, each.reason) for each in found.in_review],
            unread=_made_of(UnreadFiles, facts and facts.unread),
            waiting_imports=facts.waiting_imports if facts else 0,
            years=[Year.of(state) for state in found.states],
            sentences=found.sentences,
        )


@dataclass(frozen=True)
class TenantRow:
    """A tenant in its most important year. `summary` begins with the result, `alarms` says what is late or wrong.

    `other_years` are not finished, or not fine. `problems` says why the tenant could not run now. A tenant that the
    directory lacks has no year and no phase. `detail` is null unless a tenant or a district was named.
    """

    tenant: str
    school_year: str | None
    phase: str | None
    waits_for: str
    since: datetime | None
    severity: str
    summary: str
    alarms: list[str]
    next_date: date | None
    next_why: str | None
    last_drop: Drop | None
    last_drop_in_words: str
    days_paused: int | None
    other_years: list[Year]
    problems: list[str]
    detail: Detail | None

    def __str__(self) -> str:
        return f"{self.tenant}: {'; '.join(self._parts)}"

    @property
    def _parts(self) -> Iterator[str]:
        yield f"{self.school_year}: {self.summary}" if self.school_year else self.summary
        if self.waits_for != "nobody":
            yield f"waits for {self._role}"
        if self.since:
            yield f"since {self.since:%Y-%m-%d}"
        if self.next_date:
            yield f"next {self.next_date}: {self.next_why}"
        yield f"last drop: {self.last_drop_in_words or 'none'}"
        if self.days_paused is not None:
            yield f"paused for {self._paused}"
        yield from self.sentences

    @property
    def sentences(self) -> Iterator[str]:
        """What is below the table, or at the end of the line."""
        yield from self.alarms
        yield from self.problems
        yield from (f"also {year}" for year in self.other_years)
        yield from self.detail.sentences if self.detail else ()

    @property
    def cells(self) -> tuple[Cell | str, ...]:
        colour = COLOURS[self.severity]
        drop = self.last_drop
        return (
            self.tenant,
            self.school_year or "",
            Cell(self._phase, colour),
            Cell(self.severity, colour),
            self._role if self.waits_for != "nobody" else "",
            f"{self.since:%Y-%m-%d}" if self.since else "",
            f"{self.next_date}, {self.next_why}" if self.next_date else "",
            f"{drop.state.replace('_', ' ')} {drop.changed_at:%Y-%m-%d}" if drop else "none",
            Cell(self._paused, "yellow"),
        )

    @property
    def _phase(self) -> str:
        from rollover.season.phases import Phase

        return Phase(self.phase).label if self.phase else self.summary

    @property
    def _role(self) -> str:
        from rollover.season.phases import WaitsFor

        return WaitsFor(self.waits_for).label

    @property
    def _paused(self) -> str:
        days = self.days_paused
        return "" if days is None else f"{days} day" if days == 1 else f"{days} days"

    @property
    def below(self) -> Iterator[str]:
        """The sentences about a tenant, unless all is fine and nobody asked for more."""
        said = list(self.sentences)
        if said or self.severity != "fine":
            year = f" {self.school_year}" if self.school_year else ""
            yield from (f"{self.tenant}{year}: {self.summary}", *(f"  {sentence}" for sentence in said), "")


@dataclass(frozen=True)
class Statuses(Tabular):
    """Each tenant that was asked for; `problems` are those of all tenants together, e.g. a shared DAG that is
    paused."""

    tenants: list[TenantRow]
    problems: list[NotReady]

    def sheet(self) -> Sheet:
        columns = ("Tenant", "Year", "Phase", "Severity", "Waits for", "Since", "Next", "Last drop", "Paused")
        below = [sentence for row in self.tenants for sentence in row.below]
        return Sheet(columns, [row.cells for row in self.tenants], [*below, *map(str, self.problems)])


@app.command("status", rich_help_panel=LOOK, epilog="Example: rollover status springfield-il")
@command
def status(
    context: Context,
    tenant: AnyTenant = None,
    product: ProductOption = None,
    phase: PhaseOption = None,
    waits_for: WaitsForOption = None,
    late: LateOption = False,
) -> Lines[Statuses]:
    """Show where each tenant is, who it waits for, what comes next and what is late; with TENANT, everything about it.

    Of several years of a tenant, it shows the most serious of those asked for, and names the others.
    """
    from rollover.season.overview import season_year
    from rollover.season.read import Season, read_season

    for name, known in ((product, PRODUCTS), (phase, PHASES), (waits_for, WAITS_FOR)):
        refuse_other(name, known)
    named = [each for each in context.tenants(tenant) if product in (None, each.product)]
    details = {each: _detail(context, each) for each in named} if tenant is not None else {}
    states = tuple(state for found in details.values() for state in found.states)
    this_year = season_year(context.now)
    season = Season(states) if details else read_season(context.engine, context.catalog, context.now, year=this_year)
    problems: dict[str, list[NotReady]] = {each.id: [] for each in named}
    of_all: list[NotReady] = []
    for problem in not_ready(context, named):
        problems.get(problem.tenant, of_all).append(problem)

    def is_wanted(state: TenantState) -> bool:
        return phase in (None, state.phase) and waits_for in (None, state.waits_for) and (state.is_late or not late)

    rows = []
    shown = {state.tenant: state for state in season.where(is_wanted)}
    for each in named:
        state = shown.get(each)
        is_unknown = not season.of(each.id) and phase is None and waits_for is None
        if state is None and not is_unknown:
            continue
        own = [found.problem for found in problems[each.id]]
        detail = Detail.of(details[each]) if details else None
        rows.append(_row(each, season, state, own, detail))
        yield str(rows[-1])
    yield from map(str, of_all)
    return Statuses(rows, of_all)


Made = TypeVar("Made", Drop, Pause, UnreadFiles)


def _made_of(kind: type[Made], fact: Fact | None) -> Made | None:
    """The part of the facts that a document shows."""
    return None if fact is None else kind(**{field.name: getattr(fact, field.name) for field in fields(kind)})


def _detail(context: Context, tenant: Tenant) -> TenantDetail:
    from rollover.season.detail import detail_of

    with context.session(tenant) as connection:
        return detail_of(connection, context.catalog, context.now)


def _row(
    tenant: Tenant, season: Season, state: TenantState | None, problems: list[str], detail: Detail | None
) -> TenantRow:
    from rollover.season.detail import import_in_words

    if state is None:
        nothing: dict[str, Any] = dict.fromkeys(("school_year", "phase", "since", "next_date", "next_why", "last_drop"))
        return TenantRow(
            **nothing,
            tenant=tenant.id,
            waits_for="nobody",
            severity="wrong" if problems else "fine",
            summary=NOT_IN_DIRECTORY,
            alarms=[],
            last_drop_in_words="",
            days_paused=None,
            other_years=[],
            problems=problems,
            detail=detail,
        )
    drop = state.facts.newest_drop
    return TenantRow(
        tenant=tenant.id,
        school_year=state.school_year,
        phase=state.phase,
        waits_for=state.waits_for,
        since=state.since,
        severity=state.severity,
        summary=state.summary,
        alarms=state.sentences,
        next_date=state.next_date,
        next_why=state.next_why,
        last_drop=_made_of(Drop, drop),
        last_drop_in_words=import_in_words(drop) if drop else "",
        days_paused=state.days_paused,
        other_years=[Year.of(other) for other in season.beside(state)],
        problems=problems,
        detail=detail,
    )
