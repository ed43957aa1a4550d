"""Each step once: its change, its ledger row and its evidence are one transaction.

Airflow may run a task again at any time, also one that had succeeded. The ledger says what happened, and what
must have happened before: a task marked as success by hand does not make its step done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from rollover.database.session import Isolation, tenant_session
from rollover.database.tables.ledger import evidence as evidence_table
from rollover.database.tables.ledger import plans, rollovers, steps
from rollover.errors import Refused
from rollover.ledger import evidence, pause
from rollover.run import Run

log = logging.getLogger(__name__)

Result = dict[str, Any]

# What a step needs done before it may run. A past year has no pause, reset or roster.
REQUIRES: dict[str, tuple[str, ...]] = {
    "pause_sync": ("guard",),
    "plan": ("guard",),
    "export_reports": ("plan",),
    "approve": ("plan", "export_reports"),
    "archive": ("approve",),
    "erase": ("approve", "export_reports", "archive"),
    "reset": ("erase",),
    "verify_reset": ("erase",),
    "import_roster": ("verify_reset",),
    "verify_roster": ("import_roster",),
    "resume_sync": ("verify_roster",),
    "certify": ("guard", "plan", "export_reports", "approve", "archive", "erase", "verify_reset"),
}
CURRENT_ONLY = ("pause_sync", "reset", "import_roster", "verify_roster", "resume_sync")
REQUIRES_OF_CURRENT: dict[str, tuple[str, ...]] = {
    "plan": ("pause_sync",),
    "verify_reset": ("reset",),
    "certify": ("pause_sync", "reset", "import_roster", "verify_roster", "resume_sync"),
}
ONCE_A_ROLLOVER = ("guard", "pause_sync", "reset", "import_roster", "verify_roster", "resume_sync")
"""Done once, whatever the plan; the others once for each plan, should a further one hold rows that came late."""
WHILE_PAUSED = ("plan", "archive", "erase", "reset", "import_roster")
UNLESS_REJECTED = ("approve", "archive", "erase")
BY_THE_RESET_DATE = ("plan", "export_reports", "approve", "archive", "erase")
PLAN_AGAIN = "trigger the DAG again with the same partition key: it freezes a new plan, asks, and goes on from there."
"""A run cannot ask twice: Airflow keeps the text of a question when its task is cleared."""


def once(run: Run, step: str, work: Callable[[Connection], Result], isolation: Isolation = "READ COMMITTED") -> Result:
    """Do `work` and record its result, unless the ledger has it already; returns the result either way.

    `work` returns small JSON without personal values. An error leaves neither change nor record.
    """
    started = time.monotonic()
    with tenant_session(run.engine, run.tenant.id, isolation=isolation, exclusive=True) as connection:
        done = result_of(connection, run, step)
        if done is not None:
            log.info("%s of %s is already done: nothing to do", step, run.id)
            return done
        require(connection, run, step)
        result = work(connection)
        finish(connection, run, step, result, time.monotonic() - started)
        return result


def finish(connection: Connection, run: Run, step: str, result: Result, seconds: float) -> None:
    """Record a step as done, and its result as evidence."""
    number = _plan_number_for(connection, run, step)
    connection.execute(
        insert(steps).values(
            tenant_id=run.tenant.id,
            rollover_id=run.id,
            plan_no=number,
            step=step,
            seconds=round(seconds, 3),
            result=result,
        )
    )
    evidence.record(connection, run.tenant.id, step, result, run.id)


def result_of(connection: Connection, run: Run, step: str) -> Result | None:
    """What a step returned when it was done; None while it is not."""
    query = select(steps.c.result).where(
        steps.c.rollover_id == run.id,
        steps.c.step == step,
        steps.c.plan_no == _plan_number_for(connection, run, step),
    )
    result: Result | None = connection.scalar(query)
    return result


def plan_number(connection: Connection, run: Run) -> int:
    """The number of the plan in force; 0 where none is frozen yet."""
    query = select(func.max(plans.c.plan_no)).where(plans.c.rollover_id == run.id)
    return connection.scalar(query) or 0


def rejection(connection: Connection, run: Run, plan_no: int) -> str | None:
    """Who rejected a plan of the rollover and when, as a sentence; None if nobody did."""
    known = evidence_table.c
    query = select(known.facts["by"].astext.label("by"), known.recorded_at).where(
        known.rollover_id == run.id,
        known.kind == evidence.PLAN_REJECTED,
        known.facts["plan_no"].as_integer() == plan_no,
    )
    found = connection.execute(query.order_by(known.evidence_id).limit(1)).one_or_none()
    if found is None:
        return None
    return f"{found.by} rejected plan {plan_no} of {run.id}, recorded {found.recorded_at:%Y-%m-%d %H:%M} UTC."


def is_erased(connection: Connection, run: Run, plan_no: int) -> bool:
    """Whether the rows of a plan are erased, of whichever number."""
    query = select(steps.c.step).where(
        steps.c.rollover_id == run.id, steps.c.step == "erase", steps.c.plan_no == plan_no
    )
    return connection.scalar(query) is not None


def rollover(connection: Connection, run: Run) -> Mapping[str, Any]:
    """The ledger's row of the rollover. Raises Refused while its guard has not let it in."""
    row = connection.execute(select(rollovers).where(rollovers.c.rollover_id == run.id)).mappings().one_or_none()
    if row is None:
        raise Refused(f"{run.id} has not passed its guard.", "run the task 'guard' first.")
    return dict(row)


