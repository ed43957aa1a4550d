"""Makes the application: every route but the health check needs a person who is logged in, every change a token."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from rollover.errors import RolloverError
from rollover.season.read import SeasonReader
from rollover.web import archive, dates, decisions, downloads, drop, holds, home, season, tenant
from rollover.web.forms import FIELD, Forms
from rollover.web.headers import HEADERS, SecurityHeaders
from rollover.web.host import Host, Visitor
from rollover.web.page import STATIC, VERSION, Page, PageDep, environment

PAGES = (
    home.router,
    season.router,
    decisions.router,
    dates.router,
    tenant.router,
    drop.router,
    archive.router,
    downloads.router,
    holds.router,
)
"""The routers of the pages."""
SAFE_METHODS = frozenset({"GET", "HEAD"})
PRIVATE_HOUR = "private, max-age=3600"

files = APIRouter()


@files.get("/")
def start(page: PageDep) -> RedirectResponse:
    """Go to the season."""
    return RedirectResponse(page.url("/season"))


@files.get("/static/{name}")
def static(name: str) -> FileResponse:
    """A stylesheet or a script. A person has to be logged in for it, too."""
    if name not in STATIC:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return FileResponse(STATIC[name], headers={"Cache-Control": PRIVATE_HOUR})


def health() -> dict[str, str]:
    """Say that the pages are there. The only route without login; it names nothing."""
    return {"status": "healthy"}


def create_app(host: Host) -> FastAPI:
    """The application, for a host to mount."""
    reader = SeasonReader()

    async def authenticate(request: Request, visitor: Visitor = Depends(host.visitor)) -> None:  # noqa: B008
        """Remember who asks. Raises 403 for a change without this person's token."""
        if request.method not in SAFE_METHODS:
            form = await request.form()
            if not Forms(host.secret()).is_right(visitor, form.get(FIELD)):
                raise HTTPException(HTTPStatus.FORBIDDEN, "This form is not valid any more: open its page again.")
        request.state.page = Page(request, host, reader, visitor)

    app = FastAPI(title="Rollover", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)
    app.add_api_route("/health", health)
    for router in (files, *PAGES):
        app.include_router(router, dependencies=[Depends(authenticate)])
    app.add_exception_handler(StarletteHTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(RolloverError, on_own_error)
    app.add_exception_handler(Exception, on_unexpected)
    return app


ERRORS = {
    HTTPStatus.UNAUTHORIZED: "Log in to Airflow, then open this page again.",
    HTTPStatus.FORBIDDEN: "You do not have the right to do that. Whoever manages Airflow's users can give it to you.",
    HTTPStatus.NOT_FOUND: "There is no such page, or you may not see it.",
}


def on_http_error(request: Request, error: Any) -> HTMLResponse:
    """Show an error as a page."""
    status = HTTPStatus(error.status_code)
    own = error.detail if error.detail != status.phrase else None
    return error_page(request, status, own or ERRORS.get(status, status.description))


def on_invalid(request: Request, _: Exception) -> HTMLResponse:
    """Show that an address or a form has a value that is not possible. The value itself is not shown."""
    return error_page(request, HTTPStatus.UNPROCESSABLE_ENTITY, "A value in the address or the form is not possible.")


def on_own_error(request: Request, error: Exception) -> HTMLResponse:
    """Show an error of our own, whose text names no personal value."""
    return error_page(request, HTTPStatus.CONFLICT, str(error))


def on_unexpected(request: Request, _: Exception) -> HTMLResponse:
    """Show that something is wrong with the pages themselves. The error itself goes to the server's log."""
    what = "This page could not be made; nothing was changed. The log of Airflow's API server says why."
    page = error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR, what)
    page.headers.update(HEADERS)  # it is made outside of all middleware
    return page


def error_page(request: Request, status: HTTPStatus, what: str) -> HTMLResponse:
    """A page that says what went wrong."""
    base = request.scope.get("root_path", "")
    text = environment.get_template("error.html.j2").render(base=base, version=VERSION, status=status, what=what)
    return HTMLResponse(text, status_code=int(status))
