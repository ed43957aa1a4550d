"""The notes of runs as Airflow stores them: while a run goes on, while it waits, and when it has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from airflow import settings
from airflow.api_fastapi.app import create_app
from airflow.api_fastapi.execution_api.routes.task_instances import ti_id_router
from airflow.listeners.listener import get_listener_manager
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import DAG
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, select, text

from rollover.adapter import connections, importing, noting
from rollover.season.run_note import MARK
from tests.dags.airflow_home import HOME
from tests.dags.test_import_in_review import half, town, validated
from tests.dags.test_rollover_dag import HERO, ROLLOVER, YES, drop, new_year_zip
from tests.support.roster.school_years import Town
from tests.support.run_dag import Finished, run_dag
from tests.support.small_district import YEAR

__all__ = ["town", "validated"]

Load = Callable[[str], DAG]
WHO = "Riverside-Ca · Hero"


def note_of(run_id: str) -> str:
    with create_session(scoped=False) as session:
        return session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one().note or ""


def newest_run(dag_id: str) -> str:
    with create_session(scoped=False) as session:
        query = select(DagRun.run_id).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc())
        return str(session.scalars(query).first())


def task_of(run_id: str, task_id: str) -> UUID:
    with create_session(scoped=False) as session:
        query = select(TaskInstance.id).where(TaskInstance.run_id == run_id, TaskInstance.task_id == task_id)
        return UUID(str(session.scalars(query).first()))


@pytest.fixture
def statements(metadata_database: None) -> Iterator[list[str]]:
    """The SQL that goes to the metadata database."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    yield seen
    event.remove(settings.engine, "before_cursor_execute", note)


def plugin() -> dict[str, Any]:
    """The names in the plugin's module, as Airflow has loaded it from its folder."""
    listeners = get_listener_manager().pm.get_plugins()
    (listener,) = (each for each in listeners if type(each).__name__ == "RunNotes")
    return listener.on_dag_run_success.__func__.__globals__  # type: ignore[no-any-return]


def test_the_plugin_is_loaded_from_its_folder(metadata_database: None) -> None:
    assert Path(plugin()["__file__"]) == HOME / "plugins" / "run_notes.py"


# A rollover


def test_a_run_that_waits_says_for_what_and_then_what_came_of_it(airflow: Load, riverside: Path, owner: Engine) -> None:
    while_waiting: list[str] = []

    def answer() -> str:
        run_id = newest_run(ROLLOVER)
        plugin()["write_note_of_task"](task_of(run_id, "ask_approval"))
        while_waiting.append(note_of(run_id))
        return "Reject"

    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers={"ask_approval": answer})
    waiting = while_waiting[0].split("\n")
    assert waiting[0].startswith(f"{MARK} Waiting for approval: ") and waiting[0].endswith(" to archive")
    assert waiting[1].startswith("Waits for data engineer since ")
    lines = note_of(done.run_id).split("\n")
    assert lines[0] == f"{MARK} Plan rejected by tester: nothing was changed"
    assert lines[-1] == "This run stopped at archive. Steps that are done are not repeated."
    plugin()["write_note_of_task"](task_of(done.run_id, "ask_approval"))
    assert note_of(done.run_id).split("\n") == lines, "what has ended is left as it is"


def test_a_refused_run_says_why_and_how_to_go_on(airflow: Load, riverside: Path, owner: Engine) -> None:
    done = run_dag(airflow(ROLLOVER), partition_key="2026-27")
    note = note_of(done.run_id)
    with owner.connect() as connection:
        reason, remedy = connection.execute(text("SELECT reason, remedy FROM ledger.failures")).one()
    assert note.startswith(f"{MARK} Refused at guard: {reason}") and f"To go on: {remedy}" in note


@pytest.mark.slow
def test_a_rollover_from_end_to_end_and_its_files_for_people(airflow: Load, riverside: Path, owner: Engine) -> None:
    drop(riverside, new_year_zip())
    run_dag(airflow("roster_intake"))
    run_dag(airflow("roster_import"), partition_key=HERO, asset_extra={})
    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers=YES)
    assert done.state == "success"
    note = note_of(done.run_id)
    assert note.startswith(f"{MARK} Certified on ") and "Certificate " in note
    assert "Roster of 2026-27 verified: 3 students in 2 schools, " in note
    outbox = riverside / "outbox" / "2026-27"
    assert {path.name for path in outbox.iterdir()} == {
        "roster_check.csv",
        "roster_sample.csv",
        "educators_to_remove.csv",
        "educators_to_add.csv",
    }
    assert "O'Hara" in (outbox / "roster_sample.csv").read_text()
    assert "O'Hara" not in note + str(done.results)


