"""The totals that the panel on Airflow's home shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from rollover.season.phases import Phase
from rollover.season.read import Season
from rollover.texts.filters import count
from rollover.web.page import PageDep

router = APIRouter()


@dataclass(frozen=True)
class TotalsLine:
    """A line of the panel, and whether it is about something late or wrong."""

    text: str
    wrong: bool = False


def totals_of(season: Season) -> list[TotalsLine]:
    """The season in a few lines: what has begun, what waits for a person, and what is late."""
    current = season.current
    under_way = sum(state.is_under_way for state in current)
    certified = sum(state.phase is Phase.CERTIFIED for state in current)
    late = sum(state.is_late for state in current)
    questions = sum(len(state.facts.questions) for state in current)
    lines = [
        TotalsLine(count(len(current), "tenant")),
        TotalsLine(f"{under_way:,} under way"),
        TotalsLine(f"{certified:,} certified"),
        TotalsLine(f"{count(questions, 'decision')} to make") if questions else None,
        TotalsLine(f"{late:,} late or wrong", wrong=True) if late else None,
    ]
    return [line for line in lines if line is not None]


@router.get("/totals")
def totals(page: PageDep) -> dict[str, object]:
    """The lines of the panel, about the tenants that the person may see."""
    season = page.season
    return {"tenants": len(season.current), "lines": [asdict(line) for line in totals_of(season)]}


@router.get("/dags/{dag_id}")
def of_dag(page: PageDep, dag_id: str) -> RedirectResponse:
    """Go to the tenant of a DAG, whose tab this is; from the other DAGs, to the season."""
    tenant = next((tenant for tenant in page.catalog.tenants if tenant.dag_id == dag_id), None)
    return RedirectResponse(page.url(f"/tenants/{tenant.id}" if tenant else "/season"))
