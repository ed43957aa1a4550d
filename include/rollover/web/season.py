"""The page Season: how far it is, what is late, who waits for which role, and a table of all tenants."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from rollover.calendar import SchoolYear
from rollover.season.phases import Phase, WaitsFor
from rollover.web.page import PageDep
from rollover.web.progress import progress
from rollover.web.season_rows import Choice, in_order, of_year, rows_of

router = APIRouter()

SHOWN_LATE = 8
"""So many of what is late are listed on top; the others are in the table."""


@router.get("/season")
def season(page: PageDep, choice: Annotated[Choice, Query()]) -> Response:
    """Show the season of a year."""
    year = year_of(choice, page.season_year)
    found = page.season_of(year)
    states = of_year(found, year, only=choice.year is not None)
    late = in_order((state for state in states if state.is_late), None)
    return page.html(
        "season.html.j2",
        choice=choice,
        year=year,
        years=page.years,
        products={tenant.product: page.product(tenant).name for tenant in sorted(page.tenants)},
        phases=list(Phase),
        roles=list(WaitsFor),
        by_phase=Counter(state.phase for state in states),
        by_role=Counter(state.waits_for for state in states if state.waits_for is not WaitsFor.NOBODY),
        late=late[:SHOWN_LATE],
        late_total=len(late),
        total=len(states),
        rows=rows_of(states, choice),
        progress=progress(year, page.tenants, page.catalog, found.states, page.now),
        today=page.now.date(),
    )


def year_of(choice: Choice, default: SchoolYear) -> SchoolYear:
    """The year that was chosen. Raises 404 for what is no school year."""
    try:
        return SchoolYear.parse(choice.year) if choice.year else default
    except ValueError:
        raise HTTPException(404) from None
