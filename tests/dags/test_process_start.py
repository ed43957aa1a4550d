"""What happens once when a process of Airflow starts: its pools are made, changed district files are parsed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.jobs.job import Job
from airflow.models.dagbag import DagPriorityParsingRequest
from airflow.models.pool import Pool
from airflow.sdk import DAG
from celery import Celery
from sqlalchemy import delete, select

import process_start
from rollover.adapter import district_watch
from rollover.adapter.celery_settings import CELERY_CONFIG
from rollover.adapter.district_watch import DistrictWatch, request_parsing, shard_of
from rollover.adapter.preloading import FOR_TASKS, preload
from tests.support.run_dag import run_dag

Load = Callable[[str], DAG]
YEARS = 2_000_000_000_000_000_000
"""Nanoseconds: a time in 2033."""


def session() -> Any:
    made: Any = settings.NonScopedSession
    return made()


@pytest.fixture
def no_requests(metadata_database: None) -> None:
    with session() as own:
        own.execute(delete(DagPriorityParsingRequest))
        own.commit()


def test_pools_are_made_once_and_stay_as_an_operator_has_set_them(metadata_database: None) -> None:
    process_start.make_missing_pools()
    with session() as own:
        known = json.loads(process_start.POOLS.read_text())
        found = {pool.pool: pool.slots for pool in Pool.get_pools(session=own) if pool.pool in known}
        assert found == {name: pool["slots"] for name, pool in known.items()} and found
        own.scalars(select(Pool).where(Pool.pool == "rollovers")).one().slots = 3
        own.commit()
    process_start.make_missing_pools()
    with session() as own:
        pools = {pool.pool: pool for pool in Pool.get_pools(session=own)}
    assert pools["rollovers"].slots == 3 and pools["nightly"].description


def test_every_module_that_is_imported_before_is_there(caplog: pytest.LogCaptureFixture) -> None:
    preload(FOR_TASKS)
    assert caplog.text == ""
    preload(("rollover.there_is_none",))
    assert "rollover.there_is_none is not imported before the tasks" in caplog.text


def test_a_celery_worker_imports_the_same(metadata_database: None) -> None:
    app = Celery(config_source=CELERY_CONFIG)
    assert set(app.loader.default_modules) >= set(FOR_TASKS)
    assert app.conf.task_acks_late is True, "the other settings are Airflow's"


def test_the_scheduler_begins_with_it_and_its_tasks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are forks of the scheduler, so their command line is the scheduler's."""
    done: list[str] = []
    monkeypatch.setattr(process_start, "make_missing_pools", lambda: done.append("pools"))
    monkeypatch.setattr(process_start, "preload", lambda modules: done.append("modules"))
    monkeypatch.setattr(process_start, "start_watching", lambda folder: done.append("watch"))
    for command in ("scheduler", "dag-processor", "triggerer"):
        monkeypatch.setattr("sys.argv", ["airflow", command])
        process_start.ProcessStart().on_starting(object())
        assert done == []
    for command in ("scheduler", "dag-processor", "triggerer"):
        monkeypatch.setattr("sys.argv", ["airflow", command])
        process_start.ProcessStart().on_starting(Job())
    assert done == ["pools", "modules", "modules", "watch"]


def test_a_new_changed_or_removed_district_file_is_seen_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").touch()
    watch = DistrictWatch(tmp_path)
    assert watch.changed() == set()
    (tmp_path / "d.yaml").touch()
    os.utime(tmp_path / "b.yaml", ns=(YEARS, YEARS))
    (tmp_path / "c.yaml").unlink()
    (tmp_path / "notes.txt").touch()
    assert watch.changed() == {"b", "c", "d"}
    assert watch.changed() == set()
    (tmp_path / "e.yml").touch()
    assert watch.changed() == {"e"}


def test_the_files_of_changed_districts_are_parsed_next(airflow: Load, riverside: Path, no_requests: None) -> None:
    run_dag(airflow("roster_sync"))  # Airflow knows where its DAGs are
    asked = request_parsing({"riverside-ca", "lakeside-wa"})
    assert request_parsing({"riverside-ca"})
    shards = {f"rollover_shards/shard_{shard_of(district):02}.py" for district in ("riverside-ca", "lakeside-wa")}
    with session() as own:
        found = [request.relative_fileloc for request in own.scalars(select(DagPriorityParsingRequest))]
    assert len(found) == len(set(found)) == len(asked)
    folder = Path(__file__).parents[2] / "dags"  # where these DAGs were parsed from, as a whole path
    assert set(found) == {str(folder / name) for name in {*shards, "district_files_dag.py"}}
    assert all(Path(name).exists() for name in found)


def test_what_cannot_be_asked_for_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[set[str]] = []

    class Over:
        def wait(self, seconds: float) -> bool:
            if not looks:
                (tmp_path / "new.yaml").touch()
            return len(looks) == 2

    def request(districts: set[str]) -> list[str]:
        looks.append(set(districts))
        if len(looks) == 1:
            raise ConnectionError("the password of the database")
        return ["a file"]

    monkeypatch.setattr(district_watch, "request_parsing", request)
    with caplog.at_level("INFO"):
        district_watch.watch(tmp_path, Over())  # type: ignore[arg-type]
    assert looks == [{"new"}, {"new"}]
    assert "password" not in caplog.text and "a file are parsed next" in caplog.text
