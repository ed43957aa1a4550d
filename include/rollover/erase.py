"""Erase exactly the rows of the frozen plan, and prove in the same transaction that nothing else changed.

Law 2: what was archived goes only if the rows that go are the archived ones. Law 8: what is kept has the same
fingerprint before and after.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table, func, select

from rollover import ledger, plan, receipts
from rollover.archive.keys import Keys
from rollover.config import Action
from rollover.database.fingerprint import Fingerprint, delete_rows, fingerprints_by_school
from rollover.database.tables import metadata, product_tables, tables_of
from rollover.database.tables.ledger import plans
from rollover.errors import ProofFailed, Refused
from rollover.run import Run

log = logging.getLogger(__name__)


def erase(connection: Connection, run: Run) -> dict[str, Any]:
    """Delete the archived rows and the rows to be erased; returns the rows gone per action and data class, and
    per table; and the fingerprints of what is kept.

    Needs a REPEATABLE READ transaction: proof and deletion see the same rows. Raises ProofFailed, with nothing
    changed, where rows were added, changed or removed since the plan, a subscription now says otherwise, a report
    has no receipt, or an archived or exported file is no longer as it was written or its key is gone.
    """
    _check_approved(connection, run)
    _check_plan_still_holds(connection, run)
    archives = receipts.of_archives(connection, run)
    wrong = receipts.missing(connection, run) + receipts.damaged(receipts.of_files(connection, run))
    wrong += receipts.unreadable(archives, Keys(run.archive_keys))
    if wrong:
        raise ProofFailed(f"{run.id} cannot erase what is kept nowhere else: {'; '.join(wrong)}.", ledger.PLAN_ANEW)
    archived = {(row["school_id"], row["table_name"]): row for row in archives}
    gone: dict[str, dict[str, int]] = {plan.ARCHIVE: {}, plan.ERASE: {}}
    lines = plan.current_lines(connection, run, plan.ARCHIVE, plan.ERASE)
    tables = [metadata.tables[name] for name in sorted({line.table_name for line in lines})]
    before = {table: _rows_of_tenant(connection, table) for table in tables}
    deleted_of = dict.fromkeys([table.fullname for table in tables], 0)
    with kept_unchanged(connection, run) as kept:
        for line in lines:
            if line.action == plan.ARCHIVE:
                _check_archived(line, archived.get((line.school_id, line.table_name)))
            table = metadata.tables[line.table_name]
            deleted = delete_rows(connection, table, school_year=run.school_year.key, school_id=line.school_id)
            _check_deleted(run, line, deleted)
            log.info("%s, school %s: %s rows, %s", line.table_name, line.school_id, deleted.rows, line.action)
            counts = gone[line.action]
            counts[line.data_class] = counts.get(line.data_class, 0) + deleted.rows
            deleted_of[line.table_name] += deleted.rows
    for table in tables:
        planned = sum(line.rows for line in lines if line.table_name == table.fullname)
        left = _rows_of_tenant(connection, table)
        if before[table] - left != planned:
            raise ProofFailed(
                f"{table.fullname} lost {before[table] - left} rows, planned were {planned}.", ledger.PLAN_ANEW
            )
    log.info("removed %s archived and %s other rows", *(sum(counts.values()) for counts in gone.values()))
    return {
        "archived": gone[plan.ARCHIVE],
        "erased": gone[plan.ERASE],
        "deleted": deleted_of,
        "kept_unchanged": True,
        "kept": kept,
    }


@contextmanager
def kept_unchanged(connection: Connection, run: Run) -> Iterator[dict[str, Any]]:
    """Prove that a block leaves every kept and every held row of the tenant as it was; else everything rolls back.

    After the block, what was yielded holds the proof: each kept table's fingerprint before and after, as small JSON.
    """
    proof: dict[str, Any] = {}
    before = _kept(connection, run)
    yield proof
    after = _kept(connection, run)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    if changed:
        raise ProofFailed(
            f"{', '.join(changed)} of {run.tenant} would have changed, but is kept or held.", "report this."
        )
    proof |= {name: {"before": _whole(before[name]), "after": _whole(after[name])} for name in sorted(before)}


def _whole(by_school: dict[str, Fingerprint]) -> dict[str, Any]:
    """The fingerprint of a table's rows in all schools: both of its numbers are sums."""
    marks = by_school.values()
    return {"rows": sum(mark.rows for mark in marks), "checksum": str(sum(int(mark.checksum) for mark in marks))}


def _kept(connection: Connection, run: Run) -> dict[str, dict[str, Fingerprint]]:
    classes = run.product.classes(Action.KEEP)
    tables = [table for name in classes for table in tables_of(run.product.product, name)]
    kept = {t.fullname: dict(fingerprints_by_school(connection, t, run.school_year.key)) for t in tables}
    for line in plan.held_lines(connection, run, product_tables(run.product.product)):
        kept.setdefault(line.table_name, {})[line.school_id] = line.fingerprint
    return kept


def _rows_of_tenant(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _check_approved(connection: Connection, run: Run) -> None:
    approved_by = connection.scalar(
        select(plans.c.approved_by).where(
            plans.c.rollover_id == run.id, plans.c.plan_no == ledger.plan_number(connection, run)
        )
    )
    required = plan.needs_approval(run, plan.current_lines(connection, run))
    if required and approved_by is None:
        raise Refused(f"The plan of {run.id} is not approved.", "answer the approval in Airflow.")


def _check_plan_still_holds(connection: Connection, run: Run) -> None:
    """The plan drawn up again must be the plan in force: same subscriptions and holds, as many rows, nothing new."""
    if not plan.still_holds(connection, run):
        number = ledger.plan_number(connection, run)
        raise ProofFailed(
            f"The data, a subscription or a hold of {run.id} changed since its plan {number} was frozen.",
            ledger.PLAN_ANEW,
        )


def _check_archived(line: plan.Line, receipt: dict[str, Any] | None) -> None:
    if receipt is None or Fingerprint(receipt["rows"], receipt["checksum"]) != line.fingerprint:
        raise ProofFailed(f"{line.table_name} of school {line.school_id} is not archived as planned.", ledger.PLAN_ANEW)


def _check_deleted(run: Run, line: plan.Line, deleted: Fingerprint) -> None:
    if deleted != line.fingerprint:
        raise ProofFailed(
            f"{line.table_name} of school {line.school_id} in {run.id}: {line.rows} rows were planned, "
            f"{deleted.rows} would have gone{'' if deleted.rows != line.rows else ' with other content'}.",
            ledger.PLAN_ANEW,
        )
