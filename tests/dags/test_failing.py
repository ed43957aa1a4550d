"""A task that fails for good is in the ledger: its step, the kind of error, and what it was about. Nothing personal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from sqlalchemy import Engine, text

from rollover.adapter import connections, failing, importing
from rollover.roster.reading import stage
from rollover.yearend import steps
from tests.dags.test_rollover_dag import HERO, ROLLOVER, drop, new_year_zip
from tests.support.run_dag import run_dag, xcom_of
from tests.support.small_district import YEAR

Load = Callable[[str], DAG]
NAME = "Zoë O'Hara"


def failures(owner: Engine) -> list[dict[str, Any]]:
    with owner.connect() as connection:
        rows = connection.execute(text("SELECT * FROM ledger.failures ORDER BY failure_id")).mappings()
        return [dict(row) for row in rows]


def context_of(dag_id: str = ROLLOVER, **others: Any) -> Any:
    """The context of a callback in the DAG processor: it has no exception."""
    run = SimpleNamespace(dag_id=dag_id, run_id="r", partition_key="2025-26", start_date=datetime.now(UTC))
    task = SimpleNamespace(task_id="erase", map_index=-1)
    return {"dag_run": run, "ti": task, **others}


def test_a_refusal_is_recorded_with_what_to_do(airflow: Load, riverside: Path, owner: Engine) -> None:
    done = run_dag(airflow(ROLLOVER), partition_key="2026-27")
    assert done.state_of("plan") == "failed"
    (failure,) = failures(owner)
    about = {name: failure[name] for name in ("tenant_id", "rollover_id", "import_id", "step", "run_id", "is_refusal")}
    assert about == {
        "tenant_id": HERO,
        "rollover_id": f"{HERO}__2026-27",
        "import_id": None,
        "step": "guard",
        "run_id": done.run_id,
        "is_refusal": True,
    }
    assert failure["error_class"] == "Refused" and failure["reason"] and failure["remedy"]


def test_a_foreign_error_is_recorded_once_by_its_class(
    airflow: Load, riverside: Path, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again three times, which is no failure yet."""
    tries: list[int] = []

    def fails(*arguments: object) -> None:
        assert failures(owner) == []
        tries.append(1)
        raise ValueError(NAME)

    monkeypatch.setitem(steps.ALONE, steps.Step.PAUSE_SYNC, fails)
    assert run_dag(airflow(ROLLOVER), partition_key="2025-26").state == "failed"
    assert len(tries) == 4
    (failure,) = failures(owner)
    assert (failure["step"], failure["error_class"], failure["reason"]) == ("pause_sync", "ValueError", None)
    assert NAME not in str(failure) and not failure["is_refusal"]


