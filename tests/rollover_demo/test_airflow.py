"""What can be known of the local Airflow without starting it; the end-to-end test starts it."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL

from rollover_demo.airflow import AirflowFailed, LocalAirflow, free_ports, left_over

DATABASE = URL.create("postgresql+psycopg2", "postgres", database="airflow", query={"host": "/tmp/pg"})
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_second_start_keeps_what_the_first_encrypted_with(tmp_path: Path) -> None:
    first, second = LocalAirflow(tmp_path, DATABASE), LocalAirflow(tmp_path, DATABASE)
    keys = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")
    assert [first.environment[key] for key in keys] == [second.environment[key] for key in keys]
    assert first.password == second.password
    assert LocalAirflow(tmp_path / "other", DATABASE).password != first.password
    for name in ("secrets.json", "passwords.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_ports_are_free_and_differ() -> None:
    assert len(set(free_ports(20))) == 20


def test_the_environment_given_wins(tmp_path: Path) -> None:
    local = LocalAirflow(tmp_path, DATABASE, environment={"AIRFLOW__CORE__PARALLELISM": "3"})
    assert local.environment["AIRFLOW__CORE__PARALLELISM"] == "3"
    assert local.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].endswith("?host=%2Ftmp%2Fpg")


def test_what_a_crash_left_running_is_ended_and_nothing_else(tmp_path: Path) -> None:
    local, other = LocalAirflow(tmp_path / "a", DATABASE), LocalAirflow(tmp_path / "b", DATABASE)
    ours = subprocess.Popen(SLEEP, start_new_session=True)
    others = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        local.remember(ours)
        other.remember(others)
        assert [p.pid for p in left_over(tmp_path / "a")] == [ours.pid]
        LocalAirflow(tmp_path / "a", DATABASE).end_left_over()
        assert ours.poll() is not None
        assert others.poll() is None
        assert left_over(tmp_path / "a") == []
    finally:
        for process in (ours, others):
            process.kill()
            process.wait()


def test_a_database_that_is_not_there_is_reported_with_the_log(tmp_path: Path) -> None:
    nowhere = DATABASE.update_query_dict({"host": str(tmp_path)})
    local = LocalAirflow(tmp_path / "a", nowhere)
    with pytest.raises(AirflowFailed, match=r"db-migrate\.log"):
        local.start()
    assert left_over(tmp_path / "a") == []
