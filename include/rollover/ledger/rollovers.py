"""A rollover as the ledger has it: what its guard fixed, which steps are done, and what they returned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, and_, func, select

from rollover.calendar import utc_minute
from rollover.database.tables.ledger import evidence as evidence_table
from rollover.database.tables.ledger import plans, rollovers, steps
from rollover.errors import ProofFailed, Refused
from rollover.ledger import evidence
from rollover.ledger.results import AnyResult, Step
from rollover.run import Run


class RolloverState(StrEnum):
    """How far a rollover is. A failed one is still running: nothing else may begin before it is finished."""

    RUNNING = "running"
    CERTIFIED = "certified"


ONCE_A_ROLLOVER = frozenset(
    {Step.GUARD, Step.PAUSE_SYNC, Step.RESET, Step.IMPORT_ROSTER, Step.VERIFY_ROSTER, Step.RESUME_SYNC}
)
"""Done once, whatever the plan; the others once for each plan, should a further one take rows that came late."""


@dataclass(frozen=True)
class Rollover:
    """What the guard recorded: `is_current` says whether it is of the tenant's current year (else it only archives or
    erases), `reset_at` is the instant as of which it happens, `run_id` the DAG run that works on it."""

    reset_date: date
    reset_at: datetime
    is_current: bool
    state: RolloverState
    run_id: str
    finished_at: datetime | None


def find(connection: Connection, run: Run) -> Rollover | None:
    """The ledger's row of the rollover; None if its guard has not let it in."""
    columns = [rollovers.c[name] for name in Rollover.__dataclass_fields__]
    row = connection.execute(select(*columns).where(rollovers.c.rollover_id == run.id)).one_or_none()
    return Rollover(**{**row._mapping, "state": RolloverState(row.state)}) if row else None


def load(connection: Connection, run: Run) -> Rollover:
    """The ledger's row of the rollover. Raises Refused if its guard has not let it in."""
    found = find(connection, run)
    if found is None:
        raise Refused(f"{run.id} has not passed its guard.", "run the task 'guard' first.")
    return found


def plan_number(connection: Connection, run: Run) -> int:
    """The number of the plan in force; 0 if none is frozen yet."""
    return connection.scalar(select(func.max(plans.c.plan_no)).where(plans.c.rollover_id == run.id)) or 0


def result_of(connection: Connection, run: Run, kind: type[AnyResult]) -> AnyResult | None:
    """What a step returned when it was done, for the plan in force; None if it is not done."""
    found = connection.scalar(select(steps.c.result).where(_row_of(connection, run, kind.step)))
    return None if found is None else parsed(run, kind, found)


def parsed(run: Run, kind: type[AnyResult], recorded: object) -> AnyResult:
    """The result of a step from the ledger's JSON. Raises ProofFailed if it is not one."""
    try:
        return kind.model_validate(recorded)
    except ValidationError:
        raise ProofFailed(
            f"The ledger's result of {kind.step} of {run.id} is not what that step returns: it was changed by hand.",
            "see `rollover evidence verify`, and report it at once.",
        ) from None


def is_done(connection: Connection, run: Run, step: Step) -> bool:
    """Whether a step is done, for the plan in force."""
    return connection.scalar(select(steps.c.step).where(_row_of(connection, run, step))) is not None


def finished_at(connection: Connection, run: Run, step: Step) -> datetime:
    """When a step that is done was recorded."""
    instant: datetime = connection.scalars(select(steps.c.finished_at).where(_row_of(connection, run, step))).one()
    return instant


def number_for(connection: Connection, run: Run, step: Step) -> int:
    """The plan number that a step is recorded with; 0 for a step that does not depend on the plan."""
    return 0 if step in ONCE_A_ROLLOVER else plan_number(connection, run)


def is_erased(connection: Connection, run: Run, plan_no: int) -> bool:
    """Whether the rows of plan `plan_no` are erased; it need not be the plan in force."""
    query = select(steps.c.step).where(
        steps.c.rollover_id == run.id, steps.c.step == Step.ERASE, steps.c.plan_no == plan_no
    )
    return connection.scalar(query) is not None


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
    return f"{found.by} rejected plan {plan_no} of {run.id}, recorded {utc_minute(found.recorded_at)}."


def _row_of(connection: Connection, run: Run, step: Step) -> ColumnElement[bool]:
    number = number_for(connection, run, step)
    return and_(steps.c.rollover_id == run.id, steps.c.step == step, steps.c.plan_no == number)
