"""What was written for the plan in force, and whether it is still there as it was written."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, select
from upath import UPath

from rollover.database.tables.ledger import archives, exports
from rollover.ledger import steps as ledger
from rollover.run import Run
from rollover.storage import read_back

Receipt = dict[str, Any]


def of_archives(connection: Connection, run: Run) -> list[Receipt]:
    return _of(connection, run, archives)


def of_exports(connection: Connection, run: Run) -> list[Receipt]:
    return _of(connection, run, exports)


def of_manifest(connection: Connection, run: Run) -> list[Receipt]:
    """The manifest of the plan's archive; none where it archived nothing."""
    result = ledger.result_of(connection, run, "archive") or {}
    return [result["manifest"]] if result.get("manifest") else []


def of_files(connection: Connection, run: Run) -> list[Receipt]:
    """Everything that the plan wrote."""
    return [*of_archives(connection, run), *of_manifest(connection, run), *of_exports(connection, run)]


def missing(connection: Connection, run: Run) -> list[str]:
    """The reports of the product file without a receipt, each as a sentence; a blank report has one too."""
    there = {receipt["report"] for receipt in of_exports(connection, run)}
    return [f"the report {name} was not exported" for name in run.product.reports if name not in there]


def exports_folder(run: Run) -> UPath:
    """``exports/<product>/<district>/<school year>``, below the storage."""
    return run.storage / "exports" / run.tenant.product / run.tenant.district / run.school_year.key


def damaged(receipts: list[Receipt]) -> list[str]:
    """What is wrong with the files of some receipts, each as a sentence; empty where all are intact."""
    found = []
    for receipt in receipts:
        path = UPath(receipt["path"])
        if not path.exists():
            found.append(f"{path} is missing")
        elif read_back(path) != (receipt["sha256"], receipt["bytes"]):
            found.append(f"{path} is not the file that was written")
    return found


def file_name(stem: str, suffix: str, plan_no: int) -> str:
    """A plan's file beside those of earlier plans: what one plan wrote is never overwritten by the next."""
    return f"{stem}.{suffix}" if plan_no == 1 else f"{stem}.plan-{plan_no}.{suffix}"


def _of(connection: Connection, run: Run, table: Table) -> list[Receipt]:
    query = select(table).where(table.c.rollover_id == run.id, table.c.plan_no == ledger.plan_number(connection, run))
    return [dict(row) for row in connection.execute(query.order_by(table.c.path)).mappings()]
