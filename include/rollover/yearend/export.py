"""Every report of the year, written with a receipt and put into the district's outbox before anything goes."""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert

from rollover.database.tables.ledger import exports
from rollover.exports import Scope, reports_of
from rollover.exports.write import Receipt, write_report
from rollover.ledger import artifacts
from rollover.ledger.plans import FrozenPlan
from rollover.ledger.receipts import exports_folder, file_name
from rollover.ledger.results import Exported, ExportedReport
from rollover.sftp.outbox import Outbox
from rollover.storage import remove_parts, storage_path

log = logging.getLogger(__name__)


def export_reports(connection: Connection, plan: FrozenPlan, outbox: Outbox) -> Exported:
    """Write every report of the product file with its receipts; when all are written, put them into the outbox."""
    run, folder = plan.run, exports_folder(plan.run)
    known, scope = reports_of(run.product.product), Scope.of(run, is_current=plan.holds_current_state)
    remove_parts(folder)
    artifacts.intend(plan, artifacts.STORAGE, _paths(plan))
    name = partial(file_name, plan_no=plan.number)
    written = [
        receipt
        for report in run.product.reports
        for receipt in write_report(connection, known[report], scope, folder, name)
    ]
    remote = {receipt.file: f"{run.config.outbox}/{run.school_year}/{receipt.file}" for receipt in written}
    artifacts.deliver(plan, outbox, [(storage_path(receipt.path), remote[receipt.file]) for receipt in written])
    for receipt in written:
        record(connection, plan, delivered_to=remote[receipt.file], **vars(receipt))
    log.info("%s files of %s reports are delivered", len(written), len(run.product.reports))
    return Exported(reports=[_summed(report, written) for report in run.product.reports])


def record(connection: Connection, plan: FrozenPlan, **receipt: Any) -> None:
    """Record a delivered file: what is recorded leaves storage and outbox when its time is over."""
    of_plan = {"tenant_id": plan.run.tenant.id, "rollover_id": plan.run.id, "plan_no": plan.number}
    connection.execute(insert(exports).values(**of_plan, **receipt))


def _paths(plan: FrozenPlan) -> list[str]:
    """What an export may write: a file for each report, and the folder of a report that has several files."""
    product, folder = plan.run.product, exports_folder(plan.run)
    known = reports_of(product.product)
    files = [folder / file_name(name, known[name].format, plan.number) for name in product.reports]
    return [*map(str, files), *(f"{folder / name}/" for name in product.reports if known[name].files)]


def _summed(report: str, written: list[Receipt]) -> ExportedReport:
    """What was written of one report."""
    of_report = [receipt for receipt in written if receipt.report == report]
    hashes = "\n".join(receipt.sha256 for receipt in of_report)
    digest = of_report[0].sha256 if len(of_report) == 1 else hashlib.sha256(hashes.encode()).hexdigest()
    return ExportedReport(
        report=report, files=len(of_report), rows=sum(receipt.rows for receipt in of_report), sha256=digest
    )
