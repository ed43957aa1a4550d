"""Frozen plans as the ledger has them: what happens to which rows, and how far it went."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, select

from rollover.database.fingerprint import Fingerprint
from rollover.database.tables.ledger import plan_lines, plans
from rollover.database.tables.ledger import steps as done
from rollover.ledger import steps
from rollover.run import Run

ARCHIVE, ERASE, RESET, KEEP, HOLD = "archive", "erase", "reset", "keep", "hold"


@dataclass(frozen=True, order=True)
class Line:
    """One school's rows of one table, what happens to them and why."""

    school_id: str
    data_class: str
    table_name: str
    action: str
    reason: str
    rows: int
    checksum: Decimal
    bytes: int

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.rows, self.checksum)


def holds_current_state(connection: Connection, run: Run) -> bool:
    """Whether a plan now holds the tenant's current state too: in its current year, until that is reset."""
    return steps.is_current(connection, run) and steps.result_of(connection, run, "reset") is None


def current_lines(connection: Connection, run: Run, *actions: str) -> list[Line]:
    """The lines of the plan in force, of some actions or of all."""
    number = steps.plan_number(connection, run)
    query = select(*[plan_lines.c[name] for name in Line.__dataclass_fields__]).where(
        plan_lines.c.rollover_id == run.id, plan_lines.c.plan_no == number
    )
    if actions:
        query = query.where(plan_lines.c.action.in_(actions))
    rows = connection.execute(query.order_by(plan_lines.c.school_id, plan_lines.c.table_name)).mappings()
    return [Line(**row) for row in rows]


def hash_of(connection: Connection, run: Run, number: int) -> str:
    query = select(plans.c.plan_hash).where(plans.c.rollover_id == run.id, plans.c.plan_no == number)
    digest: str = connection.scalars(query).one()
    return digest


def stayed(connection: Connection, run: Run, plan_no: int) -> set[tuple[str, str]]:
    """The schools and tables whose rows a plan did not take in the end: it went in parts, and another plan came."""
    query = select(done.c.result["stayed"]).where(
        done.c.rollover_id == run.id, done.c.step == "erase", done.c.plan_no == plan_no
    )
    return {(school_id, table) for school_id, table in connection.scalar(query) or []}
