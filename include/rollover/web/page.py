"""Gives a route what it works with: who asks, what that person may see, and a way to show a template."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import urlencode

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Connection

from rollover.calendar import SchoolYear
from rollover.config import Catalog, District, Product
from rollover.database.session import tenant_session
from rollover.season.overview import season_year
from rollover.season.read import Season, SeasonReader
from rollover.tenant import Tenant
from rollover.texts import filters
from rollover.web.forms import Forms
from rollover.web.host import Host, Right, Visitor

FOLDER = Path(__file__).parent
STATIC = {path.name: path for path in sorted((FOLDER / "static").iterdir())}
VERSION = hashlib.sha256(b"".join(path.read_bytes() for path in STATIC.values())).hexdigest()[:12]
"""Changes with the static files, which a browser may keep."""


def day(when: date | datetime) -> str:
    """A day as people read it: Jul 28, 2026."""
    return f"{when:%b} {when.day}, {when.year}"


def utc_moment(when: datetime) -> str:
    """A time in UTC: Jul 28, 2026, 14:05 UTC."""
    return f"{day(when)}, {when:%H:%M} UTC"


environment = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=True,
    auto_reload=False,
)
environment.filters |= {
    "commas": filters.commas,
    "count": filters.count,
    "size": filters.size,
    "percent": filters.percent,
    "moment": filters.moment,
    "clean": filters.clean,
    "day": day,
    "utc": utc_moment,
}


class Page:
    """One request: who asks, and what the answer is made of."""

    def __init__(self, request: Request, host: Host, reader: SeasonReader, visitor: Visitor) -> None:
        self.request = request
        self.host = host
        self.visitor = visitor
        self.now = host.clock()
        self._reader = reader

    # What the visitor may see

    @cached_property
    def catalog(self) -> Catalog:
        """The district and product files of all tenants."""
        return self.host.catalog()

    @cached_property
    def tenants(self) -> frozenset[Tenant]:
        """The tenants that the visitor may see."""
        return self.visitor.allowed(list(self._by_id.values()), Right.READ)

    @cached_property
    def _by_id(self) -> dict[str, Tenant]:
        return {tenant.id: tenant for tenant in self.catalog.tenants}

    @property
    def season_year(self) -> SchoolYear:
        """The school year whose season this is: the one that ends in the current calendar year."""
        return season_year(self.now)

    @cached_property
    def season(self) -> Season:
        """The states of the tenants that the visitor may see, in this season's year and in all that are not past."""
        return self.season_of(self.season_year)

    def season_of(self, year: SchoolYear) -> Season:
        """The states of the tenants that the visitor may see, in a year and in all that are not past."""
        found = self._reader.read(self.host.engine(), self.catalog, self.now, year=year)
        return Season(tuple(state for state in found.states if state.tenant in self.tenants))

    @cached_property
    def years(self) -> list[str]:
        """The school years that the season has, newest first."""
        return sorted({self.season_year.key, *self._reader.years()}, reverse=True)

    def may(self, tenant: Tenant, right: Right) -> bool:
        """Whether the visitor has a right about a tenant."""
        return self.visitor.may(tenant, right)

    def require(self, tenant_id: str, right: Right = Right.READ) -> Tenant:
        """The tenant with an id. Raises 404 if it is unknown or the visitor may not see it, which looks the same;
        403 if the visitor may see it and does not have the right."""
        tenant = self._by_id.get(tenant_id)
        if tenant is None or not self.may(tenant, Right.READ):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        if right is not Right.READ and not self.may(tenant, right):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        return tenant

    def district(self, tenant: Tenant) -> District:
        """The district file of a tenant."""
        return self.catalog.districts[tenant.district]

    def product(self, tenant: Tenant) -> Product:
        """The product file of a tenant."""
        return self.catalog.products[tenant.product]

    def name(self, tenant: Tenant) -> str:
        """District and product as people call them."""
        return f"{self.district(tenant).name} · {self.product(tenant).label}"

    @contextmanager
    def session(self, tenant: Tenant) -> Iterator[Connection]:
        """A transaction that sees the rows of one tenant. Raises 404 if the visitor may not see it."""
        self.require(tenant.id)
        with tenant_session(self.host.engine(), tenant.id) as connection:
            yield connection

    # The answer

    @property
    def base(self) -> str:
        """The path below which the pages are: ``/rollover``, or ``/airflow/rollover`` behind a prefix."""
        return str(self.request.scope.get("root_path", ""))

    def url(self, path: str, **query: object) -> str:
        """The URL of a page: ``url("/season", phase="failed")``. Values that are None or empty are left out."""
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return f"{self.base}{path}" + (f"?{urlencode(given)}" if given else "")

    def html(self, template: str, *, status: int = HTTPStatus.OK, **values: object) -> HTMLResponse:
        """A template of ``web/templates``, filled with `values`; it also gets `page`."""
        text = environment.get_template(template).render(page=self, **values)
        return HTMLResponse(text, status_code=int(status))

    @property
    def token(self) -> str:
        """The token for the forms of this page."""
        return Forms(self.host.secret()).token(self.visitor)

    @property
    def airflow(self) -> str:
        """The path of Airflow itself: empty, or its prefix."""
        return self.base.rpartition("/")[0]

    @property
    def version(self) -> str:
        return VERSION


def page_of(request: Request) -> Page:
    """The page of a request that was authenticated. Raises 401 for any other."""
    page = getattr(request.state, "page", None)
    if page is None:
        raise HTTPException(HTTPStatus.UNAUTHORIZED)
    return cast(Page, page)


PageDep = Annotated[Page, Depends(page_of)]
"""What a route takes: ``def season(page: PageDep) -> Response``."""
