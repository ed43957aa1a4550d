"""Sends files. One with personal data needs the right to download it, and is evidence before its first byte is sent.

Such a download is a form that is sent (POST): opening a link never leaves a trace in the evidence by mistake, and a
foreign page cannot make a person download anything.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import Annotated, Any, Literal

import pyarrow as pa
from fastapi import APIRouter, Form, HTTPException, Response
from fastapi.responses import StreamingResponse
from upath import UPath

from rollover.archive import query
from rollover.archive.report import write_archived_report
from rollover.archive.restore import archived_year
from rollover.calendar import SchoolYear
from rollover.exports import reports_of
from rollover.exports.write import Receipt
from rollover.sheet import streamed
from rollover.storage import TEMPORARY, storage_path
from rollover.tenant import Tenant, rollover_id
from rollover.web.archive import trends_of
from rollover.web.data import archive, drop, exports, findings, plan, proof
from rollover.web.data.downloads import chunks, record, safe_name, stored
from rollover.web.drop import require_drop
from rollover.web.host import Right
from rollover.web.page import Page, PageDep
from rollover.web.tenant import frozen, shown

router = APIRouter(prefix="/tenants/{tenant_id}")

CSV, JSON, PDF, ZIP = "text/csv; charset=utf-8", "application/json", "application/pdf", "application/zip"
TYPES = {"csv": CSV, "json": JSON, "pdf": PDF, "zip": ZIP}
OTHER = "application/octet-stream"


# Without personal data


@router.get("/plan.csv")
def plan_csv(page: PageDep, tenant_id: str, year: str | None = None) -> Response:
    """The plan in force, a line per school, data class and action."""
    with shown(page, tenant_id, year) as found:
        view = frozen(found)
        if view is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        name = safe_name(found.run.id, f"plan-{view.number}.csv")
    return attachment(name, streamed(plan.HEADER, plan.table(view)))


@router.get("/drops/{import_id}/findings.csv")
def findings_csv(page: PageDep, tenant_id: str, import_id: str) -> Response:
    """The findings of a drop as the ledger has them: without the id of any record."""
    with shown(page, tenant_id, None) as found:
        require_drop(found, import_id)
        rows = list(drop.findings_table(found.connection, import_id))
    return attachment(safe_name(import_id, "findings.csv"), streamed(drop.FINDINGS_HEADER, rows))


@router.get("/archive/trends.csv")
def trends_csv(page: PageDep, tenant_id: str) -> Response:
    """The numbers of archived years by school."""
    _, trends = trends_of(page, tenant_id)
    return attachment(
        safe_name(tenant_id, "archived-years.csv"), streamed(archive.TRENDS_HEADER, archive.trends_table(trends))
    )


@router.get("/certificates/{year}/{plan_no}.{form}")
def certificate(page: PageDep, tenant_id: str, year: str, plan_no: int, form: Literal["json", "pdf"]) -> Response:
    """A certificate. It names no student."""
    with shown(page, tenant_id, year) as found:
        issued = next((each for each in proof.certificates_of(found.connection, year) if each.plan_no == plan_no), None)
        if issued is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
    file = stored(page.host.storage, str(storage_path(issued.path).with_suffix(f".{form}")))
    return attachment(safe_name("certificate", tenant_id, f"{year}.{form}"), chunks(file))


# With personal data


@router.post("/exports/{year}")
def export(
    page: PageDep, tenant_id: str, year: str, plan_no: Annotated[int, Form()], file: Annotated[str, Form()]
) -> Response:
    """One exported file, as the district got it."""
    tenant = page.require(tenant_id, Right.DOWNLOAD)
    with page.session(tenant) as connection:
        found = exports.find(connection, tenant.id, year, plan_no, file)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if found.removed_at is not None:
        raise HTTPException(HTTPStatus.GONE, "The file was removed: its time was over.")
    path = stored(page.host.storage, found.path)
    facts = {"report": found.report, "plan_no": plan_no, "rows": found.rows, "sha256": found.sha256}
    recorded(page, tenant, "export", facts, year)
    return attachment(safe_name(tenant.id, year, *file.split("/")[-2:]), chunks(path))


@router.post("/drops/{import_id}/findings")
def findings_with_ids(page: PageDep, tenant_id: str, import_id: str) -> Response:
    """The findings of a drop with the ids of the records, as the district got them."""
    tenant = page.require(tenant_id, Right.DOWNLOAD)
    with shown(page, tenant_id, None) as found:
        require_drop(found, import_id)
    path = stored(page.host.storage, str(findings.with_ids(page.host.storage, import_id)))
    recorded(page, tenant, "findings", {"import": import_id}, None)
    return attachment(safe_name(import_id, "findings-with-ids.csv"), chunks(path))


@router.post("/archive/table")
def archived_table(
    page: PageDep, tenant_id: str, year: Annotated[str, Form()], table: Annotated[str, Form()]
) -> Response:
    """All rows of one table of an archived year, as CSV."""
    tenant = page.require(tenant_id, Right.DOWNLOAD)
    with page.session(tenant) as connection:
        kept = archived_year(connection, tenant, school_year(year))
    if table not in {file.table for file in kept.manifest.files}:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    opened = ExitStack()
    try:
        years = [(kept.folder, kept.manifest)]
        reader = query.as_csv(
            query.ask(opened.enter_context(query.archived(years, page.host.keys)), f"SELECT * FROM {table}")  # noqa: S608
        )
        recorded(page, tenant, "archived table", {"table": table, "manifest_sha256": kept.sha256}, year)
    except BaseException:
        opened.close()
        raise
    rows = rows_of(reader)
    return attachment(safe_name(tenant.id, year, f"{table}.csv"), closing(opened, streamed(reader.schema.names, rows)))


@router.post("/archive/report")
def archived_report(
    page: PageDep, tenant_id: str, year: Annotated[str, Form()], report: Annotated[str, Form()]
) -> Response:
    """A report of an archived year, as it was when the year was live: a file, or a zip of several."""
    tenant = page.require(tenant_id, Right.DOWNLOAD)
    wanted = reports_of(tenant.product).get(report)
    if wanted is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    opened = ExitStack()
    try:
        folder = UPath(opened.enter_context(tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}report-")))
        made = (page.host.engine(), tenant, school_year(year), wanted, page.district(tenant))
        receipts = write_archived_report(*made, folder, page.host.keys)
        path, form = one_file(receipts, folder)
        facts = {"report": report, "files": len(receipts), "rows": sum(each.rows for each in receipts)}
        recorded(page, tenant, "archived report", facts, year)
    except BaseException:
        opened.close()
        raise
    return attachment(safe_name(tenant.id, year, f"{report}.{form}"), closing(opened, chunks(path)))


def rows_of(reader: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, which is run while they are read. An error has no value of them in its text."""
    with query.without_values():
        for batch in reader:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def one_file(receipts: list[Receipt], folder: UPath) -> tuple[UPath, str]:
    """The file of a report, or a zip of its files; and its suffix."""
    if len(receipts) == 1:
        path = storage_path(receipts[0].path)
        return path, path.suffix.lstrip(".")
    target = folder / "report.zip"
    with target.open("wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for receipt in receipts:
            packed.writestr(receipt.file, storage_path(receipt.path).read_bytes())
    return target, "zip"


def recorded(page: Page, tenant: Tenant, what: str, facts: dict[str, Any], year: str | None) -> None:
    """Record a download of personal data as evidence, with the person who gets it."""
    about = rollover_id(tenant.id, year) if year else None
    record(page.host.engine(), tenant.id, what, page.visitor.id, facts, about)


def school_year(key: str) -> SchoolYear:
    """Read ``2025-26``. Raises 404 for anything else."""
    try:
        return SchoolYear.parse(key)
    except ValueError:
        raise HTTPException(HTTPStatus.NOT_FOUND) from None


def closing(opened: ExitStack, content: Iterable[bytes]) -> Iterator[bytes]:
    """The content, after which everything that was opened for it is closed: also when the person stops it."""
    with opened:
        yield from content


def attachment(name: str, content: Iterable[bytes]) -> StreamingResponse:
    """A file that a browser saves and does not open. `name` is safe already."""
    kind = TYPES.get(name.rpartition(".")[2], OTHER)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(content, media_type=kind, headers=headers)