def is_current(connection: Connection, run: Run) -> bool:
    """Whether the rollover is of the tenant's current year (else it only archives or erases)."""
    return bool(rollover(connection, run)["is_current"])


def finished_at(connection: Connection, run: Run, step: str) -> datetime:
    """When a step that is done was recorded."""
    query = select(steps.c.finished_at).where(
        steps.c.rollover_id == run.id,
        steps.c.step == step,
        steps.c.plan_no == _plan_number_for(connection, run, step),
    )
    instant: datetime = connection.scalars(query).one()
    return instant


def reset_at(connection: Connection, run: Run) -> datetime:
    """The instant as of which the rollover happens, as its guard fixed it."""
    instant: datetime = rollover(connection, run)["reset_at"]
    return instant


def require(connection: Connection, run: Run, step: str) -> None:
    """Raise Refused unless the ledger has everything that `step` needs done before."""
    if step == "guard":
        return
    needed = REQUIRES.get(step, ())
    if is_current(connection, run):
        needed += REQUIRES_OF_CURRENT.get(step, ())
    elif step in CURRENT_ONLY:
        raise Refused(f"{run.school_year} is not the current year of {run.tenant}: {step} is not for it.", "skip it.")
    if step in BY_THE_RESET_DATE and (frozen := rollover(connection, run)["reset_date"]) != run.reset_date:
        raise Refused(
            f"The reset date of {run.id} moved from {frozen} to {run.reset_date} since its guard.",
            "clear 'guard' and everything after it.",
        )
    if step in UNLESS_REJECTED and (rejected := rejection(connection, run, plan_number(connection, run))):
        raise Refused(f"{rejected} It cannot be approved or run any more.", PLAN_AGAIN)
    missing = [name for name in needed if result_of(connection, run, name) is None]
    if missing:
        raise Refused(
            f"{step} of {run.id} needs {', '.join(missing)}, which the ledger does not have.",
            f"clear the task '{missing[0]}' and everything after it in Airflow.",
        )
    if is_current(connection, run) and step in WHILE_PAUSED and pause.current(connection) is None:
        raise Refused(
            f"The roster sync of {run.tenant} is not paused any more.", "clear 'pause_sync' and all after it."
        )


def _plan_number_for(connection: Connection, run: Run, step: str) -> int:
    return 0 if step in ONCE_A_ROLLOVER else plan_number(connection, run)
