"""Questions in the ledger: one is open at a time, each is closed by the step that decides, and the reason is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.errors import DatabaseFailed, Refused
from rollover.ledger import questions
from rollover.ledger.questions import WITHDRAWN, Asked, Question
from rollover.ledger.results import Planned
from rollover.run import Run
from rollover.yearend import steps
from rollover.yearend.approval import PlanAnswer
from tests.support.small_district import NOW, hero_world, run_of
from tests.yearend.test_rollover_steps import RUN_ID, answer_to, no_outbox, nobody

WHY = "Zoë O'Hara's school has left"


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def asked(run: Run, plan: Planned | None = None, **others: Any) -> Asked:
    """A question about a plan, as `ask_approval` asks it."""
    question = Asked(
        kind="plan",
        about=run.id,
        digest=plan.plan_hash if plan else "d" * 64,
        subject="Riverside: erase 18?",
        rows_erased=18,
        options=["Approve", "Reject"],
        dag_id=run.tenant.dag_id,
        run_id=RUN_ID,
        task_id="ask_approval",
        map_index=-1,
        asked_at=NOW,
        plan_no=plan.plan_no if plan else 1,
    )
    return replace(question, **others)


def ask(run: Run, question: Asked) -> None:
    with tenant_session(run.engine, run.tenant.id) as connection:
        questions.ask(connection, run.tenant.id, question)


def known(run: Run) -> list[Question]:
    """All questions, oldest first."""
    with tenant_session(run.engine, run.tenant.id) as connection:
        return questions.of_tenant(connection)[::-1]


def answers(run: Run) -> list[tuple[str | None, str | None]]:
    return [(question.answer, question.answered_by) for question in known(run)]


def evidence(run: Run, kind: str) -> list[dict[str, Any]]:
    with tenant_session(run.engine, run.tenant.id) as connection:
        rows = ledger.evidence.c
        return list(connection.scalars(select(rows.facts).where(rows.kind == kind).order_by(rows.evidence_id)))


def planned(run: Run) -> Planned:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    return plan


def give_reason(run: Run, plan: Planned, reason: str = WHY) -> None:
    with tenant_session(run.engine, run.tenant.id) as connection:
        questions.keep_reason(connection, run.id, plan.plan_hash, reason, plan_no=plan.plan_no)


def test_one_question_about_a_thing_is_open(run: Run) -> None:
    for _ in range(2):  # the task was killed, and runs again
        ask(run, asked(run))
    assert answers(run) == [(None, None)]
    ask(run, asked(run, run_id="another run"))
    ask(run, asked(run, run_id="another run", digest="e" * 64))
    assert answers(run) == [(WITHDRAWN, None), (WITHDRAWN, None), (None, None)]
    ask(run, asked(run, kind="expiry"))
    ask(run, asked(run, about="another rollover"))
    assert answers(run)[2:] == [(None, None)] * 3, "other things are asked about at the same time"


def test_what_was_answered_may_be_asked_again_in_the_same_run(run: Run) -> None:
    for by in ("dana", "erin"):
        ask(run, asked(run))
        with tenant_session(run.engine, run.tenant.id) as connection:
            questions.close(connection, run.id, "d" * 64, answer="Reject", by=by, now=NOW)
    assert answers(run) == [("Reject", "dana"), ("Reject", "erin")]


def test_a_person_may_type_the_beginning_of_the_digest(run: Run) -> None:
    ask(run, asked(run))
    with tenant_session(run.engine, run.tenant.id) as connection:
        for wrong in ("d" * 11 + "_", "d" * 11 + "%"):
            questions.close(connection, run.id, wrong, answer="Approve", by="dana")
        assert questions.of_tenant(connection)[0].answered_at is None
        questions.close(connection, run.id, "d" * 12, answer="Approve", by="dana")
    assert answers(run) == [("Approve", "dana")]


def test_an_answered_question_keeps_its_answer_and_its_reason(run: Run, owner: Engine) -> None:
    ask(run, asked(run))
    with tenant_session(run.engine, run.tenant.id) as connection:
        questions.keep_reason(connection, run.id, "d" * 64, f"  {'x' * 3_000}")
        questions.close(connection, run.id, "d" * 64, answer="Approve", by="dana")
        questions.keep_reason(connection, run.id, "d" * 64, "other")
        questions.close(connection, run.id, "d" * 64, answer="Reject", by="erin")
    (found,) = known(run)
    assert (found.answer, found.answered_by, found.reason) == ("Approve", "dana", "x" * questions.LONGEST_REASON)
    with pytest.raises((DBAPIError, DatabaseFailed)), owner.begin() as connection:
        connection.execute(ledger.questions.update().values(reason="other"))


def test_an_approval_closes_the_question_and_its_reason_is_evidence(run: Run) -> None:
    plan = planned(run)
    ask(run, asked(run, plan))
    give_reason(run, plan)
    result = steps.approve(run, answer_to(plan))
    assert answers(run) == [("Approve", "dana")] and known(run)[0].answered_at == run.now
    (facts,) = evidence(run, "plan_approved")
    assert (facts["by"], facts["why"], facts["plan_no"]) == ("dana", WHY, 1)
    assert WHY not in str(result.as_json()), "the step's result goes to XCom"


def test_a_rejection_closes_the_question_and_its_reason_is_evidence(run: Run) -> None:
    plan = planned(run)
    ask(run, asked(run, plan))
    give_reason(run, plan)
    with pytest.raises(Refused) as refusal:
        steps.approve(run, answer_to(plan, "Reject"))
    assert WHY not in str(refusal.value), "the text of an error goes to the log"
    assert answers(run) == [("Reject", "dana")]
    assert [facts["why"] for facts in evidence(run, "plan_rejected")] == [WHY]


def test_an_answer_that_is_refused_closes_the_question_too(run: Run) -> None:
    """Airflow takes one answer only: an open question would wait for ever."""
    plan = planned(run)
    ask(run, asked(run, plan))
    answer = PlanAnswer(chosen_options=["Approve"], plan_no=plan.plan_no, plan_hash=plan.plan_hash)
    with pytest.raises(Refused, match="names nobody"):
        steps.approve(run, answer)
    assert answers(run) == [("Approve", None)] and evidence(run, "plan_approved") == []


def test_a_late_answer_leaves_the_question_about_the_next_plan_open(run: Run) -> None:
    """The next plan may have the same rows, and so the same hash."""
    first = planned(run)
    ask(run, asked(run, first))
    rejected = answer_to(first, "Reject")
    with pytest.raises(Refused):
        steps.approve(run, rejected)
    second = steps.plan(run)
    steps.export_reports(run, no_outbox)
    assert (second.plan_no, second.plan_hash) == (2, first.plan_hash)
    ask(run, asked(run, second, run_id="second run"))
    with pytest.raises(Refused):
        steps.approve(run, rejected)
    assert answers(run) == [("Reject", "dana"), (None, None)]
