"""A person's answer about a plan: recorded as an approval or a rejection of exactly the plan that was shown."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, func, select, update

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import plans
from rollover.errors import Refused
from rollover.ledger import evidence, pause, questions, rollovers
from rollover.ledger.plans import FrozenPlan
from rollover.ledger.results import Approval
from rollover.ledger.steps import PLAN_AGAIN
from rollover.run import Run
from rollover.yearend import erase
from rollover.yearend.plan import confirmations, needs_approval

APPROVE, REJECT = "Approve", "Reject"


class Person(BaseModel):
    """Who answered, by login."""

    id: str


class PlanAnswer(BaseModel):
    """An answer as the task `ask_approval` returns it: what was chosen, who chose it, about which plan."""

    model_config = ConfigDict(frozen=True)
    chosen_options: list[str] = []
    responded_by_user: Person | None = None
    responded_at: str | None = None
    plan_no: int | None = None
    plan_hash: str | None = None

    @classmethod
    def of(cls, answer: dict[str, Any] | None) -> PlanAnswer | None:
        return None if answer is None else cls.model_validate(answer)

    @property
    def by(self) -> str | None:
        return self.responded_by_user.id if self.responded_by_user else None

    @property
    def rejects(self) -> bool:
        return REJECT in self.chosen_options


def approve(connection: Connection, plan: FrozenPlan, answer: PlanAnswer | None) -> Approval:
    """Record who approved the plan in force, or that nobody has to. Raises Refused for an answer that approves less."""
    if not needs_approval(plan):
        why = "the product file asks for no approval" if plan.going else "the plan has nothing to do"
        return Approval(approved_by=None, plan_hash=plan.plan_hash, why=why)
    by = _approved_by(connection, plan, answer)
    connection.execute(
        update(plans)
        .where(plans.c.rollover_id == plan.run.id, plans.c.plan_no == plan.number)
        .values(approved_by=by, approved_at=func.clock_timestamp())
    )
    assert answer is not None  # as _approved_by has checked
    facts = _facts(connection, plan.run, answer, plan.number)
    evidence.record(connection, plan.run.tenant.id, evidence.PLAN_APPROVED, facts, plan.run.id)
    _close(connection, plan.run, answer, plan.number)
    return Approval(approved_by=by, plan_hash=plan.plan_hash)


def _facts(connection: Connection, run: Run, answer: PlanAnswer, number: int) -> dict[str, Any]:
    """What the evidence says of an answer. The reason is free text: it stays in the ledger, out of XCom and logs."""
    why = questions.reason_of(connection, run.id, answer.plan_hash or "", plan_no=number)
    at = answer.responded_at
    return {"plan_no": number, "plan_hash": answer.plan_hash, "by": answer.by, "answered_at": at, "why": why}


def _close(connection: Connection, run: Run, answer: PlanAnswer, number: int | None) -> None:
    """Record in the ledger that the question about a plan is answered."""
    said, digest = ", ".join(answer.chosen_options), answer.plan_hash or ""
    questions.close(connection, run.id, digest, answer=said, by=answer.by, plan_no=number, now=run.now)


def close_question(run: Run, answer: PlanAnswer | None) -> None:
    """Record that a question is answered, though the answer was refused: Airflow takes no second one."""
    if answer is not None and answer.plan_hash:
        with tenant_session(run.engine, run.tenant.id) as connection:
            _close(connection, run, answer, answer.plan_no)


def _approved_by(connection: Connection, plan: FrozenPlan, answer: PlanAnswer | None) -> str:
    """Who approved all of the plan. Raises Refused if nobody did."""
    rollover_id = plan.run.id
    if answer is None or APPROVE not in answer.chosen_options:
        raise Refused(f"The plan of {rollover_id} is not approved: nobody was asked in this run.", PLAN_AGAIN)
    if missing := [name for name in confirmations(connection, plan.lines) if name not in answer.chosen_options]:
        raise Refused(
            f"The approval of {rollover_id} does not confirm: {'; '.join(missing)}. Nothing was changed.",
            f"choose each of them beside Approve, or reject. {PLAN_AGAIN}",
        )
    if (_plan_of(connection, plan.run, answer), answer.plan_hash) != (plan.number, plan.plan_hash):
        raise Refused(
            f"The approval of {rollover_id} is for another plan than {plan.number}, {plan.plan_hash[:12]}.", PLAN_AGAIN
        )
    if not answer.by:
        raise Refused(f"The approval of {rollover_id} names nobody: it was given without a login.", PLAN_AGAIN)
    return answer.by


def _plan_of(connection: Connection, run: Run, answer: PlanAnswer) -> int | None:
    """The number of the plan that an answer is about; a question of an older version kept the plan's hash only."""
    newest = select(func.max(plans.c.plan_no)).where(
        plans.c.rollover_id == run.id, plans.c.plan_hash == answer.plan_hash
    )
    return answer.plan_no or connection.scalar(newest)


def reject(run: Run, answer: PlanAnswer) -> None:
    """Record who rejected the plan that was asked about, once, and raise Refused with how to go on."""
    by = answer.by or "nobody who is named"
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        number = _plan_of(connection, run, answer)
        if number is None:
            raise Refused(f"{by} rejected a plan that {run.id} does not have. Nothing was changed.", PLAN_AGAIN)
        if rollovers.is_erased(connection, run, number):
            raise Refused(
                f"Too late: plan {number} of {run.id} was run before {by} rejected it. This changes nothing.",
                "see `rollover status`; what was archived can be restored with `rollover archive restore`.",
            )
        if rollovers.rejection(connection, run, number) is None:
            facts = {**_facts(connection, run, answer, number), "by": by}
            evidence.record(connection, run.tenant.id, evidence.PLAN_REJECTED, facts, run.id)
        _close(connection, run, answer, number)
        rejected = rollovers.rejection(connection, run, number)
        began = erase.has_begun(connection, run, number)
        is_paused = pause.current(connection) is not None
    changed = "Parts of it were erased before; nothing more is" if began else "Nothing was changed"
    sync = "the roster sync is still paused" if is_paused else "the roster sync is not paused"
    raise Refused(
        f"{rejected} {changed}, and {sync}.",
        "correct what is wrong (a subscription, a date, a hold), then " + PLAN_AGAIN,
    )