def test_an_import_that_fails_is_recorded_by_its_id(
    airflow: Load, riverside: Path, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first.zip", "second.zip"):
        drop(riverside, new_year_zip(YEAR.last_year), name)
        run_dag(airflow("roster_intake"))
    read = stage.stage

    def fails_once(engine: Engine, tenant_id: str, import_id: str, *arguments: Any, **others: Any) -> Any:
        if import_id == second:
            raise KeyError(NAME)
        return read(engine, tenant_id, import_id, *arguments, **others)

    with owner.connect() as connection:
        _, second = connection.scalars(text("SELECT import_id FROM ledger.imports ORDER BY found_at")).all()
    monkeypatch.setattr(stage, "stage", fails_once)
    done = run_dag(airflow("roster_import"), partition_key=HERO, asset_extra={})
    assert done.result_of("import_drops") == [second], "the first is imported, though it is another's turn after it"
    assert xcom_of(done.run_id, failing.IMPORT_DROPS, failing.AT_WORK) == second, "the last that it began with"
    assert done.state_of("unfinished.go_on", 0) == "failed"
    with owner.connect() as connection:
        states = connection.scalars(text("SELECT state FROM ledger.imports ORDER BY found_at")).all()
    assert states == ["applied", "fetched"]
    (failure,) = failures(owner)
    assert (failure["tenant_id"], failure["import_id"], failure["rollover_id"]) == (HERO, second, None)
    assert (failure["step"], failure["error_class"]) == ("stage", "KeyError")


@pytest.mark.parametrize("at_work", [None, 1])
def test_a_killed_import_is_recorded_by_the_id_that_it_had_begun_with(
    at_work: int | None, airflow: Load, riverside: Path, owner: Engine
) -> None:
    """Without one it had not begun: the oldest was next. One that is finished has not failed."""
    for name in ("first.zip", "second.zip"):
        drop(riverside, new_year_zip(YEAR.last_year), name)
        run_dag(airflow("roster_intake"))
    with owner.connect() as connection:
        ids = connection.scalars(text("SELECT import_id FROM ledger.imports ORDER BY found_at")).all()
    begun: list[str] = []
    importing.import_drops(list(ids), by_run="r", begin=begun.append)
    assert begun == list(ids)
    with owner.begin() as connection:
        connection.execute(text("UPDATE ledger.imports SET state = 'staged'"))

    def xcom_pull(*, task_ids: str, key: str) -> str | None:
        assert (task_ids, key) == (failing.IMPORT_DROPS, failing.AT_WORK)
        return None if at_work is None else ids[at_work]

    context = context_of("roster_import")
    context["dag_run"].partition_key = HERO
    context["ti"] = SimpleNamespace(task_id=failing.IMPORT_DROPS, map_index=-1, xcom_pull=xcom_pull)
    failing.on_task_failure(context)
    (failure,) = failures(owner)
    assert (failure["import_id"], failure["error_class"]) == (ids[at_work or 0], "Killed")
    with owner.begin() as connection:
        applied = {"begun": ids[at_work or 0]}
        connection.execute(text("UPDATE ledger.imports SET state = 'applied' WHERE import_id = :begun"), applied)
    failing.on_task_failure(context)
    assert failures(owner)[1]["import_id"] == ids[1 - (at_work or 0)]


def test_a_killed_task_is_recorded_once(airflow: Load, riverside: Path, owner: Engine) -> None:
    """Airflow may report the task, the run, or both."""
    context = context_of()
    failing.on_failure(context)
    failing.on_failure(context)
    (failure,) = failures(owner)
    assert (failure["step"], failure["error_class"], failure["waits_for"]) == ("erase", "Killed", "data_engineer")
    failing.on_task_failure(context_of())
    assert len(failures(owner)) == 2


def test_an_expiry_that_fails_is_recorded_by_its_rollover(airflow: Load, riverside: Path, owner: Engine) -> None:
    years = [f"hero__lakeside-ca__{YEAR}", f"{HERO}__{YEAR}"]
    context = context_of("archive_expiry")
    context["ti"] = SimpleNamespace(task_id="expire.erase", map_index=1, xcom_pull=lambda *, task_ids: years)
    failing.on_task_failure(context)
    (failure,) = failures(owner)
    assert (failure["tenant_id"], failure["rollover_id"], failure["step"]) == (HERO, years[1], "expire.erase")


@pytest.mark.parametrize(
    "context",
    [
        {},
        context_of("archive_expiry"),
        context_of("roster_sync"),
        context_of("roster_import"),
        {"dag_run": context_of()["dag_run"]},
    ],
)
def test_what_is_not_about_one_rollover_or_import_is_not_recorded(
    context: Any, airflow: Load, riverside: Path, owner: Engine
) -> None:
    failing.on_task_failure(context)
    failing.on_failure(context)
    assert failures(owner) == []


def test_a_failure_that_cannot_be_recorded_is_logged_without_its_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down() -> Engine:
        raise ConnectionError(NAME)

    monkeypatch.setattr(connections, "engine", down)
    with caplog.at_level(logging.WARNING):
        failing.on_task_failure(context_of(exception=ValueError(NAME)))
    assert "the failure is not in the ledger: ConnectionError" in caplog.text and NAME not in caplog.text
