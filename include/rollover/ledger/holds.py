"""Legal holds and open inspection requests: what is held is neither erased nor reset, until a second person lifts it.

FERPA (34 CFR 99.10(e)) forbids to destroy education records while a request to inspect them is open; a legal hold
forbids it while a dispute is. A hold is of a district, a school or a student.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exists, func, insert, or_, select, union_all, update

from rollover.database.tables import metadata
from rollover.database.tables.directory import schools
from rollover.database.tables.ledger import evidence as recorded
from rollover.database.tables.ledger import holds, steps
from rollover.database.tables.people import PERSON_COLUMNS
from rollover.database.tables.roster import people
from rollover.errors import Refused
from rollover.ledger import evidence
from rollover.ledger.identity import is_same
from rollover.ledger.results import Step
from rollover.tenant import Tenant

LEGAL, INSPECTION = "legal", "inspection"
KINDS = {LEGAL: "legal hold", INSPECTION: "open inspection request"}


@dataclass(frozen=True)
class Hold:
    """A hold that is or was open. The student that it names stays in the ledger; texts only say that there is one."""

    hold_id: int
    kind: str
    school_id: str | None
    student_id: str | None
    reason: str
    set_by: str
    set_at: datetime
    lifted_by: str | None
    lift_reason: str | None
    lifted_at: datetime | None

    @property
    def sha256(self) -> str:
        """Over what must not change of it. The evidence has it, since the person that a hold names stays in its row."""
        fixed = (self.kind, self.school_id, self.student_id, self.reason, self.set_by)
        return hashlib.sha256(json.dumps(fixed).encode()).hexdigest()

    @property
    def scope(self) -> str:
        if self.student_id is not None:
            return "one student"
        return "the district" if self.school_id is None else f"school {self.school_id}"

    def __str__(self) -> str:
        return f"{KINDS[self.kind]} {self.hold_id} on {self.scope} since {self.set_at:%Y-%m-%d}"


def place(
    connection: Connection,
    tenant_id: str,
    kind: str,
    *,
    reason: str,
    by: str,
    school_id: str | None = None,
    student_id: str | None = None,
) -> Hold:
    """Hold a district's data, a school's or a student's. The caller holds the tenant's lock: no step is under way.

    A hold that comes by another way waits for it too, in the database. What went before is :func:`gone_before`.
    Raises Refused for a school or student that nobody knows: such a hold would protect nothing.
    """
    if school_id is not None and student_id is not None:
        raise Refused("A hold is of a school or of a student, not of both.", "set two holds.")
    if school_id is not None and not connection.scalar(select(exists().where(schools.c.school_id == school_id))):
        raise Refused(f"No school {school_id} is in the directory of {tenant_id}.", "look it up in the directory.")
    if student_id is not None and not _is_known(connection, Tenant.parse(tenant_id).product, student_id):
        raise Refused(
            f"No data of {tenant_id} names this student.", "give the id that the district's roster files have."
        )
    values = {"kind": kind, "school_id": school_id, "student_id": student_id, "reason": reason, "set_by": by}
    hold_id = connection.scalar(insert(holds).values(tenant_id=tenant_id, **values).returning(holds.c.hold_id))
    hold = next(each for each in every(connection) if each.hold_id == hold_id)
    evidence.record(connection, tenant_id, "hold_set", _facts(hold, by), None)
    return hold


def lift(connection: Connection, tenant_id: str, hold_id: int, *, reason: str, by: str) -> Hold:
    """End a hold. The caller holds the tenant's lock. Raises Refused for the person who set it: two must agree."""
    hold = next((each for each in every(connection) if each.hold_id == hold_id), None)
    if hold is None or hold.lifted_at is not None:
        raise Refused(f"{tenant_id} has no open hold {hold_id}.", "`rollover hold list` shows what is held.")
    if is_same(hold.set_by, by):
        raise Refused(f"{by} set hold {hold_id}: a second person lifts it.", "ask somebody else to lift it.")
    connection.execute(
        update(holds)
        .where(holds.c.hold_id == hold_id)
        .values(lifted_by=by, lift_reason=reason, lifted_at=func.clock_timestamp())
    )
    facts = {"hold": hold_id, "kind": hold.kind, "on": hold.scope, "set_by": hold.set_by, "by": by}
    evidence.record(connection, tenant_id, "hold_lifted", facts, None)
    return hold


def _facts(hold: Hold, by: str) -> dict[str, Any]:
    return {"hold": hold.hold_id, "kind": hold.kind, "on": hold.scope, "by": by, "sha256": hold.sha256}


def every(connection: Connection) -> list[Hold]:
    """All holds of the session's tenant, also those that were lifted, oldest first."""
    columns = [holds.c[name] for name in Hold.__dataclass_fields__]
    return [Hold(**row) for row in connection.execute(select(*columns).order_by(holds.c.hold_id)).mappings()]


def altered(connection: Connection) -> list[str]:
    """Holds of the session's tenant whose kind, scope, reason or setter differs from their evidence, in sentences."""
    said = select(recorded.c.facts["hold"].as_integer(), recorded.c.facts["sha256"].astext)
    hashes: dict[int, str | None] = dict(connection.execute(said.where(recorded.c.kind == "hold_set")).tuples().all())
    changed = [hold for hold in every(connection) if hashes.get(hold.hold_id) not in (None, hold.sha256)]
    return [f"hold {hold.hold_id} is not as it was set" for hold in changed]


def in_force(connection: Connection) -> list[Hold]:
    """The open holds of the session's tenant, oldest first."""
    return [hold for hold in every(connection) if hold.lifted_at is None]


def gone_before(connection: Connection) -> list[str]:
    """List what has already left the live tables, which a hold set now cannot keep: a sentence for each plan, or part
    of one that is under way, oldest first."""
    done = select(steps.c.rollover_id, steps.c.finished_at.label("at"), steps.c.result).where(
        steps.c.step == Step.ERASE
    )
    parts = select(recorded.c.rollover_id, recorded.c.recorded_at.label("at"), recorded.c.facts.label("result")).where(
        recorded.c.kind == evidence.ERASE_PART,
        ~exists().where(
            steps.c.rollover_id == recorded.c.rollover_id,
            steps.c.step == Step.ERASE,
            steps.c.plan_no == recorded.c.facts["plan_no"].as_integer(),
        ),
    )
    return [
        f"{row.rollover_id}: {sum(row.result['erased'].values()):,} rows were erased for good on "
        f"{row.at:%Y-%m-%d}, {sum(row.result['archived'].values()):,} are in the archive only"
        for row in connection.execute(union_all(done, parts).order_by("at"))
    ]


def _is_known(connection: Connection, product: str, student_id: str) -> bool:
    if connection.scalar(select(exists().where(people.c.sourced_id == student_id))):
        return True
    tables = [(metadata.tables[name], columns) for name, columns in PERSON_COLUMNS.items()]
    return any(
        connection.scalar(select(exists().where(or_(*(table.c[column] == student_id for column in columns)))))
        for table, columns in tables
        if table.schema == product
    )
