"""Takes the steps of a rollover that make up one task, one after the other; each returns results as JSON by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rollover.adapter import connections, failing, importing, runs
from rollover.database.session import tenant_session
from rollover.ledger import rollovers
from rollover.ledger.results import Result, Step
from rollover.ledger.steps import RULES
from rollover.run import Run

Results = dict[str, Any]
"""JSON of :class:`~rollover.ledger.results.Result` by step, for XCom."""


def plan(run: Run, run_id: str, is_alive: Callable[[str], bool]) -> Results | None:
    """Check that the year may be rolled over, pause the sync and freeze the plan. None if the year is certified already
    and no row came late: then nothing is left to do."""
    from rollover.yearend import steps

    with failing.at(Step.GUARD):
        admission = steps.guard(run, run_id, is_alive)
    if not admission.go:
        return None
    return {Step.GUARD.value: admission.as_json()} | take(run, Step.PAUSE_SYNC, Step.PLAN)


def approve_and_archive(run: Run, answer: dict[str, Any] | None) -> Results:
    """Record what was answered about the plan, and archive what it says. A rejection raises Refused."""
    from rollover.yearend import steps
    from rollover.yearend.approval import PlanAnswer

    with failing.at(Step.APPROVE):
        approval = steps.approve(run, PlanAnswer.of(answer))
    return {Step.APPROVE.value: approval.as_json()} | take(run, Step.ARCHIVE)


def import_roster(run: Run, import_id: str) -> Results:
    """Make the set that the rollover waited for the live roster, report it to the district, and verify it."""
    from rollover.roster.columnar import in_one_duckdb
    from rollover.yearend import steps

    with in_one_duckdb():
        with failing.at(Step.IMPORT_ROSTER):
            steps.before_import(run)
            importing.apply_for_rollover(import_id, run.id)
            imported = steps.import_roster(run, import_id)
            importing.report_to_district(import_id)
        return {Step.IMPORT_ROSTER.value: imported.as_json()} | take(run, Step.VERIFY_ROSTER)


def take(run: Run, *wanted: Step) -> Results:
    """Take steps that need no answer from outside. A past year leaves out those of the current year."""
    done: dict[str, Any] = {}
    with connections.outbox_of(run.district) as outbox:
        for step in wanted:
            if not RULES[step].only_current_year or _is_current(run):
                done[step.value] = _take(step, replace(run, now=runs.clock()), outbox).as_json()
    return done


def _take(step: Step, run: Run, outbox: Any) -> Result:
    from rollover.yearend.steps import run_step

    with failing.at(step):
        return run_step(step, run, outbox)


def _is_current(run: Run) -> bool:
    with tenant_session(run.engine, run.tenant.id) as connection:
        return rollovers.load(connection, run).is_current
