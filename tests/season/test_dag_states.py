"""Whose DAG is switched off: recorded for all tenants in one statement, and only what has changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import ProgrammingError

from rollover.database.session import tenant_session
from rollover.errors import DatabaseFailed
from rollover.season.dag_states import record_dag_states, states_of
from rollover.tenant import Tenant
from tests.support.small_district import hero_world

NOW = datetime(2026, 7, 20, 4, tzinfo=UTC)
RIVERSIDE, LAKESIDE, UNKNOWN = (Tenant("hero", name) for name in ("riverside-ca", "lakeside-ca", "nowhere"))


def known(owner: Engine) -> dict[str, tuple[str, datetime]]:
    with owner.connect() as connection:
        rows = connection.execute(text("SELECT tenant_id, state, since FROM ledger.dag_states"))
        return {row.tenant_id: (row.state, row.since) for row in rows}


def test_a_dag_is_on_paused_or_missing() -> None:
    paused = {RIVERSIDE.dag_id: True, LAKESIDE.dag_id: False}
    expected = {RIVERSIDE: "paused", LAKESIDE: "on", UNKNOWN: "missing"}
    assert states_of([RIVERSIDE, LAKESIDE, UNKNOWN], paused) == expected


def test_only_what_has_changed_is_recorded_and_in_one_statement(owner: Engine, engine: Engine) -> None:
    hero_world(owner)
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    states = states_of([RIVERSIDE, LAKESIDE, UNKNOWN], {RIVERSIDE.dag_id: False, LAKESIDE.dag_id: True})
    assert record_dag_states(engine, states, NOW) == 2
    assert known(owner) == {RIVERSIDE.id: ("on", NOW), LAKESIDE.id: ("paused", NOW)}, "the directory lacks the third"
    assert len([statement for statement in seen if "dag_states" in statement]) == 1
    later = NOW + timedelta(days=1)
    assert record_dag_states(engine, states, later) == 0
    assert record_dag_states(engine, states | {RIVERSIDE: "missing"}, later) == 1
    assert known(owner) == {RIVERSIDE.id: ("missing", later), LAKESIDE.id: ("paused", NOW)}
    assert record_dag_states(engine, {}, later) == 0


def test_a_tenants_session_cannot_record_those_of_others(owner: Engine, engine: Engine) -> None:
    hero_world(owner)
    with pytest.raises((ProgrammingError, DatabaseFailed)), tenant_session(engine, RIVERSIDE.id) as connection:
        connection.execute(text("SELECT ledger.record_dag_states('[]', now())"))
