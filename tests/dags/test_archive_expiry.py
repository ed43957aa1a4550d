"""Archived years whose time is over, through the DAG: each is asked about, and only what is approved goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from airflow.sdk import DAG
from sqlalchemy import Engine, text
from upath import UPath

from rollover.adapter import runs
from rollover.archive import manifest as manifests
from rollover.database.session import tenant_session
from rollover.ledger import holds
from rollover.run import Run
from rollover.yearend import steps
from tests.archive.conftest import until_archived
from tests.support.run_dag import run_dag
from tests.support.small_district import YEAR, add_hero, run_of
from tests.yearend.test_rollover_steps import certify

HERO = "hero__riverside-ca"
ASK, ERASE = "expire.ask", "expire.erase"
YEARS = (YEAR.previous.previous, YEAR.previous)


@pytest.fixture
def archived(airflow: object, riverside: Path, owner: Engine, engine: Engine, tmp_path: Path) -> list[Run]:
    """Two certified years of Riverside; each is kept for three years."""
    file = tmp_path / "districts" / "riverside-ca.yaml"
    said = yaml.safe_load(file.read_text())
    said["products"]["hero"]["archive_kept_years"] = 3
    file.write_text(yaml.safe_dump(said))
    runs = [run_of(engine, UPath(f"file://{tmp_path}/storage"), year=year) for year in YEARS]
    for run in runs:
        with owner.begin() as connection:
            add_hero(connection, HERO, run.school_year)
        until_archived(run)
        for step in (steps.erase, steps.verify_reset, certify):
            step(run)
    return runs


def at(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    monkeypatch.setattr(runs, "clock", lambda: datetime(year, 8, 1, 12, tzinfo=UTC))


def files(run: Run) -> int:
    return sum(path.is_file() for path in Path(manifests.folder_of(run).path).rglob("*"))


@pytest.mark.slow
def test_each_due_year_is_asked_about_and_goes_by_its_own_answer(
    airflow: Callable[[str], DAG], archived: list[Run], owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = run_dag(airflow("archive_expiry"))
    assert (quiet.state, quiet.result_of("due")) == ("success", [])
    assert not quiet.questions

    at(monkeypatch, 2028)
    given = iter(["Approve", None])
    run = run_dag(airflow("archive_expiry"), answers={ASK: lambda: next(given)})
    assert run.result_of("due") == [archive.id for archive in archived]
    assert [run.state_of(ERASE, n) for n in (0, 1)] == ["success", "skipped"] and run.state == "success"
    assert [bool(files(archive)) for archive in archived] == [False, True]
    body = run.question_of(ASK, 0).body
    assert "The archive of 2023-24 of Riverside-Ca" in body and "| North School |" in body
    assert run.result_of(ERASE, 0)["approved_by"] == "tester"
    said = json.dumps([*run.results.values()], default=str) + body
    for personal in ("Zebrowski", "Quentin", "user-n1"):
        assert personal not in said
    with owner.connect() as connection:
        expired = "SELECT facts->>'school_year' FROM ledger.evidence WHERE kind = 'archive_expired'"
        assert connection.scalars(text(expired)).all() == ["2023-24"]

    again = run_dag(airflow("archive_expiry"), answers={ASK: "Approve"})
    assert again.result_of("due") == [archived[1].id] and again.state == "success"
    assert not any(files(archive) for archive in archived)


@pytest.mark.slow
def test_a_hold_that_comes_before_the_answer_stops_one_year_and_no_other(
    airflow: Callable[[str], DAG], archived: list[Run], owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 2028)

    def held() -> str:
        with tenant_session(archived[0].engine, HERO, exclusive=True) as connection:
            if not holds.in_force(connection):
                holds.place(connection, HERO, holds.LEGAL, reason="a dispute", by="dana")
        return "Approve"

    run = run_dag(airflow("archive_expiry"), answers={ASK: held})
    assert [run.state_of(ERASE, n) for n in (0, 1)] == ["failed", "failed"]
    assert all(files(archive) for archive in archived)
    again = run_dag(airflow("archive_expiry"))
    assert again.result_of("due") == [] and again.state == "success"
