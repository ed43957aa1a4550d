"""Shows one tenant: where its rollover is, what goes and why, its files, its exports, and what proves all that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection, text

from rollover.calendar import SchoolYear
from rollover.errors import Refused
from rollover.run import Run
from rollover.season.phases import NOT_BEGUN
from rollover.season.read import most_important, read_tenant
from rollover.season.state import TenantState
from rollover.tenant import Tenant
from rollover.web.data import exports, files, plan, proof, record, subscriptions, timeline
from rollover.web.host import Right
from rollover.web.page import Page, PageDep

router = APIRouter(prefix="/tenants/{tenant_id}")

TABS = (
    ("", "Overview"),
    ("/plan", "Plan"),
    ("/drops", "Files"),
    ("/exports", "Exports"),
    ("/proof", "Proof"),
    ("/record", "Messages, holds, pauses"),
    ("/archive", "Archive"),
)
SCHOOLS_AT_ONCE = 40
DROPS_AT_ONCE = 25
FILES_AT_ONCE = 100
LINKS_AT_ONCE = 50
SHOWN_SUBSCRIPTIONS = 60
DRAFT_SECONDS = 60
"""How long a statement of a draft may take, since everybody who may read a tenant may ask for one."""

Number = Annotated[int, Query(ge=1, le=100_000)]
"""The number of a page of a long list."""


@dataclass(frozen=True)
class Shown:
    """The tenant and the school year that a page is about, in one transaction."""

    page: Page
    tenant: Tenant
    connection: Connection
    states: list[TenantState]
    """All years, newest first; empty if the directory does not have the tenant."""
    state: TenantState | None

    @property
    def run(self) -> Run:
        """The rollover of the year, for functions that take one. Raises 404 if nothing is known of the tenant."""
        return run_of(self.page, self.tenant, self.year.school_year)

    @property
    def year(self) -> TenantState:
        """The state of the year. Raises 404 if nothing is known of the tenant."""
        if self.state is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "The directory does not have this tenant yet.")
        return self.state

    def html(self, template: str, **values: Any) -> HTMLResponse:
        """A template with everything that the frame of these pages needs."""
        frame = {"tenant": self.tenant, "states": self.states, "state": self.state, "tabs": TABS}
        may_download = self.page.may(self.tenant, Right.DOWNLOAD)
        return self.page.html(template, may_download=may_download, **{**frame, **values})


@contextmanager
def shown(page: Page, tenant_id: str, year: str | None) -> Iterator[Shown]:
    """The tenant and its year, for a route. Without `year`, the year with the most serious state.

    Raises 404 for a tenant or year that there is not, or that the visitor may not see.
    """
    tenant = page.require(tenant_id)
    with page.session(tenant) as connection:
        states = read_tenant(connection, page.catalog, page.now)
        if year is None:
            state = most_important(states) if states else None
        else:
            state = next((each for each in states if each.school_year == year), None)
            if state is None:
                raise HTTPException(HTTPStatus.NOT_FOUND)
        yield Shown(page, tenant, connection, states, state)


def run_of(page: Page, tenant: Tenant, school_year: str) -> Run:
    """A rollover as the functions of the library take it."""
    host = page.host
    return Run(
        engine=host.engine(),
        tenant=tenant,
        school_year=SchoolYear.parse(school_year),
        district=page.district(tenant),
        product=page.product(tenant),
        storage=host.storage,
        now=page.now,
        archive_keys=host.keys.folder,
        backup_days=host.backup_days,
    )


@router.get("")
def overview(page: PageDep, tenant_id: str, year: str | None = None) -> Response:
    """Where the rollover is, what came last, what goes, what proves it, and what happened."""
    with shown(page, tenant_id, year) as found:
        state, connection = found.state, found.connection
        if state is None:
            return found.html("tenant_unknown.html.j2")
        newest = state.facts.newest_drop
        is_planned = state.facts.plan is not None
        return found.html(
            "tenant.html.j2",
            way=timeline.way(state),
            events=timeline.events(connection, found.tenant.id, state.school_year),
            problems=files.worst_problems(connection, newest.import_id) if newest else (),
            plan=plan.frozen(connection, found.run.id, page.product(found.tenant)) if is_planned else None,
            subscriptions=subscriptions.by_school(connection, found.run, None) if not is_planned else (),
            certificates=proof.certificates_of(connection),
            held=[hold for hold in record.held(connection) if hold.lifted_at is None],
            kept_until=exports.kept_until(state),
        )


@router.get("/plan")
def of_plan(
    page: PageDep,
    tenant_id: str,
    year: str | None = None,
    find: Annotated[str, Query(max_length=200)] = "",
    number: Number = 1,
    count: bool = False,
) -> Response:
    """What happens to which rows, and why; with `count`, what a plan would say if it were frozen now."""
    drawn, refused = None, None
    if count:
        try:
            drawn = draft(page, tenant_id, year)
        except Refused as error:
            refused = error
    with shown(page, tenant_id, year) as found:
        view = drawn if count else frozen(found)
        plan_no = view.number if view else None
        known = subscriptions.by_school(found.connection, found.run, plan_no)
        schools = [each for each in view.schools if _is_meant(find, each.school, each.school_id)] if view else []
        return found.html(
            "tenant_plan.html.j2",
            plan=view,
            refused=refused,
            is_draft=count,
            may_count=found.year.phase in NOT_BEGUN,
            product=page.product(found.tenant),
            subscriptions=[each for each in known if _is_meant(find, each.school, each.school_id)],
            shown_subscriptions=SHOWN_SUBSCRIPTIONS,
            schools=_part(schools, number, SCHOOLS_AT_ONCE),
            found_schools=len(schools),
            find=find,
            number=number,
            at_once=SCHOOLS_AT_ONCE,
        )


def draft(page: Page, tenant_id: str, year: str | None) -> plan.PlanView:
    """What a plan would say now: of a year that has not begun, else 404.

    It takes as long as the year is large, so it has a transaction of its own, which keeps nobody waiting.
    """
    with shown(page, tenant_id, year) as found:
        run, has_begun = found.run, found.year.phase not in NOT_BEGUN
    if has_begun:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    with page.session(found.tenant) as connection:
        connection.execute(text(f"SET LOCAL statement_timeout = '{DRAFT_SECONDS}s'"))
        return plan.draft(connection, run)


def frozen(found: Shown) -> plan.PlanView | None:
    """The plan in force of the year that is shown."""
    return plan.frozen(found.connection, found.run.id, found.page.product(found.tenant))


@router.get("/drops")
def of_drops(page: PageDep, tenant_id: str, year: str | None = None, number: Number = 1) -> Response:
    """The drops of the tenant with their results, newest first."""
    with shown(page, tenant_id, year) as found:
        first = (number - 1) * DROPS_AT_ONCE
        drops = files.drops(found.connection, first=first, most=DROPS_AT_ONCE + 1)
        return found.html(
            "tenant_drops.html.j2",
            drops=drops[:DROPS_AT_ONCE],
            is_more=len(drops) > DROPS_AT_ONCE,
            number=number,
        )


@router.get("/exports")
def of_exports(
    page: PageDep, tenant_id: str, year: str | None = None, report: str | None = None, number: Number = 1
) -> Response:
    """The exports of a year; with `report`, the files of one."""
    with shown(page, tenant_id, year) as found:
        state = found.year
        first = (number - 1) * FILES_AT_ONCE
        some = exports.files_of(found.connection, state, report, first=first, most=FILES_AT_ONCE + 1) if report else []
        return found.html(
            "tenant_exports.html.j2",
            reports=exports.by_report(found.connection, state),
            report=report,
            files=some[:FILES_AT_ONCE],
            is_more=len(some) > FILES_AT_ONCE,
            number=number,
            kept_until=exports.kept_until(state),
        )


@router.get("/proof")
def of_proof(page: PageDep, tenant_id: str, year: str | None = None, number: Number = 1) -> Response:
    """What proves the rollover: certificate, verification, what is still kept, and the checked chain of evidence."""
    with shown(page, tenant_id, year) as found:
        first = (number - 1) * LINKS_AT_ONCE
        links = proof.links(found.connection, first=first, most=LINKS_AT_ONCE + 1)
        return found.html(
            "tenant_proof.html.j2",
            proof=proof.proof(found.connection, found.run),
            chain=proof.chain_of(found.connection),
            kinds=proof.kinds(found.connection),
            links=links[:LINKS_AT_ONCE],
            is_more=len(links) > LINKS_AT_ONCE,
            number=number,
        )


@router.get("/record")
def of_record(page: PageDep, tenant_id: str, year: str | None = None) -> Response:
    """What was sent, what is or was held, and when the sync was paused."""
    with shown(page, tenant_id, year) as found:
        return found.html(
            "tenant_record.html.j2",
            sent=record.sent(found.connection, found.tenant.id),
            held=record.held(found.connection),
            may_hold=page.may(found.tenant, Right.HOLD),
            paused=record.paused(found.connection),
        )


def _part(items: list[Any], number: int, at_once: int) -> list[Any]:
    return items[(number - 1) * at_once : number * at_once]


def _is_meant(find: str, *names: str) -> bool:
    return any(find.casefold() in name.casefold() for name in names)
