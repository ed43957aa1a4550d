"""The page Change a date: what the rules allow, what conflicts, and the change to the district file.

It writes nothing: dates are files, and a change of a file is reviewed like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from rollover.calendar import SchoolYear, YearFacts, date_problems, reset_day, reset_instant
from rollover.config import District, Product
from rollover.season.read import read_tenant
from rollover.season.state import TenantState
from rollover.settings import HOME
from rollover.web.district_file import diff, with_reset_date
from rollover.web.page import PageDep, day
from rollover.web.season_rows import Empty

router = APIRouter()


@router.get("/tenants/{tenant_id}/dates/{year}")
def dates(
    page: PageDep,
    tenant_id: str,
    year: str,
    wanted: Annotated[date | None, Empty, Query(alias="date")] = None,
) -> Response:
    """Show the rules for a tenant's year, and what another reset date would mean."""
    tenant = page.require(tenant_id)
    district, product = page.district(tenant), page.product(tenant)
    school_year = parsed(year)
    facts = district.facts(tenant.product, school_year)
    current = reset_day(product.reset_rule, tenant.district, school_year, facts)
    with page.session(tenant) as connection:
        states = [
            state for state in read_tenant(connection, page.catalog, page.now) if state.school_year == school_year.key
        ]
    conflicts = list(problems(district, product, school_year, facts, wanted, states, page.now)) if wanted else []
    change = None
    if wanted and not conflicts and wanted != facts.own_reset_date:
        path = page.host.districts / f"{tenant.district}.yaml"
        text = path.read_text(encoding="utf-8")
        change = diff(text, with_reset_date(text, tenant.product, school_year.key, wanted), name_of(path))
    return page.html(
        "dates.html.j2",
        tenant=tenant,
        district=district,
        product=product,
        year=school_year,
        facts=facts,
        rule=product.reset_rule,
        current=current,
        at=reset_instant(current, product.dates.reset_time, district.time_zone),
        wanted=wanted,
        conflicts=conflicts,
        change=change,
    )


def parsed(year: str) -> SchoolYear:
    """A school year. Raises 404 for what is none."""
    try:
        return SchoolYear.parse(year)
    except ValueError:
        raise HTTPException(HTTPStatus.NOT_FOUND) from None


def problems(
    district: District,
    product: Product,
    year: SchoolYear,
    facts: YearFacts,
    wanted: date,
    states: list[TenantState],
    now: datetime,
) -> Iterator[str]:
    """What is against a reset date: the rules, a rollover that has begun, and that it is over."""
    for state in states:
        if state.facts.rollover is not None:
            yield f"The rollover of {year} began on {day(state.facts.rollover.started_at)}, so its date is fixed."
    if reset_instant(wanted, product.dates.reset_time, district.time_zone) <= now:
        yield f"{day(wanted)} is over: the rollover would begin as soon as the file is deployed."
    facts = replace(facts, own_reset_date=wanted)
    for _, message in date_problems(product.reset_rule, district.district, year, facts):
        yield f"{message[0].upper()}{message[1:]}."


def name_of(path: Path) -> str:
    """The path of a file in this repository; of one outside, its name."""
    return path.relative_to(HOME).as_posix() if path.is_relative_to(HOME) else path.name