# Imports


def test_an_import_that_waits_is_found_by_its_district(
    airflow: Load, validated: Callable[[Town, int], str], town: Town
) -> None:
    import_id = validated(half(town), 1)
    while_waiting: list[str] = []

    def answer() -> str:
        run_id = newest_run("roster_import")
        plugin()["write_note_of_task"](task_of(run_id, "unfinished.ask"))
        while_waiting.append(note_of(run_id))
        return "Discard"

    done = run_dag(airflow("roster_import"), partition_key=HERO, answers={"unfinished.ask": answer})
    assert while_waiting[0].startswith(f"{MARK} {WHO} 2025-26: in review ")
    assert "(over its limits: " in while_waiting[0]
    assert note_of(done.run_id).startswith(f"{MARK} {WHO} 2025-26: rejected ")
    assert "(discarded in review)" in note_of(done.run_id)
    assert import_id in note_of(done.run_id)
    assert HERO in done.run_id, "a run by hand has its tenant in its id"


@pytest.mark.slow
def test_an_import_is_reported_to_its_district_and_noted(airflow: Load, riverside: Path, owner: Engine) -> None:
    """Two drops in one run: one that can be taken, and one that is refused."""
    for name, ends in (("good.zip", YEAR.last_year), ("stale.zip", 2022)):
        drop(riverside, new_year_zip(ends), name)
    run_dag(airflow("roster_intake"))
    finished = run_dag(airflow("roster_import"), partition_key=HERO, asset_extra={})
    assert finished.state == "success"
    with owner.connect() as connection:
        ids = connection.scalars(text("SELECT import_id FROM ledger.imports")).all()
    reports = [importing.report_to_district(import_id) for import_id in ids]
    assert not any(said["delivered"] for said in reports), "it is there already"
    assert {said["state"] for said in reports} == {"applied", "rejected"}
    for said in reports:
        folder = riverside / "outbox" / "imports" / said["folder"].rpartition("/")[2]
        reported = (folder / "summary.txt").read_text()
        assert said["import_id"] in reported and ("NOT IMPORTED: ERRORS" in reported) is (said["state"] == "rejected")
    note = note_of(finished.run_id)
    for said in reports:
        assert said["import_id"] in note and f": {said['state']}" in note
        assert f"files of {said['files_to']}" in note


# When it is written


def ended(airflow: Load, **more: Any) -> Finished:
    """A run that is refused by its first task."""
    return run_dag(airflow(ROLLOVER), partition_key="2026-27", **more)


def test_another_dag_is_not_touched_and_costs_nothing(statements: list[str]) -> None:
    hook = get_listener_manager().hook
    for state in (hook.on_dag_run_running, hook.on_dag_run_success, hook.on_dag_run_failed):
        state(dag_run=SimpleNamespace(dag_id="somebody_elses"), msg="")
    assert statements == []


def test_the_note_of_an_import_is_there_from_the_beginning(airflow: Load, riverside: Path) -> None:
    done = run_dag(airflow("roster_import"), partition_key=HERO)
    assert note_of(done.run_id) == f"{MARK} {WHO}: there was no roster to import"
    with create_session(scoped=False) as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == done.run_id)).one()
        get_listener_manager().hook.on_dag_run_running(dag_run=run, msg="")
    assert note_of(done.run_id) == f"{MARK} {WHO}: looking for rosters to import"


def test_a_note_is_stored_with_the_runs_own_transaction_and_not_before(airflow: Load, riverside: Path) -> None:
    """Rolled back, it never was: the hook neither commits nor writes past the caller's session."""
    run_id = ended(airflow).run_id
    hook = get_listener_manager().hook
    with create_session(scoped=False) as session:
        session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one().note = "Called them."
    session = settings.NonScopedSession()
    run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
    hook.on_dag_run_failed(dag_run=run, msg="")
    assert run.note.startswith(f"Called them.\n\n{MARK} Refused at guard")
    session.rollback()
    session.close()
    assert note_of(run_id) == "Called them."


