"""The night starts only the tasks that have something to do, and one that fails stops no other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from sqlalchemy import Engine, insert

from rollover.adapter import connections
from rollover.database.tables import ledger
from rollover.nightly import tonight
from tests.support.run_dag import Finished, run_dag
from tests.support.small_district import NOW

HERO = "hero__riverside-ca"
TASKS = ("wake", "tidy", "report", "stray_files", "overdue_pauses")


def states(night: Finished) -> dict[str, str]:
    return {task_id: night.state_of(task_id) for task_id in TASKS}


@pytest.mark.slow
@pytest.mark.parametrize("in_turn", [False, True])
def test_what_has_nothing_to_do_is_skipped(
    airflow: Callable[[str], DAG], riverside: Path, monkeypatch: pytest.MonkeyPatch, in_turn: bool
) -> None:
    monkeypatch.setattr(tonight, "is_turn", lambda tenant, day: in_turn)
    night = run_dag(airflow("roster_sync"))
    assert night.state == "success"
    assert states(night) == {**dict.fromkeys(TASKS, "skipped"), "stray_files": "success" if in_turn else "skipped"}


@pytest.mark.slow
def test_a_server_that_is_down_fails_one_task_which_names_it(
    airflow: Callable[[str], DAG],
    riverside: Path,
    owner: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tonight, "is_turn", lambda tenant, day: True)
    at = NOW - timedelta(days=400)
    reported = {"folder": "/riverside-ca/hero/outbox/imports/x", "sha256": "0", "state": "rejected"}
    row = {"import_id": f"{HERO}__0", "state": "rejected", "found_at": at, "changed_at": at}
    with owner.begin() as connection:
        connection.execute(insert(ledger.imports).values(tenant_id=HERO, details={"reported": reported}, **row))
    sftp = connections.sftp

    def down(connection_id: str) -> Any:
        raise ConnectionError("the server is down")

    monkeypatch.setattr(connections, "sftp", down)
    night = run_dag(airflow("roster_sync"))
    assert states(night) == {**dict.fromkeys(TASKS, "skipped"), "tidy": "failed", "stray_files": "success"}
    assert night.state == "failed"
    assert f"{HERO}: ConnectionError" in (said := capfd.readouterr().out) and "'district_sftp'" in said

    monkeypatch.setattr(connections, "sftp", sftp)
    night = run_dag(airflow("roster_sync"))
    assert night.result_of("tidy") == {HERO: {"reports": 1}}
    assert run_dag(airflow("roster_sync")).state_of("tidy") == "skipped"
