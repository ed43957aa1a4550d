"""Questions to people, as the ledger has them: what each is about, who answered it, and what.

Airflow asks them. The ledger has them too, so that everything that waits for a person is known without Airflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from rollover.database.tables.ledger import questions

Kind = Literal["plan", "roster", "expiry"]


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
    """A question in the ledger. Without `answered_at` it is open; without `answered_by` nobody answered in time."""

    question_id: int = 0
    tenant_id: str = ""
    answer: str | None = None
    answered_by: str | None = None
    answered_at: datetime | None = None


def ask(connection: Connection, tenant_id: str, asked: Asked) -> None:
    """Record that a person is asked. A task that is run again asks the same question: it is recorded once."""
    values = {field.name: getattr(asked, field.name) for field in fields(Asked)}
    values["options"] = list(asked.options)
    connection.execute(
        insert(questions)
        .values(tenant_id=tenant_id, **values)
        .on_conflict_do_nothing(index_elements=["tenant_id", "about", "digest", "run_id"])
    )


def close(connection: Connection, about: str, digest: str, *, answer: str, by: str | None, now: datetime) -> None:
    """Record the answer to the open questions about exactly what was shown. An answered one stays as it is."""
    rows = questions.c
    connection.execute(
        update(questions)
        .where(rows.about == about, rows.digest == digest, rows.answered_at.is_(None))
        .values(answer=answer, answered_by=by or None, answered_at=now)
    )


def of_tenant(connection: Connection) -> list[Question]:
    """All questions of the session's tenant, newest first."""
    columns = [questions.c[field.name] for field in fields(Question)]
    query = select(*columns).order_by(questions.c.question_id.desc())
    return [Question(**row) for row in connection.execute(query).mappings()]