@pytest.mark.parametrize("broken", ["engine", "read_tenant"])
def test_whatever_goes_wrong_the_run_goes_on(
    broken: str, airflow: Load, riverside: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done = run_dag(airflow("roster_import"), partition_key=HERO)

    def fails(*arguments: Any, **more: Any) -> Any:
        raise ConnectionError("the row of Zoë O'Hara")

    monkeypatch.setattr(*((connections, broken) if broken == "engine" else (noting, broken)), fails)
    before = note_of(done.run_id)
    with caplog.at_level(logging.WARNING), create_session(scoped=False) as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == done.run_id)).one()
        get_listener_manager().hook.on_dag_run_running(dag_run=run, msg="")
    plugin()["write_note_of_task"](task_of(done.run_id, "import_drops"))
    assert note_of(done.run_id) == before
    assert caplog.text.count("ConnectionError") == 2 and "O'Hara" not in caplog.text


def test_a_slow_database_holds_up_the_scheduler_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noting, "PATIENCE", 0.1)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        noting.in_own_thread(lambda: time.sleep(2))
    assert time.monotonic() - began < 1


def test_a_run_that_no_session_holds_is_left_alone() -> None:
    run = DagRun(dag_id="roster_import", run_id="detached")
    get_listener_manager().hook.on_dag_run_success(dag_run=run, msg="success")
    assert run.note is None


def test_a_task_that_does_not_exist_is_ignored(metadata_database: None, caplog: pytest.LogCaptureFixture) -> None:
    plugin()["write_note_of_task"](uuid4())
    assert caplog.text == ""


# In the API server


@pytest.mark.parametrize(
    ("method", "path", "status", "is_written"),
    [
        ("PATCH", "/execution/task-instances/{}/state", 204, True),
        ("PATCH", "/behind/a/proxy/execution/task-instances/{}/state", 200, True),
        ("PATCH", "/execution/task-instances/{}/state", 409, False),
        ("PATCH", "/execution/task-instances/{}/run", 200, False),
        ("GET", "/execution/task-instances/{}/state", 200, False),
        ("PATCH", "/api/v2/dags/{}", 200, False),
    ],
)
def test_a_task_that_reports_its_state_has_the_note_written(
    method: str, path: str, status: int, is_written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[UUID] = []
    monkeypatch.setitem(plugin(), "write_note_of_task", written.append)
    app, task = FastAPI(), uuid4()

    @app.api_route(path.format("{task_id}"), methods=[method], status_code=status)
    def answer(task_id: str) -> None: ...

    app.add_middleware(plugin()["NotesWhileRunning"])
    with TestClient(app) as client:
        assert client.request(method, path.format(task)).status_code == status
        deadline = time.monotonic() + (5 if is_written else 0.2)
        while not written and time.monotonic() < deadline:
            time.sleep(0.01)
    assert written == ([task] if is_written else [])


def test_airflow_has_the_middleware_and_the_path(metadata_database: None) -> None:
    """Of the pinned version: tasks report to this path, and the plugin sees it."""
    app = create_app()
    assert plugin()["NotesWhileRunning"] in [each.cls for each in app.user_middleware]
    assert "/execution" in [getattr(route, "path", "") for route in app.routes]
    reports = [route for route in ti_id_router.routes if route.path == "/{task_instance_id}/state"]
    assert [route.methods for route in reports] == [{"PATCH"}]


# DAGs that are switched off


def test_after_the_night_it_is_known_whose_dag_is_off(airflow: Load, riverside: Path, owner: Engine) -> None:
    def known() -> list[tuple[str, str]]:
        with owner.connect() as connection:
            query = text("SELECT state, since::text FROM ledger.dag_states WHERE tenant_id = :tenant")
            return [tuple(row) for row in connection.execute(query, {"tenant": HERO})]

    def paused(value: bool) -> None:
        with create_session(scoped=False) as session:
            session.query(DagModel).filter(DagModel.dag_id == ROLLOVER).update({"is_paused": value, "is_stale": False})

    ended(airflow)  # so that Airflow has the tenant's DAG
    paused(True)
    assert run_dag(airflow("roster_sync")).state in ("success", "failed")
    first = known()
    assert [state for state, _ in first] == ["paused"]
    plugin()["record_dag_states"]()
    assert known() == first
    paused(False)
    plugin()["record_dag_states"]()
    assert [state for state, _ in known()] == ["on"]
