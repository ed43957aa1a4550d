"""A tenant that cannot run is named before its reset date: by ``rollover lint`` and ``rollover status``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import Engine, text

from rollover import cli
from rollover.season import readiness
from rollover_demo.postgres import PostgresServer
from tests.dags.airflow_home import DISTRICTS
from tests.support.small_district import PRODUCTS

KNOWN, UNKNOWN = "hero__springfield-il", "hero__lakeside-wa"
BUNDLE = "of-this-test"
DAGS = (*readiness.SHARED_DAGS, f"rollover__{KNOWN}", f"rollover__{UNKNOWN}")


@pytest.fixture
def deployment(
    metadata_database: None,
    owner: Engine,
    postgres: PostgresServer,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Path]:
    """Two districts with one product each; the directory has one of them, and Airflow has the DAG of both, paused."""
    for path in DISTRICTS.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text().partition("  imagine_math:")[0])
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(tmp_path))
    monkeypatch.setenv("ROLLOVER_PRODUCTS", str(PRODUCTS))
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", postgres.url(database).render_as_string(hide_password=False))
    with owner.begin() as connection:
        connection.execute(text("INSERT INTO directory.districts VALUES ('springfield-il', 'Springfield', 'd')"))
        connection.execute(
            text(f"INSERT INTO directory.tenants VALUES ('{KNOWN}', 'springfield-il', 'hero', '2025-26')")
        )
    with create_session() as session:
        session.merge(DagBundleModel(name=BUNDLE))
        session.flush()
        for dag_id in DAGS:
            session.merge(DagModel(dag_id=dag_id, bundle_name=BUNDLE, is_paused=True, is_stale=False))
    yield tmp_path
    with create_session() as session:
        session.query(DagRun).filter(DagRun.dag_id.in_(DAGS)).delete()  # of tests before
        session.query(DagModel).filter(DagModel.bundle_name == BUNDLE).delete()
        session.query(DagBundleModel).filter(DagBundleModel.name == BUNDLE).delete()


def change(dag_id: str, **values: bool) -> None:
    with create_session() as session:
        session.query(DagModel).filter(DagModel.dag_id == dag_id).update(values)


def test_lint_and_status_name_who_cannot_run(
    deployment: Path, owner: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    for dag_id in readiness.SHARED_DAGS:
        change(dag_id, is_paused=False)
    assert cli.main(["lint"]) == 1
    said = capsys.readouterr().out
    assert f"{UNKNOWN}: the directory lacks this tenant" in said and f"{KNOWN}: the directory" not in said
    assert f"{KNOWN}: the DAG rollover__{KNOWN} is paused" in said and "all tenants" not in said
    assert ": 3 problems" in said
    with owner.connect() as connection:
        known = connection.execute(text("SELECT tenant_id, state FROM ledger.dag_states")).all()
    assert [tuple(row) for row in known] == [(KNOWN, "paused")], "the season shows it, too"
    assert cli.main(["status", KNOWN]) == 0
    said = capsys.readouterr().out
    assert f"; the DAG rollover__{KNOWN} is paused; switch it on: `airflow dags unpause" in said
    assert UNKNOWN not in said


def test_a_dag_that_airflow_lost_is_missing(deployment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dag_id in DAGS:
        change(dag_id, is_paused=False)
    change(f"rollover__{KNOWN}", is_stale=True)
    change("roster_intake", is_paused=True)
    cli.main(["status"])
    said = capsys.readouterr().out
    assert f"Airflow has no DAG rollover__{KNOWN}" in said
    assert "all tenants: the DAG roster_intake is paused" in said


def test_who_has_left_needs_no_dag(deployment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dag_id in DAGS:
        change(dag_id, is_paused=dag_id.endswith(UNKNOWN))
    path = deployment / "lakeside-wa.yaml"
    path.write_text(path.read_text() + "    last_school_year: 2024-25\n")
    assert date.today() > date(2025, 8, 1)
    assert cli.main(["lint"]) == 0
    assert ": no problems" in capsys.readouterr().out


def test_a_database_that_cannot_be_asked_is_said(
    deployment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", "postgresql+psycopg://nobody@/nothing?host=/nowhere")
    monkeypatch.setenv(readiness.METADATA_URL, "postgresql+psycopg://nobody@/nothing?host=/nowhere")
    assert cli.main(["lint"]) == 0
    said = capsys.readouterr()
    assert "the directory was not asked" in said.err and "Airflow's database was not asked" in said.err
