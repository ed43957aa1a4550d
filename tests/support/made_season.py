"""Puts states of tenants into ``ledger.season`` as they are wanted, without the ledger's rows that lead to them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from rollover.database.tables.ledger import season
from rollover.season.facts import Facts, OpenQuestion

AT = datetime(2026, 7, 9, 15, tzinfo=UTC)
_FACTS = TypeAdapter(Facts)


def facts_with(school_year: str, **given: Any) -> Facts:
    """Facts of a tenant; of all that is not given there is none."""
    facts: dict[str, Any] = dict.fromkeys(Facts.model_fields)
    facts |= {"current_school_year": school_year, "done": {}, "waiting_imports": 0, "questions": (), **given}
    return _FACTS.validate_python(facts)


def question_with(tenant_id: str, question_id: int, **given: Any) -> OpenQuestion:
    """An open question about the plan of a tenant."""
    asked: dict[str, Any] = {
        "question_id": question_id,
        "kind": "plan",
        "about": f"{tenant_id}__2025-26",
        "plan_no": 1,
        "digest": "f" * 64,
        "subject": f"Question {question_id}?",
        "rows_erased": 18,
        "options": ("Approve", "Reject"),
        "dag_id": f"rollover__{tenant_id}",
        "run_id": "scheduled__2025-26",
        "task_id": "ask_approval",
        "map_index": -1,
        "asked_at": AT,
        "until": None,
    }
    return OpenQuestion.model_validate(asked | given)


def put(owner: Engine, tenant_id: str, school_year: str, **given: Any) -> None:
    """The state of a tenant in a school year, from facts like those of ``tests/season/test_state_texts.py``."""
    with owner.begin() as connection:
        put_all(connection, {(tenant_id, school_year): facts_with(school_year, **given)})


def put_all(connection: Connection, facts: Mapping[tuple[str, str], Facts]) -> None:
    """The states of many tenants at once. What has changed in the ledger before is read first, and not again."""
    connection.execute(select(func.ledger.refresh_season()))
    for (tenant_id, school_year), each in facts.items():
        values = {
            "facts": each.model_dump(mode="json"),
            "is_past": False,
            "version": func.nextval("ledger.season_version"),
            "changed_at": AT,
        }
        row = upsert(season).values(tenant_id=tenant_id, school_year=school_year, **values)
        connection.execute(row.on_conflict_do_update(index_elements=["tenant_id", "school_year"], set_=values))
