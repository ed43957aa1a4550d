"""Collects the exports of a rollover: which reports there are, and until when their files stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, func, select

from rollover.database.tables.ledger import exports
from rollover.exports import reports_of
from rollover.season.state import TenantState
from rollover.tenant import Tenant, rollover_id


@dataclass(frozen=True)
class ExportedReport:
    """The files of a report that one plan exported. `removed` of them are gone since their time was over.

    `file` is the one file, if there is only one.
    """

    plan_no: int
    report: str
    title: str
    files: int
    rows: int
    bytes: int
    removed: int
    written_at: datetime
    file: str | None

    @property
    def is_there(self) -> bool:
        return self.removed < self.files


@dataclass(frozen=True)
class ExportedFile:
    """One exported file; `file` is its path below the folder of the year. Its content names students."""

    plan_no: int
    report: str
    title: str
    file: str
    path: str
    rows: int
    pages: int | None
    bytes: int
    sha256: str
    written_at: datetime
    removed_at: datetime | None


def by_report(connection: Connection, state: TenantState) -> list[ExportedReport]:
    """The exported reports of a tenant's year, newest plan first."""
    row = exports.c
    query = (
        select(
            row.plan_no,
            row.report,
            func.count().label("files"),
            func.sum(row.rows).label("rows"),
            func.sum(row.bytes).label("bytes"),
            func.count(row.removed_at).label("removed"),
            func.max(row.written_at).label("written_at"),
            func.min(row.file).label("file"),
        )
        .where(row.rollover_id == rollover_id(state.tenant.id, state.school_year))
        .group_by(row.plan_no, row.report)
        .order_by(row.plan_no.desc(), row.report)
    )
    return [
        ExportedReport(
            found.plan_no,
            found.report,
            title_of(state.tenant.product, found.report),
            found.files,
            int(found.rows),
            int(found.bytes),
            found.removed,
            found.written_at,
            found.file if found.files == 1 else None,
        )
        for found in connection.execute(query)
    ]


def files_of(
    connection: Connection, state: TenantState, report: str, *, first: int = 0, most: int = 100
) -> list[ExportedFile]:
    """Some of the files of one report of a tenant's year, newest plan first."""
    row = exports.c
    of_report = (row.rollover_id == rollover_id(state.tenant.id, state.school_year), row.report == report)
    query = select(*_columns()).where(*of_report).order_by(row.plan_no.desc(), row.file).offset(first).limit(most)
    return [_file(state.tenant.product, found._mapping) for found in connection.execute(query)]


def find(connection: Connection, tenant_id: str, school_year: str, plan_no: int, file: str) -> ExportedFile | None:
    """One exported file of the session's tenant; None if the ledger has no such file of it."""
    row = exports.c
    query = select(*_columns()).where(
        row.rollover_id == rollover_id(tenant_id, school_year), row.plan_no == plan_no, row.file == file
    )
    found = connection.execute(query.limit(1)).one_or_none()
    return _file(Tenant.parse(tenant_id).product, found._mapping) if found else None


def kept_until(state: TenantState) -> datetime | None:
    """When the exports of a year are removed; None before its certificate, from which their time counts."""
    rollover = state.facts.rollover
    if rollover is None or rollover.finished_at is None:
        return None
    return rollover.finished_at + timedelta(days=state.dates.exports_kept_days)


def title_of(product: str, report: str) -> str:
    """The title of a report; of one that no product has (any more), its name."""
    known = reports_of(product).get(report)
    return known.title if known else report.replace("_", " ").capitalize()


def _columns() -> list[Column[Any]]:
    return [exports.c[name] for name in ExportedFile.__dataclass_fields__ if name != "title"]


def _file(product: str, row: Mapping[Any, Any]) -> ExportedFile:
    return ExportedFile(title=title_of(product, row["report"]), **row)
