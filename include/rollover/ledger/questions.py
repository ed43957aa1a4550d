"""Questions to people, as the ledger has them: what each is about, who answered it, and what.

Airflow asks them. The ledger has them too, so that everything that waits for a person is known without Airflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Connection, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert

from rollover.database.tables.ledger import questions

Kind = Literal["plan", "roster", "expiry"]
WITHDRAWN = "Withdrawn"
"""The answer to a question that nobody has to answer any more."""
LONGEST_REASON = 2_000
"""Characters of a reason that are kept."""


@dataclass(frozen=True)
class Asked:
    """A question as a task asks it.

    `about` is a rollover id (plan, expiry) or an import id (roster), `digest` is that of what is shown, and
    `rows_erased` is how many rows are erased or removed if the answer is yes.
    """

    kind: Kind
    about: str
    digest: str
    subject: str
    rows_erased: int
    options: Sequence[str]
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    asked_at: datetime
    plan_no: int | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Question(Asked):
    """A question in the ledger.

    Without `answered_at` it is open; without `answered_by` nobody answered in time, or it was withdrawn.
    """

    question_id: int = 0
    tenant_id: str = ""
    answer: str | None = None
    answered_by: str | None = None
    answered_at: datetime | None = None
    reason: str | None = None


def ask(connection: Connection, tenant_id: str, asked: Asked) -> None:
    """Record that a person is asked. A task that is run again asks the same question: it is recorded once.

    One question about a thing is open at a time: another one, about older numbers or of an older run, is withdrawn.
    """
    rows = questions.c
    is_same = and_(
        rows.digest == asked.digest,
        rows.run_id == asked.run_id,
        rows.task_id == asked.task_id,
        rows.map_index == asked.map_index,
    )
    _answer(connection, and_(rows.kind == asked.kind, rows.about == asked.about, ~is_same), WITHDRAWN)
    values = {field.name: getattr(asked, field.name) for field in fields(Asked)}
    values["options"] = list(asked.options)
    connection.execute(insert(questions).values(tenant_id=tenant_id, **values).on_conflict_do_nothing())


def close(
    connection: Connection,
    about: str,
    digest: str,
    *,
    answer: str,
    by: str | None,
    plan_no: int | None = None,
    now: datetime | None = None,
) -> None:
    """Record the answer to the open question about exactly what was shown. An answered one stays as it is.

    `digest` may be the beginning of it, as a person types it. A plan can have the hash of an older one, so a question
    about a plan is found by its number, too. Without `now` it is the time of the database.
    """
    _answer(connection, _about(about, digest, plan_no), answer, by, now)


def withdraw(connection: Connection, kind: Kind, about: Iterable[str]) -> None:
    """Close the open questions about things that nobody has to decide any more."""
    _answer(connection, and_(questions.c.kind == kind, questions.c.about.in_(list(about))), WITHDRAWN)


def keep_reason(
    connection: Connection, about: str, digest: str, reason: str | None, *, plan_no: int | None = None
) -> None:
    """Keep the reason of the person who answered the open question, for whoever records the decision."""
    if reason and (said := reason.strip()):
        which = and_(_about(about, digest, plan_no), questions.c.answered_at.is_(None))
        connection.execute(update(questions).where(which).values(reason=said[:LONGEST_REASON]))


def reason_of(connection: Connection, about: str, digest: str, *, plan_no: int | None = None) -> str | None:
    """The reason that was given with the newest answer about what was shown; None if there is none."""
    query = select(questions.c.reason).where(_about(about, digest, plan_no)).order_by(questions.c.question_id.desc())
    return connection.scalar(query.limit(1))


def _about(about: str, digest: str, plan_no: int | None) -> ColumnElement[bool]:
    found = and_(questions.c.about == about, questions.c.digest.startswith(digest, autoescape=True))
    return found if plan_no is None else and_(found, questions.c.plan_no == plan_no)


def _answer(
    connection: Connection,
    which: ColumnElement[bool],
    answer: str,
    by: str | None = None,
    now: datetime | None = None,
) -> None:
    values = {"answer": answer, "answered_by": by or None, "answered_at": now or func.clock_timestamp()}
    connection.execute(update(questions).where(which, questions.c.answered_at.is_(None)).values(values))


def of_tenant(connection: Connection) -> list[Question]:
    """All questions of the session's tenant, newest first."""
    columns = [questions.c[field.name] for field in fields(Question)]
    query = select(*columns).order_by(questions.c.question_id.desc())
    return [Question(**row) for row in connection.execute(query).mappings()]
