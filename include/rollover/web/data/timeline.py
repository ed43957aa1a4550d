"""Collects what happened in a rollover, in order: its evidence, the questions about it, and what failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Text, case, cast, select
from sqlalchemy.dialects.postgresql import ARRAY

from rollover.database.tables.ledger import evidence, failures, questions
from rollover.ledger.evidence import ERASE_PART, PLAN_APPROVED, PLAN_REJECTED
from rollover.ledger.questions import WITHDRAWN
from rollover.ledger.results import Result, Step
from rollover.ledger.steps import RULES
from rollover.season.phases import STOPPED
from rollover.season.state import TenantState
from rollover.tenant import rollover_id

RESULTS: dict[str, type[Result]] = {kind.step: kind for kind in Result.__subclasses__()}
LONG = {
    Step.PLAN: ("markdown",),
    Step.IMPORT_ROSTER: ("details",),
    Step.VERIFY_ROSTER: ("schools", "files"),
    ERASE_PART: ("lines",),
}
"""Parts of evidence, by its kind, that may be long and that no timeline shows."""
STEP_OF = {
    "asked": Step.ASK_APPROVAL,
    "answered": Step.ASK_APPROVAL,
    PLAN_APPROVED: Step.APPROVE,
    PLAN_REJECTED: Step.APPROVE,
    ERASE_PART: Step.ERASE,
}
"""The steps of events that are not a step's own."""
BY = ("by", "approved_by", "ended_by", "paused_by")
"""The fields in which evidence names the person, or the rollover, that did something."""
RECORDED = tuple(step for step in Step if step is Step.GUARD or step in RULES)
"""The steps that the ledger records, in their order."""


@dataclass(frozen=True)
class Event:
    """Something that happened. `kind` is a step, a kind of evidence, ``asked``, ``answered`` or ``failed``.

    `facts` are small and have no personal value; `result` is a step's result, if it can still be read.
    """

    at: datetime
    kind: str
    by: str | None
    facts: dict[str, Any]
    result: Result | None = None

    @property
    def step(self) -> str | None:
        """The step that it belongs to."""
        if self.kind in RESULTS:
            return self.kind
        return STEP_OF.get(self.kind, self.facts.get("step"))


@dataclass(frozen=True)
class StepOnTheWay:
    """A step of a rollover: ``done``, ``next``, ``stopped`` (where the rollover stopped) or ``open``."""

    step: Step
    state: str
    done_at: datetime | None


def events(connection: Connection, tenant_id: str, school_year: str) -> list[Event]:
    """What happened in a rollover of the session's tenant, newest first."""
    about = rollover_id(tenant_id, school_year)
    found = [*_evidence(connection, about), *_questions(connection, about), *_failures(connection, about)]
    return sorted(found, key=lambda event: event.at, reverse=True)


def way(state: TenantState) -> list[StepOnTheWay]:
    """The steps that a rollover takes, with how far it is; empty if it has not begun."""
    rollover, done = state.facts.rollover, state.facts.done
    if rollover is None:
        return []
    taken = [step for step in RECORDED if rollover.is_current or not (step in RULES and RULES[step].only_current_year)]
    first_open = next((step for step in taken if step not in done), None)
    following = "stopped" if state.phase in STOPPED else "next"
    return [
        StepOnTheWay(step, "done" if step in done else following if step is first_open else "open", done.get(step))
        for step in taken
    ]


def _evidence(connection: Connection, about: str) -> Iterator[Event]:
    row = evidence.c
    short = case(
        *((row.kind == kind, row.facts.op("-")(cast(names, ARRAY(Text)))) for kind, names in LONG.items()),
        else_=row.facts,
    )
    query = select(row.kind, row.recorded_at, short.label("facts")).where(row.rollover_id == about)
    for found in connection.execute(query.order_by(row.evidence_id)):
        by = next((found.facts[name] for name in BY if found.facts.get(name) not in (None, "", about)), None)
        yield Event(found.recorded_at, found.kind, by, found.facts, _result(found.kind, found.facts))


def _result(kind: str, facts: dict[str, Any]) -> Result | None:
    """The result of a step, typed. None for another kind, and for a result that was changed by hand: the check of the
    chain reports that."""
    if kind not in RESULTS:
        return None
    left_out = {"markdown": ""} if kind == Step.PLAN else {}
    try:
        return RESULTS[kind].model_validate({**facts, **left_out})
    except ValidationError:
        return None


def _questions(connection: Connection, about: str) -> Iterator[Event]:
    row = questions.c
    columns = (row.subject, row.asked_at, row.until, row.answer, row.answered_by, row.answered_at, row.kind)
    for found in connection.execute(select(*columns).where(row.about == about)):
        yield Event(found.asked_at, "asked", None, {"subject": found.subject, "until": found.until})
        if found.answered_at is not None:
            facts = {"subject": found.subject, "answer": found.answer, "is_withdrawn": found.answer == WITHDRAWN}
            yield Event(found.answered_at, "answered", found.answered_by, facts)


def _failures(connection: Connection, about: str) -> Iterator[Event]:
    row = failures.c
    columns = (row.failed_at, row.step, row.error_class, row.is_refusal, row.reason, row.remedy, row.waits_for)
    for found in connection.execute(select(*columns).where(row.rollover_id == about)).mappings():
        yield Event(found["failed_at"], "failed", None, {**found})
