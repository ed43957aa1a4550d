"""Look again, another way: what is gone is gone, what is blank is blank, what is kept is there."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Connection, Table, func, or_, select

from rollover import ledger, plan, receipts
from rollover.config import Action
from rollover.database.fingerprint import fingerprints_by_school
from rollover.database.tables import metadata, tables_of
from rollover.database.tables.base import is_activity
from rollover.errors import ProofFailed
from rollover.exports import Scope, reports_of
from rollover.exports.rows import count_rows
from rollover.run import Run

log = logging.getLogger(__name__)

GONE = (Action.ARCHIVE_OR_ERASE, Action.ERASE)


def verify_reset(connection: Connection, run: Run) -> dict[str, Any]:
    """Check the end state with queries of its own; returns what was looked at. Raises ProofFailed, naming all.

    Kept rows are compared with the plan too: people may have changed them meanwhile, so a difference here is
    told, not refused. That erase and reset left them alone was proved inside their transactions.
    """
    current = ledger.is_current(connection, run)
    wrong = [*_rows_left(connection, run, current), *_reports_not_blank(connection, run, current)]
    if current:
        wrong += _not_reset(connection, run)
    files = receipts.of_archives(connection, run) + receipts.of_exports(connection, run)
    wrong += receipts.damaged(files)
    if wrong:
        raise ProofFailed(
            f"{run.id} is not as it should be after the reset: {'; '.join(wrong)}.",
            "find out what wrote these rows or changed these files. A damaged file: restore it from the storage's "
            f"versions. Rows that came late: {ledger.PLAN_ANEW}",
        )
    changed = _kept_but_changed_since_plan(connection, run) if current else []
    for name in changed:
        log.warning("%s was changed by its users since the plan was frozen", name)
    log.info("verified: no rows left, reports blank, %s files intact", len(files))
    return {
        "rows_left": 0,
        "reports_blank": True,
        "files_intact": len(files),
        "kept_changed_by_users_since_plan": changed,
    }


def _rows_left(connection: Connection, run: Run, current: bool) -> list[str]:
    found = []
    for table in _tables(run, *GONE):
        if not (current or is_activity(table)):
            continue
        query = select(func.count()).select_from(table)
        if is_activity(table):
            query = query.where(table.c.school_year == run.school_year.key)
        if rows := connection.scalar(query):
            found.append(f"{table.fullname} still has {rows} rows")
    return found


def _reports_not_blank(connection: Connection, run: Run, current: bool) -> list[str]:
    scope, known = Scope.of(run, is_current=current), reports_of(run.product.product)
    counted = {name: count_rows(connection, known[name], scope) for name in run.product.reports}
    return [f"the report {name} shows {rows} rows" for name, rows in counted.items() if rows]


def _not_reset(connection: Connection, run: Run) -> list[str]:
    found = []
    for name in run.product.classes(Action.RESET):
        values = run.product.data_classes[name].set or {}
        for table in tables_of(run.product.product, name):
            query = select(func.count()).where(or_(*(table.c[column] != value for column, value in values.items())))
            if rows := connection.scalar(query):
                found.append(f"{table.fullname} has {rows} rows that are not reset")
    return found


def _kept_but_changed_since_plan(connection: Connection, run: Run) -> list[str]:
    frozen: dict[str, dict[str, Any]] = {}
    for line in plan.current_lines(connection, run, plan.KEEP):
        frozen.setdefault(line.table_name, {})[line.school_id] = line.fingerprint
    return [
        name
        for name, marks in sorted(frozen.items())
        if dict(fingerprints_by_school(connection, metadata.tables[name], run.school_year.key)) != marks
    ]


def _tables(run: Run, *actions: Action) -> list[Table]:
    return [table for name in run.product.classes(*actions) for table in tables_of(run.product.product, name)]
