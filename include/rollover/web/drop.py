"""Shows one drop: what came, what was wrong with it, and how it differs from the live roster."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from rollover.web.data import drop as drops
from rollover.web.data import findings
from rollover.web.page import PageDep
from rollover.web.tenant import Number, Shown, shown

router = APIRouter(prefix="/tenants/{tenant_id}/drops/{import_id}")

FINDINGS_AT_ONCE = 100
SHOWN_SCHOOLS = 60


@router.get("")
def of_drop(
    page: PageDep,
    tenant_id: str,
    import_id: str,
    code: Annotated[str | None, Query(max_length=100)] = None,
    file: Annotated[str | None, Query(max_length=300)] = None,
    number: Number = 1,
) -> Response:
    """A drop with its findings; of one `code` or `file`, if that is given."""
    with shown(page, tenant_id, None) as found:
        require_drop(found, import_id)
        connection = found.connection
        view = drops.drop(connection, import_id, page.district(found.tenant), page.product(found.tenant))
        first = (number - 1) * FINDINGS_AT_ONCE
        chosen = {"code": code or None, "file": file or None}
        return found.html(
            "drop.html.j2",
            drop=view,
            found=view.found,
            by_school=findings.by_school(connection, view.found, page.host.storage),
            findings=drops.findings_of(connection, import_id, **chosen, first=first, most=FINDINGS_AT_ONCE),
            findings_found=drops.count_findings(connection, import_id, **chosen),
            question=next((each for each in found.year.facts.questions if each.about == import_id), None),
            with_ids=findings.is_with_ids_there(page.host.storage, import_id),
            shown_schools=SHOWN_SCHOOLS,
            at_once=FINDINGS_AT_ONCE,
            code=code or "",
            file=file or "",
            number=number,
        )


def require_drop(found: Shown, import_id: str) -> None:
    """Raise 404 for a drop that the tenant does not have: of another tenant nothing is revealed."""
    if not drops.drop_exists(found.connection, import_id):
        raise HTTPException(HTTPStatus.NOT_FOUND)
