"""The plan in force of a rollover: what happens to which rows, frozen, and how far it went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, select

from rollover.database.checksums import RowsChecksum
from rollover.database.tables.ledger import plan_lines, plans
from rollover.database.tables.ledger import steps as done
from rollover.errors import Refused
from rollover.ledger import rollovers
from rollover.ledger.results import Step
from rollover.ledger.rollovers import Rollover
from rollover.run import Run


class PlanAction(StrEnum):
    """What happens to the rows of a line."""

    ERASE = "erase"
    ARCHIVE = "archive"
    HOLD = "hold"
    RESET = "reset"
    KEEP = "keep"


GOES = (PlanAction.ARCHIVE, PlanAction.ERASE)
"""The actions by which rows leave the live database."""


@dataclass(frozen=True, order=True)
class Line:
    """One school's rows of one table, what happens to them and why."""

    school_id: str
    data_class: str
    table_name: str
    action: PlanAction
    reason: str
    rows: int
    checksum: Decimal
    bytes: int

    @property
    def rows_checksum(self) -> RowsChecksum:
        """The rows as they are compared: their number and their checksum."""
        return RowsChecksum(self.rows, self.checksum)


@dataclass(frozen=True)
class FrozenPlan:
    """The plan in force, loaded once per step. `lines` are in the order of school and table."""

    run: Run
    rollover: Rollover
    number: int
    plan_hash: str
    frozen_at: datetime
    warnings: tuple[str, ...]
    approved_by: str | None
    lines: tuple[Line, ...]
    holds_current_state: bool
    """Whether it takes the tenant's current state too, and not only rows of the year: in the current year, until that
    is reset."""

    def lines_of(self, *actions: PlanAction) -> list[Line]:
        return [line for line in self.lines if line.action in actions]

    @cached_property
    def going(self) -> list[Line]:
        """The lines by which rows leave the live database."""
        return self.lines_of(*GOES)


def in_force(connection: Connection, run: Run) -> FrozenPlan:
    """The plan with the highest number. Raises Refused if none is frozen."""
    head = (plans.c.plan_no, plans.c.plan_hash, plans.c.frozen_at, plans.c.warnings, plans.c.approved_by)
    newest = select(*head).where(plans.c.rollover_id == run.id).order_by(plans.c.plan_no.desc()).limit(1)
    found = connection.execute(newest).one_or_none()
    if found is None:
        raise Refused(f"{run.id} has no plan.", "clear the task 'plan' and everything after it in Airflow.")
    return FrozenPlan(
        run=run,
        rollover=rollovers.load(connection, run),
        number=found.plan_no,
        plan_hash=found.plan_hash,
        frozen_at=found.frozen_at,
        warnings=tuple(found.warnings),
        approved_by=found.approved_by,
        lines=tuple(_lines(connection, run, found.plan_no)),
        holds_current_state=holds_current_state(connection, run),
    )


def _lines(connection: Connection, run: Run, number: int) -> Iterable[Line]:
    columns = [plan_lines.c[name] for name in Line.__dataclass_fields__]
    query = select(*columns).where(plan_lines.c.rollover_id == run.id, plan_lines.c.plan_no == number)
    ordered = query.order_by(plan_lines.c.school_id, plan_lines.c.table_name)
    return (line_of(row) for row in connection.execute(ordered).mappings())


def line_of(row: Mapping[Any, Any]) -> Line:
    """A line from its row in ``ledger.plan_lines``."""
    return Line(**{**dict(row), "action": PlanAction(row["action"])})


def holds_current_state(connection: Connection, run: Run) -> bool:
    """Whether a plan now holds the tenant's current state too: in its current year, until that is reset."""
    return rollovers.load(connection, run).is_current and not rollovers.is_done(connection, run, Step.RESET)


def stayed(connection: Connection, run: Run, plan_no: int) -> set[tuple[str, str]]:
    """The schools and tables that a plan did not erase: parts of it had gone when another plan replaced it."""
    query = select(done.c.result["stayed"]).where(
        done.c.rollover_id == run.id, done.c.step == Step.ERASE, done.c.plan_no == plan_no
    )
    return {(school_id, table) for school_id, table in connection.scalar(query) or []}
