"""Sets and lifts holds. Who set one never lifts it alone, as on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import holds
from rollover.tenant import Tenant
from rollover.web.data.downloads import WAIT_SECONDS
from rollover.web.host import Right
from rollover.web.page import Page, PageDep

router = APIRouter(prefix="/tenants/{tenant_id}/holds")

Reason = Annotated[str, Form(min_length=1, max_length=2_000)]


@router.post("")
def place(
    page: PageDep,
    tenant_id: str,
    kind: Annotated[Literal["legal", "inspection"], Form()],
    on: Annotated[Literal["district", "school", "student"], Form()],
    reason: Reason,
    of: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Hold the data of the district, of a school or of a student; `of` is the school's or the student's id.

    It is in a form and never in an address: addresses are logged.
    """
    tenant, named = page.require(tenant_id, Right.HOLD), of.strip() or None
    if on != "district" and named is None:
        raise Refused(f"No {on} is named, so nothing would be held.", f"give the {on}'s id of the roster files.")
    scope = {"school": {"school_id": named}, "student": {"student_id": named}}.get(on, {})
    with _locked(page, tenant) as connection:
        holds.place(connection, tenant.id, kind, reason=reason, by=page.visitor.id, **scope)
    return _back(page, tenant)


@router.post("/{hold_id}/lift")
def lift(page: PageDep, tenant_id: str, hold_id: int, reason: Reason) -> Response:
    """Lift a hold that somebody else set: the next plan archives or erases its rows."""
    tenant = page.require(tenant_id, Right.HOLD)
    with _locked(page, tenant) as connection:
        holds.lift(connection, tenant.id, hold_id, reason=reason, by=page.visitor.id)
    return _back(page, tenant)


@contextmanager
def _locked(page: Page, tenant: Tenant) -> Iterator[Connection]:
    """A transaction in which no step of the tenant is under way. Raises TenantBusy if one does not end in time."""
    with tenant_session(page.host.engine(), tenant.id, exclusive=True, wait_seconds=WAIT_SECONDS) as connection:
        yield connection


def _back(page: Page, tenant: Tenant) -> Response:
    return RedirectResponse(page.url(f"/tenants/{tenant.id}/record"), HTTPStatus.SEE_OTHER)
