"""Shows the archived years of a tenant: what there is, how the years compare, and what can be downloaded."""

from __future__ import annotations

from fastapi import APIRouter, Response

from rollover.archive.retained import retained_years
from rollover.web.data import archive
from rollover.web.page import Page, PageDep
from rollover.web.tenant import Shown, shown

router = APIRouter(prefix="/tenants/{tenant_id}/archive")

SHOWN_SCHOOLS = 60


@router.get("")
def of_archive(page: PageDep, tenant_id: str, year: str | None = None) -> Response:
    """The archived years by the ledger, and their charts."""
    with shown(page, tenant_id, year) as found:
        view = archive.archive(found.connection, page.district(found.tenant), page.product(found.tenant))
        return found.html("archive.html.j2", archive=view, table_title=archive.table_title)


@router.get("/trends")
def of_trends(page: PageDep, tenant_id: str) -> Response:
    """How the archived years compare, counted in the archived files. Nobody is named."""
    found, trends = trends_of(page, tenant_id)
    return found.html("archive_trends.html.j2", trends=trends, shown_schools=SHOWN_SCHOOLS)


def trends_of(page: Page, tenant_id: str) -> tuple[Shown, archive.Trends]:
    """A tenant and its trends. The files are read after the transaction, which so keeps nobody waiting."""
    with shown(page, tenant_id, None) as found:
        years = retained_years(found.connection)
        names = archive.names_of_schools(found.connection)
    counted, left_out = archive.readable(years, page.host.keys)
    return found, archive.trends(found.tenant.product, counted, left_out, names)
