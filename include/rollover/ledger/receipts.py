"""What was written for a plan, and whether it is still there as it was written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Table, select
from upath import UPath

from rollover.database.checksums import RowsChecksum
from rollover.database.tables.ledger import archives, exports
from rollover.ledger import rollovers
from rollover.ledger.plans import FrozenPlan
from rollover.ledger.results import Archived
from rollover.run import Run
from rollover.storage import read_back, storage_path

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Written(Protocol):
    """A file as it was read back when it was written; `bytes` is its size."""

    @property
    def path(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True)
class ArchiveReceipt:
    """One school's rows of a table in an archived file; no key if it is not encrypted."""

    tenant_id: str
    school_id: str
    table_name: str
    path: str
    rows: int
    checksum: Decimal
    bytes: int
    sha256: str
    key_id: str | None

    @property
    def rows_checksum(self) -> RowsChecksum:
        """The rows as they are compared: their number and their checksum."""
        return RowsChecksum(self.rows, self.checksum)


@dataclass(frozen=True)
class ExportReceipt:
    """A file of a report."""

    report: str
    path: str
    bytes: int
    sha256: str


def of_archives(connection: Connection, plan: FrozenPlan) -> list[ArchiveReceipt]:
    """The archived files of a plan, by path."""
    return [ArchiveReceipt(**row) for row in _of(connection, plan, archives, ArchiveReceipt)]


def of_exports(connection: Connection, plan: FrozenPlan) -> list[ExportReceipt]:
    """The reports of a plan, by path."""
    return [ExportReceipt(**row) for row in _of(connection, plan, exports, ExportReceipt)]


def of_files(connection: Connection, plan: FrozenPlan) -> list[Written]:
    """Everything that a plan wrote, its manifest included."""
    archived = rollovers.result_of(connection, plan.run, Archived)
    manifest: list[Written] = [archived.manifest] if archived and archived.manifest else []
    return [*of_archives(connection, plan), *manifest, *of_exports(connection, plan)]


def missing(connection: Connection, plan: FrozenPlan) -> list[str]:
    """The reports of the product file without a receipt, each as a sentence; a blank report has one too."""
    there = {receipt.report for receipt in of_exports(connection, plan)}
    return [f"the report {name} was not exported" for name in plan.run.product.reports if name not in there]


def exports_folder(run: Run) -> UPath:
    """``exports/<product>/<district>/<school year>``, below the storage."""
    return run.storage / "exports" / run.tenant.product / run.tenant.district / run.school_year.key


def damaged(files: Iterable[Written]) -> list[str]:
    """What is wrong with some files, each as a sentence; empty if all are intact."""
    found = []
    for file in files:
        path = storage_path(file.path)
        if not path.exists():
            found.append(f"{path} is missing")
        elif read_back(path) != (file.sha256, file.bytes):
            found.append(f"{path} is not the file that was written")
    return found


def file_name(stem: str, suffix: str, plan_no: int) -> str:
    """A plan's file beside those of earlier plans: what one plan wrote is never overwritten by the next."""
    return f"{stem}.{suffix}" if plan_no == 1 else f"{stem}.plan-{plan_no}.{suffix}"


def _of(
    connection: Connection, plan: FrozenPlan, table: Table, kind: type[DataclassInstance]
) -> Iterable[dict[str, Any]]:
    columns = [table.c[field.name] for field in fields(kind)]
    query = select(*columns).where(table.c.rollover_id == plan.run.id, table.c.plan_no == plan.number)
    return (dict(row) for row in connection.execute(query.order_by(table.c.path)).mappings())
