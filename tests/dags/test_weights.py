"""Of the imports that wait for a place, those of the largest districts go first."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow import settings
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import DAG
from sqlalchemy import select

import airflow_local_settings
from rollover.adapter import importing
from tests.support.run_dag import run_dag

TENANT = "hero__riverside-ca"
UNFINISHED = {"unfinished.go_on", "unfinished.ask", "unfinished.decide", "unfinished.wake"}


def weights_of(run_id: str) -> dict[tuple[str, int], int]:
    columns = (TaskInstance.task_id, TaskInstance.map_index, TaskInstance.priority_weight)
    session: Any = settings.NonScopedSession
    with session() as own:
        return {(task, index): weight for task, index, weight in own.execute(select(*columns).filter_by(run_id=run_id))}


@pytest.fixture
def students(tmp_path: Path, airflow: Callable[[str], DAG]) -> Callable[[int], None]:
    """Writes Riverside's file with another number of students."""
    file = tmp_path / "districts" / "riverside-ca.yaml"
    before, times = file.read_text(), iter(range(1, 9))

    def write(number: int) -> None:
        file.write_text(f"{before}students: {number}\n")
        os.utime(file, (0, next(times)))

    return write


@pytest.mark.parametrize("left", [[], [f"{TENANT}__1"]])
def test_every_task_of_an_import_has_the_weight_of_its_district(
    airflow: Callable[[str], DAG],
    students: Callable[[int], None],
    riverside: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: list[str],
) -> None:
    """Those that Airflow makes when an import is left over, too."""
    monkeypatch.setattr(importing, "import_drops", lambda pending, **_: left)
    dag = airflow("roster_import")
    tasks = {("import_drops", -1)} | {(name, 0 if left else -1) for name in UNFINISHED}
    for number, weight in ((52_000, 52_000), (300, 300), (0, 1)):
        students(number)
        found = weights_of(run_dag(dag, partition_key=TENANT).run_id)
        assert found == dict.fromkeys(tasks, weight)


def weight_given(dag_id: str, run: Any) -> int:
    task = SimpleNamespace(dag_id=dag_id, priority_weight=7)
    airflow_local_settings.task_instance_mutation_hook(task, run)  # type: ignore[arg-type]
    return int(task.priority_weight)


def test_the_tasks_of_other_dags_keep_theirs(students: Callable[[int], None]) -> None:
    students(52_000)
    run = SimpleNamespace(run_id="manual", partition_key=TENANT)
    assert weight_given("roster_import", run) == 52_000
    assert weight_given("rollover__hero__riverside-ca", run) == 7
    assert weight_given("roster_import", None) == 7


@pytest.mark.parametrize("key", ["hero__nowhere-xx", "no tenant", "hero__../secret"])
def test_a_district_that_is_not_known_ends_no_scheduler(
    airflow: Callable[[str], DAG], caplog: pytest.LogCaptureFixture, key: str
) -> None:
    assert weight_given("roster_import", SimpleNamespace(run_id="manual", partition_key=key)) == 7
    assert "manual: its size is not known" in caplog.text and key not in caplog.text
