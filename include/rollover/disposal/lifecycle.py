"""The life of a plan that destroys archived data: frozen, approved by a person, checked again, run once, proved.

Expiry of a year and destruction of a key are the same life of two contents. It is also that of a rollover's plan
(:mod:`rollover.yearend`), whose stages are tasks: freeze, ask, approve, still holds, run, done.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any

from sqlalchemy import Connection

from rollover.certificate import destruction, signing
from rollover.certificate.destruction import Of
from rollover.database.session import tenant_session
from rollover.ledger import disposal_plans, evidence, questions
from rollover.ledger.disposal_plans import DisposalPlan

log = logging.getLogger(__name__)


class Disposal(ABC):
    """What is destroyed by a plan, for one tenant."""

    of: Of
    event: str
    """The kind of evidence of a plan that was run."""
    rollover_id: str | None = None

    @abstractmethod
    def find(self, connection: Connection, plan_hash: str) -> DisposalPlan:
        """The plan with this hash, if it is the newest of its kind. Raises RolloverError otherwise."""

    @abstractmethod
    def check_approval(self, plan: DisposalPlan, by: str) -> None:
        """Raise Refused if this person may not approve the plan."""

    @abstractmethod
    def check_still_holds(self, connection: Connection, plan: DisposalPlan) -> None:
        """Raise RolloverError unless what would be planned now is what was frozen.

        Once the approval is recorded, a part of it may be gone already: a run was killed.
        """

    @abstractmethod
    def run(self, plan: DisposalPlan) -> None:
        """Destroy what the plan says, and prove that it is gone. Safe to run again after a crash."""

    @abstractmethod
    def facts(self, plan: DisposalPlan) -> dict[str, Any]:
        """What the evidence says of the plan: numbers and ids."""


def _record_approval(connection: Connection, disposal: Disposal, plan: DisposalPlan, by: str) -> None:
    """Record who approved a plan and why, and that the question about it is answered, if one was asked."""
    about = disposal.rollover_id
    why = questions.reason_of(connection, about, plan.plan_hash) if about else None
    disposal_plans.approve(connection, disposal.of.tenant.id, plan, by, why)
    if about:
        questions.close(connection, about, plan.plan_hash, answer="Approve", by=by)


def approve_and_run(disposal: Disposal, plan_hash: str, by: str) -> dict[str, Any]:
    """Record a person's approval of a plan, run it, certify it; returns what the evidence says.

    The approval is committed before anything is destroyed. Safe to run again after a crash: a plan that is done only
    returns its facts. Raises ProofFailed or Refused, with nothing more destroyed, if anything is other than approved.
    """
    of = disposal.of
    key = signing.read_key(of.signing_key)  # what could not be certified is not begun
    with tenant_session(of.engine, of.tenant.id, exclusive=True) as connection:
        plan = disposal.find(connection, plan_hash)
        disposal.check_approval(plan, by)
        if plan.done_at is None:
            disposal.check_still_holds(connection, plan)
            _record_approval(connection, disposal, plan, by)
    with tenant_session(of.engine, of.tenant.id, exclusive=True) as connection:
        plan = disposal.find(connection, plan_hash)
        facts = disposal.facts(plan)
        if plan.done_at is not None:
            log.info("plan %s of %s is done already: nothing to do", plan.plan_hash[:12], of.tenant)
            return facts
        disposal.check_still_holds(connection, plan)
        disposal.run(plan)
        issued = destruction.issue(connection, of, plan, key)
        disposal_plans.finish(connection, plan)
        evidence.record(connection, of.tenant.id, disposal.event, {**facts, **issued}, disposal.rollover_id)
        log.info("plan %s of %s is done: %s", plan.plan_hash[:12], of.tenant, disposal.event)
        return facts
