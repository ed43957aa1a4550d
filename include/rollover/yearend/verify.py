"""Checks the end state by other queries: what is gone is gone, what is reset is blank, what is kept is there."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, Table, false, func, not_, or_, select

from rollover.config import Action
from rollover.database.checksums import RowsChecksum, checksums_by_school
from rollover.database.held import not_held
from rollover.database.tables import metadata, tables_of
from rollover.database.tables.base import is_activity
from rollover.database.tables.ledger import evidence
from rollover.database.undeclared import refuse_undeclared
from rollover.errors import ProofFailed
from rollover.exports import Scope, reports_of
from rollover.exports.rows import count_rows
from rollover.ledger import artifacts, receipts, rollovers
from rollover.ledger.evidence import SWITCHED_ON
from rollover.ledger.plans import FrozenPlan, PlanAction
from rollover.ledger.results import ResetVerified, Step
from rollover.ledger.steps import PLAN_AGAIN
from rollover.run import Run
from rollover.yearend.reset import STAMPS

log = logging.getLogger(__name__)

GONE = (Action.ARCHIVE_OR_ERASE, Action.ERASE)


def verify_reset(connection: Connection, plan: FrozenPlan) -> ResetVerified:
    """Check the end state with queries of its own. Raises ProofFailed, naming all that is wrong.

    Kept rows are compared with the plan too: people may have changed them meanwhile, so a difference here is
    reported, not refused. That erase and reset left them alone was proved inside their transactions.
    """
    run = plan.run
    artifacts.remove_abandoned(connection, run)
    # Once the new roster is in, accounts and points are those of the new year.
    current = plan.rollover.is_current and not rollovers.is_done(connection, run, Step.IMPORT_ROSTER)
    remaining = rows_left(connection, run, current=current)
    wrong = [f"{name} still has {rows} rows" for name, rows in remaining.items() if rows]
    held = sum(line.rows for line in plan.lines_of(PlanAction.HOLD))
    wrong += _reports_not_blank(connection, run, current)
    reset_changed: list[str] = []
    if current:
        not_reset, reset_changed = _as_reset(connection, run)
        wrong += not_reset
    files = receipts.of_files(connection, plan)
    wrong += receipts.damaged(files)
    if wrong:
        raise ProofFailed(
            f"{run.id} is not as it should be after the reset: {'; '.join(wrong)}.",
            "find out what wrote these rows or changed these files. A damaged file: restore it from the storage's "
            f"versions. Rows that came late: {PLAN_AGAIN}",
        )
    changed = _kept_but_changed_since_plan(connection, plan) if current else []
    for name in changed:
        log.warning("%s was changed by its users since the plan was frozen", name)
    for name in reset_changed:
        log.warning("%s was changed by its users since the reset", name)
    log.info("verified: no rows left, reports blank, %s files intact", len(files))
    return ResetVerified(
        rows_left=sum(remaining.values()),
        remaining=remaining,
        reports_blank=True,
        rows_held=held,
        files_intact=len(files),
        kept_changed_by_users_since_plan=changed,
        changed_by_users_since_reset=reset_changed,
    )


def rows_left(connection: Connection, run: Run, *, current: bool) -> dict[str, int]:
    """How many rows of the year each table still has of what goes; with `current`, of the current state too.

    Raises ProofFailed if the database has a table or a column that nobody declared.
    """
    refuse_undeclared(connection, run.product.product)
    found = {}
    for table in _tables(run, *GONE):
        if not (current or is_activity(table)):
            continue
        query = select(func.count()).select_from(table).where(not_held(table))
        if is_activity(table):
            query = query.where(table.c.school_year == run.school_year.key)
        found[table.fullname] = connection.scalar(query) or 0
    return found


def _reports_not_blank(connection: Connection, run: Run, current: bool) -> list[str]:
    scope, known = Scope.of(run, is_current=current), reports_of(run.product.product)
    counted = {name: count_rows(connection, known[name], scope, leave_out_held=True) for name in run.product.reports}
    return [f"the report {name} shows {rows} rows" for name, rows in counted.items() if rows]


def _as_reset(connection: Connection, run: Run) -> tuple[list[str], list[str]]:
    """What is wrong with the tables that were reset, and those that their users changed since: the new year began with
    the reset, and rows say when they were changed last. What was on hold during the reset is left to the next
    rollover."""
    wrong, changed = [], []
    since = rollovers.finished_at(connection, run, Step.RESET)
    switched_on = set(
        connection.scalars(
            select(evidence.c.facts["data_class"].astext).where(
                evidence.c.kind == SWITCHED_ON, evidence.c.recorded_at > since
            )
        )
    )
    for name in run.product.classes(Action.RESET):
        values = run.product.data_classes[name].set or {}
        for table in tables_of(run.product.product, name):
            differs = or_(*(table.c[column].is_distinct_from(value) for column, value in values.items()))
            later = or_(false(), *(table.c[stamp] > since for stamp in STAMPS if stamp in table.c))
            query = select(func.count().filter(not_(later)), func.count().filter(later))
            before, after = connection.execute(query.where(differs, not_held(table, since=since))).one()
            if before and name in switched_on:  # a person did it, and it is in the evidence
                changed.append(table.fullname)
            elif before:
                wrong.append(f"{table.fullname} has {before} rows that are not reset")
            if after:
                changed.append(table.fullname)
    return wrong, changed


def _kept_but_changed_since_plan(connection: Connection, plan: FrozenPlan) -> list[str]:
    frozen: dict[str, dict[str, RowsChecksum]] = {}
    for line in plan.lines_of(PlanAction.KEEP):
        frozen.setdefault(line.table_name, {})[line.school_id] = line.rows_checksum
    return [
        name
        for name, planned in sorted(frozen.items())
        if dict(checksums_by_school(connection, metadata.tables[name], plan.run.school_year.key)) != planned
    ]


def _tables(run: Run, *actions: Action) -> list[Table]:
    return [table for name in run.product.classes(*actions) for table in tables_of(run.product.product, name)]
