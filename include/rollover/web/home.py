"""The totals that the panel on Airflow's home shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from rollover.calendar import SchoolYear
from rollover.season.overview import overview
from rollover.season.state import TenantState
from rollover.texts.filters import count
from rollover.web.page import PageDep
from rollover.web.season_rows import of_year

router = APIRouter()


@dataclass(frozen=True)
class TotalsLine:
    """A line of the panel, and whether it is about something late or wrong."""

    text: str
    wrong: bool = False


def totals_of(states: Sequence[TenantState], year: SchoolYear, now: datetime) -> list[TotalsLine]:
    """The season in a few lines: how far it is, what waits for a person, and what is late."""
    sums = overview(states, year, now)
    questions = len({question.question_id for state in states for question in state.facts.questions})
    lines = [
        TotalsLine(f"{year}: {sums.tenants:,} planned"),
        TotalsLine(f"{sums.due:,} due by today"),
        TotalsLine(f"{sums.certified:,} certified"),
        TotalsLine(f"{count(questions, 'decision')} to make") if questions else None,
        TotalsLine(f"{len(sums.late):,} late or wrong", wrong=True) if sums.late else None,
    ]
    return [line for line in lines if line is not None]


@router.get("/totals")
def totals(page: PageDep) -> dict[str, object]:
    """The lines of the panel, about the tenants that the person may see."""
    states = of_year(page.season, page.season_year, only=False)
    lines = totals_of(states, page.season_year, page.now)
    return {"tenants": len({state.tenant for state in states}), "lines": [asdict(line) for line in lines]}


@router.get("/dags/{dag_id}")
def of_dag(page: PageDep, dag_id: str) -> RedirectResponse:
    """Go to the tenant of a DAG, whose tab this is; from the other DAGs, to the season."""
    tenant = next((tenant for tenant in page.catalog.tenants if tenant.dag_id == dag_id), None)
    return RedirectResponse(page.url(f"/tenants/{tenant.id}" if tenant else "/season"))
