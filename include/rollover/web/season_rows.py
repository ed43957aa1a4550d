"""Chooses the states that the season page shows: by year, filter, search, order and page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rollover.calendar import SchoolYear
from rollover.season.phases import Phase, WaitsFor
from rollover.season.read import Season
from rollover.season.state import LAST_MOMENT, TenantState

PAGE_ROWS = 50
FIRST_DAY = datetime(1, 1, 1, tzinfo=UTC)


def _none_if_empty(value: object) -> object:
    """A field of a form that nothing was chosen in."""
    return None if value == "" else value


Empty = BeforeValidator(_none_if_empty)
Year = Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]


class Choice(BaseModel):
    """What a person has chosen on the season page. All of it is in the page's address."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    year: Annotated[Year | None, Empty] = None
    product: Annotated[str | None, Empty] = None
    phase: Annotated[Phase | None, Empty] = None
    waits_for: Annotated[WaitsFor | None, Empty] = None
    late: Annotated[bool, BeforeValidator(bool)] = False
    reset: Annotated[date | None, Empty] = None
    q: Annotated[str, Field(max_length=100)] = ""
    sort: Annotated[str | None, Empty] = None
    page: Annotated[int, Field(ge=1, le=10_000)] = 1

    def with_changes(self, **more: object) -> dict[str, object]:
        """The query of the same page with something else chosen; from its first row, unless `page` is given."""
        chosen = {**self.model_dump(mode="json", exclude={"page"}), "page": None, **more}
        return {name: "1" if value is True else value for name, value in chosen.items() if value}

    @property
    def is_filtered(self) -> bool:
        return any((self.product, self.phase, self.waits_for, self.late, self.reset, self.q))


def of_year(season: Season, year: SchoolYear, *, only: bool) -> list[TenantState]:
    """The states of a year, and those of other years that are under way or late, so that no backfill is hidden.

    A tenant that has neither is there with its newest year. With `only`, the states of the year itself.
    """
    key = year.key
    found = [state for state in season.states if state.school_year == key or (_is_open(state) and not only)]
    if only:
        return found
    shown = {state.tenant for state in found}
    newest = {state.tenant: state for state in season.states if state.tenant not in shown}
    return [*found, *newest.values()]


def _is_open(state: TenantState) -> bool:
    return state.is_under_way or state.is_late


def chosen(states: Iterable[TenantState], choice: Choice) -> list[TenantState]:
    """The states that pass all filters."""
    words = choice.q.casefold().split()
    return [state for state in states if _passes(state, choice) and _has(state, words)]


def _passes(state: TenantState, choice: Choice) -> bool:
    return (
        choice.product in (None, state.tenant.product)
        and choice.phase in (None, state.phase)
        and choice.waits_for in (None, state.waits_for)
        and choice.reset in (None, state.dates.reset_date)
        and (not choice.late or state.is_late)
    )


def _has(state: TenantState, words: list[str]) -> bool:
    """Whether every word of a search is in the names of the tenant."""
    if not words:
        return True
    name = f"{state.district_name} {state.product_name} {state.tenant.id} {state.school_year}".casefold()
    return all(word in name for word in words)


ORDERS: dict[str, Callable[[TenantState], Any]] = {
    "urgency": lambda state: state.urgency,
    "tenant": lambda state: (state.district_name.casefold(), state.product_name, state.school_year),
    "phase": lambda state: (list(Phase).index(state.phase), state.tenant),
    "waits_for": lambda state: (state.waits_for is WaitsFor.NOBODY, state.waits_for.label, state.tenant),
    "since": lambda state: (state.since or LAST_MOMENT, state.tenant),
    "next": lambda state: (state.next_date or date.max, state.tenant),
    "drop": lambda state: (state.facts.newest_drop.found_at if state.facts.newest_drop else FIRST_DAY, state.tenant),
    "paused": lambda state: (-(state.days_paused if state.days_paused is not None else -1), state.tenant),
}
"""A minus before a name turns the order round."""


def in_order(states: Iterable[TenantState], sort: str | None) -> list[TenantState]:
    """The states in one of the `ORDERS`; in that of urgency for a name that is none of them."""
    name = sort or "urgency"
    return sorted(states, key=ORDERS.get(name.removeprefix("-"), ORDERS["urgency"]), reverse=name.startswith("-"))


@dataclass(frozen=True)
class Rows:
    """The rows of one page of the table."""

    shown: list[TenantState]
    total: int
    page: int

    @property
    def first(self) -> int:
        return (self.page - 1) * PAGE_ROWS + 1

    @property
    def last(self) -> int:
        return self.first + len(self.shown) - 1

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // PAGE_ROWS))


def rows_of(states: list[TenantState], choice: Choice) -> Rows:
    """One page of the states that pass the filters. A page after the last one is the last one."""
    found = in_order(chosen(states, choice), choice.sort)
    page = min(choice.page, max(1, -(-len(found) // PAGE_ROWS)))
    return Rows(found[(page - 1) * PAGE_ROWS : page * PAGE_ROWS], len(found), page)
