"""Each step once: its change, its ledger row and its evidence are one transaction.

Airflow may run a task again at any time, also one that had succeeded. The ledger says what happened, and what
must have happened before: a task marked as success by hand does not make its step done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Generic

from sqlalchemy import Connection, insert

from rollover.database.session import Isolation, tenant_session
from rollover.database.tables.ledger import steps
from rollover.errors import Refused
from rollover.ledger import evidence, pause, plans, rollovers
from rollover.ledger.plans import FrozenPlan
from rollover.ledger.results import AnyResult, Result, Step, task_of
from rollover.run import Run

log = logging.getLogger(__name__)

PLAN_AGAIN = "trigger the DAG again with the same partition key: it freezes a new plan, asks, and goes on from there."
"""A run cannot ask twice: Airflow keeps the text of a question when its task is cleared."""


@dataclass(frozen=True)
class Rule:
    """What must be true before a step may run."""

    needs: tuple[Step, ...] = ()
    in_current_year: tuple[Step, ...] = ()
    """Needed besides in the current year: a past year has no pause, reset or roster."""
    only_current_year: bool = False
    while_paused: bool = False
    """In the current year, the roster sync is paused."""
    unless_rejected: bool = False
    by_reset_date: bool = False
    """The reset date is still the one that the guard fixed."""


RULES: dict[Step, Rule] = {
    Step.PAUSE_SYNC: Rule(needs=(Step.GUARD,), only_current_year=True),
    Step.PLAN: Rule(needs=(Step.GUARD,), in_current_year=(Step.PAUSE_SYNC,), while_paused=True, by_reset_date=True),
    Step.EXPORT_REPORTS: Rule(needs=(Step.PLAN,), by_reset_date=True),
    Step.APPROVE: Rule(needs=(Step.PLAN, Step.EXPORT_REPORTS), unless_rejected=True, by_reset_date=True),
    Step.ARCHIVE: Rule(needs=(Step.APPROVE,), while_paused=True, unless_rejected=True, by_reset_date=True),
    Step.ERASE: Rule(
        needs=(Step.APPROVE, Step.EXPORT_REPORTS, Step.ARCHIVE),
        while_paused=True,
        unless_rejected=True,
        by_reset_date=True,
    ),
    Step.RESET: Rule(needs=(Step.ERASE,), only_current_year=True, while_paused=True),
    Step.VERIFY_RESET: Rule(needs=(Step.ERASE,), in_current_year=(Step.RESET,)),
    Step.IMPORT_ROSTER: Rule(needs=(Step.VERIFY_RESET,), only_current_year=True, while_paused=True),
    Step.VERIFY_ROSTER: Rule(needs=(Step.IMPORT_ROSTER,), only_current_year=True),
    Step.RESUME_SYNC: Rule(needs=(Step.VERIFY_ROSTER,), only_current_year=True),
    Step.CERTIFY: Rule(
        needs=(
            Step.GUARD,
            Step.PLAN,
            Step.EXPORT_REPORTS,
            Step.APPROVE,
            Step.ARCHIVE,
            Step.ERASE,
            Step.VERIFY_RESET,
        ),
        in_current_year=(Step.PAUSE_SYNC, Step.RESET, Step.IMPORT_ROSTER, Step.VERIFY_ROSTER, Step.RESUME_SYNC),
    ),
}


@dataclass
class OpenStep(Generic[AnyResult]):
    """A step in its transaction. `done` is its result: the ledger's, or what :meth:`finish` recorded."""

    run: Run
    connection: Connection
    done: AnyResult | None
    _started: float

    @cached_property
    def plan(self) -> FrozenPlan:
        """The plan in force."""
        return plans.in_force(self.connection, self.run)

    def finish(self, result: AnyResult) -> AnyResult:
        """Record the step as done, with its result."""
        assert self.done is None, f"{result.step} of {self.run.id} is done twice"
        finish(self.connection, self.run, result, time.monotonic() - self._started)
        self.done = result
        return result


@contextmanager
def once(run: Run, kind: type[AnyResult], isolation: Isolation = "READ COMMITTED") -> Iterator[OpenStep[AnyResult]]:
    """Open a step, whose result is a `kind`, in one transaction. The block returns ``done``, or does the work for the
    plan in force and finishes the step::

        with once(run, Archived) as step:
            return step.done or step.finish(archive(step.connection, step.plan))

    Raises Refused unless the step may run, or is done. An error leaves neither change nor record.
    """
    started = time.monotonic()
    with tenant_session(run.engine, run.tenant.id, isolation=isolation, exclusive=True) as connection:
        step = OpenStep(run, connection, rollovers.result_of(connection, run, kind), started)
        if step.done is None:
            require(connection, run, kind.step)
        else:
            log.info("%s of %s is already done: nothing to do", kind.step, run.id)
        yield step
        assert step.done is not None, f"{kind.step} of {run.id} is not finished"


def finish(connection: Connection, run: Run, result: Result, seconds: float) -> None:
    """Record a step as done, and its result as evidence."""
    connection.execute(
        insert(steps).values(
            tenant_id=run.tenant.id,
            rollover_id=run.id,
            plan_no=rollovers.number_for(connection, run, result.step),
            step=result.step,
            seconds=round(seconds, 3),
            result=result.as_json(),
        )
    )
    record(connection, run, result)


def record(connection: Connection, run: Run, result: Result) -> None:
    """Record a step's result as evidence; also of a step that was done before and did something again."""
    evidence.record(connection, run.tenant.id, result.step, result.as_json(), run.id)


def require(connection: Connection, run: Run, step: Step) -> None:
    """Raise Refused unless everything that `step` needs is true: see `RULES`."""
    rule, rollover = RULES[step], rollovers.load(connection, run)
    if rule.only_current_year and not rollover.is_current:
        raise Refused(f"{run.school_year} is not the current year of {run.tenant}: {step} is not for it.", "skip it.")
    if rule.by_reset_date and rollover.reset_date != run.reset_date:
        raise Refused(
            f"The reset date of {run.id} moved from {rollover.reset_date} to {run.reset_date} since its guard.",
            f"clear '{task_of(Step.GUARD)}' and everything after it.",
        )
    if rule.unless_rejected:
        _refuse_rejected(connection, run)
    needed = rule.needs + (rule.in_current_year if rollover.is_current else ())
    missing = [name for name in needed if not rollovers.is_done(connection, run, name)]
    if missing:
        raise Refused(
            f"{step} of {run.id} needs {', '.join(missing)}, which the ledger does not have.",
            f"clear the task '{task_of(missing[0])}' and everything after it in Airflow.",
        )
    if rule.while_paused and rollover.is_current and pause.current(connection) is None:
        raise Refused(
            f"The roster sync of {run.tenant} is not paused any more.",
            f"clear '{task_of(Step.PAUSE_SYNC)}' and everything after it.",
        )


def _refuse_rejected(connection: Connection, run: Run) -> None:
    if rejected := rollovers.rejection(connection, run, rollovers.plan_number(connection, run)):
        raise Refused(f"{rejected} It cannot be approved or run any more.", PLAN_AGAIN)
