"""The page Season: how far it is, what is late, who waits for which role, and a table of all tenants."""

from __future__ import annotations

from collections import Counter
from datetime import UTC
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from rollover.calendar import SchoolYear
from rollover.season.overview import NEXT_DAYS, overview
from rollover.season.phases import Phase, WaitsFor
from rollover.web.page import PageDep
from rollover.web.progress import certified_days, chart, months, next_resets, soon
from rollover.web.season_rows import Choice, in_order, of_year, rows_of

router = APIRouter()

SHOWN_NAMES = 4
"""So many tenants that were not informed are named for each day."""
SHOWN_LATE = 8
"""So many of what is late are listed on top; the others are in the table."""


@router.get("/season")
def season(page: PageDep, choice: Annotated[Choice, Query()]) -> Response:
    """Show the season of a year."""
    year = year_of(choice, page.season_year)
    known = page.season_of(year)
    states = of_year(known, year, only=choice.year is not None)
    sums, today = overview(states, year, page.now), page.now.astimezone(UTC).date()
    planned = {each.day: each.planned for each in sums.by_day}
    late = in_order(sums.late, None)
    return page.html(
        "season.html.j2",
        choice=choice,
        year=year,
        years=page.years,
        products={tenant.product: page.product(tenant).label for tenant in sorted(page.tenants)},
        phases=list(Phase),
        roles=list(WaitsFor),
        by_phase=Counter(state.phase for state in states),
        by_role=Counter(state.waits_for for state in states if state.waits_for is not WaitsFor.NOBODY),
        late=late[:SHOWN_LATE],
        late_total=len(late),
        total=len(states),
        rows=rows_of(states, choice),
        sums=sums,
        soon=soon(sums.upcoming),
        next_day=None if sums.upcoming else next_resets(known.states, today),
        next_days=NEXT_DAYS,
        shown_names=SHOWN_NAMES,
        months=list(months(planned)),
        chart=chart(planned, certified_days(states, year), today),
        today=today,
    )


def year_of(choice: Choice, default: SchoolYear) -> SchoolYear:
    """The year that was chosen. Raises 404 for what is no school year."""
    try:
        return SchoolYear.parse(choice.year) if choice.year else default
    except ValueError:
        raise HTTPException(404) from None
