"""What is left of a year: asked of every place, found in each, and nothing found where all is as it should be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert
from upath import UPath

import rollover
from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.errors import ProofFailed
from rollover.run import Run
from rollover.storage import TEMPORARY
from rollover.yearend import residue, steps
from tests.support.certified import resumed
from tests.support.outboxes import FolderOutbox
from tests.support.small_district import hero_world, run_of
from tests.yearend.test_rollover_steps import HERO, RUN_ID, add_row, answer_to, nobody

AIRFLOW = """
    CREATE TABLE dag_run (id int, dag_id text, run_id text, partition_key text, conf json);
    CREATE TABLE xcom (dag_run_id int, dag_id text, task_id text, value json);
    CREATE TABLE task_instance (id int, dag_id text, run_id text, task_id text);
    CREATE TABLE hitl_detail (ti_id int, subject text, body text, params json, params_input json, options json);
    CREATE TABLE rendered_task_instance_fields (dag_id text, run_id text, task_id text, rendered_fields json);
    INSERT INTO dag_run VALUES (1, 'rollover__hero__riverside-ca', 'r', '2025-26', '{}');
    INSERT INTO dag_run VALUES (2, 'roster_import', 'r', 'hero__riverside-ca', '{}');
    INSERT INTO dag_run VALUES (3, 'roster_import', 'q', 'hero__lakeside-ca', '{}');
    INSERT INTO task_instance VALUES (1, 'roster_import', 'r', 'ask');
    INSERT INTO hitl_detail VALUES (1, 'A roster', '| School | 20 rows |', '{}', '{}', '["Approve"]');
    INSERT INTO xcom VALUES (1, 'rollover__hero__riverside-ca', 'plan', '{"rows": {"erase": 18}}');
    INSERT INTO xcom VALUES (3, 'roster_import', 'fetch', '{"of another tenant": "user-s1"}');
"""


@pytest.fixture
def outbox(tmp_path: Path) -> FolderOutbox:
    return FolderOutbox(tmp_path / "sftp")


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath, outbox: FolderOutbox) -> Run:
    """A rollover that has come to its certificate."""
    hero_world(owner)
    run = run_of(engine, storage)
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, outbox)
    steps.approve(run, answer_to(plan))
    for step in (steps.archive, steps.erase, steps.reset, steps.verify_reset):
        step(run)
    resumed(run)
    return run


def found(run: Run, outbox: FolderOutbox) -> list[str]:
    with tenant_session(run.engine, HERO) as connection:
        return [
            *map(str, residue.in_database(connection, run)),
            *map(str, residue.in_storage(connection, run)),
            *map(str, residue.in_outbox(connection, run, outbox)),
        ]


def leave_a_file(run: Run, path: str) -> None:
    target = run.storage / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"x")


LEFT: dict[str, tuple[Callable[[Run, Engine, FolderOutbox], object], str]] = {
    "a row": (lambda run, owner, outbox: add_row(owner), "database: 1 rows of 2025-26 in hero.tracking_events"),
    "a file in the archive": (
        lambda run, owner, outbox: leave_a_file(run, "archive/hero/riverside-ca/2025-26/north/copy.parquet"),
        "nobody knows .*north/copy.parquet",
    ),
    "a part file": (
        lambda run, owner, outbox: leave_a_file(run, "exports/hero/riverside-ca/2025-26/.a.csv.0123abcd.part"),
        "nobody knows .*0123abcd.part",
    ),
    "staged files": (
        lambda run, owner, outbox: leave_a_file(run, f"imports/{HERO}__0123456789ab/files/users.csv"),
        f"staged files of the import {HERO}__0123456789ab",
    ),
    "a file in the outbox": (
        lambda run, owner, outbox: outbox.deliver(run.storage / "x", f"{run.config.outbox}/2025-26/names.csv"),
        "outbox: nobody knows .*names.csv",
    ),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_is_left_is_found_and_refuses_the_certificate(
    run: Run, owner: Engine, outbox: FolderOutbox, what: str
) -> None:
    assert found(run, outbox) == []
    leave, said = LEFT[what]
    leave_a_file(run, "x")
    leave(run, owner, outbox)
    (one,) = found(run, outbox)
    assert re.search(said, one)
    if what == "a part file":  # nobody else writes there now: it is removed
        steps.certify(run, outbox)
        return
    with pytest.raises(ProofFailed, match=said.removeprefix("database: 1 rows of 2025-26 in ")):
        steps.certify(run, outbox)


def test_after_the_certificate_nothing_is_found(run: Run, outbox: FolderOutbox) -> None:
    steps.certify(run, outbox)
    assert found(run, outbox) == []


def test_the_districts_own_files_are_kept_and_named(run: Run, owner: Engine, outbox: FolderOutbox) -> None:
    with owner.begin() as connection:
        whose = {"tenant_id": HERO, "found_at": run.now}
        files = [{"name": "users.csv", "size": 1, "modified": 1}]
        drop = {"drop_id": "old", "folder": run.config.folder, "fingerprint": "f", "files": files}
        connection.execute(insert(ledger.drops).values(**whose, **drop))
        imported = {"import_id": "old", "state": "undone", "school_year": "2025-26"}
        connection.execute(insert(ledger.imports).values(**whose, **imported))
    leave_a_file(run, "x")
    outbox.deliver(run.storage / "x", f"{run.config.folder}/users.csv")
    with tenant_session(run.engine, HERO) as connection:
        assert residue.drops_on_sftp(connection, run, outbox) == [f"{run.config.folder}/users.csv"]


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("""INSERT INTO xcom VALUES (2, 'roster_import', 'fetch', '{"login": "user-s1"}')""", "XCom of roster_import"),
        ("""UPDATE hitl_detail SET body = 'Is Rosalind Zebrowski new?'""", "question of roster_import ask"),
        ("""UPDATE hitl_detail SET params_input = '{"who": "zebrowski, =quentin"}'""", "question of roster_import ask"),
        ("""UPDATE dag_run SET conf = '{"a": ["USER-S2"]}' WHERE id = 1""", "run conf of rollover__hero"),
        (
            "INSERT INTO rendered_task_instance_fields VALUES ('roster_import', 'r', 'a', '[\"user-s1\"]')",
            "rendered fields of roster_import a",
        ),
    ],
)
def test_a_person_in_airflows_database_is_found(run: Run, owner: Engine, statement: str, place: str) -> None:
    with owner.begin() as connection:
        for part in AIRFLOW.split(";"):
            if part.strip():
                connection.exec_driver_sql(part)
    with tenant_session(run.engine, HERO) as connection:
        assert list(residue.in_airflow(owner, connection, run)) == []
        with owner.begin() as airflow:
            airflow.exec_driver_sql(statement)
        (one,) = residue.in_airflow(owner, connection, run)
    assert place in one.said and "zebrowski" not in one.said.casefold() and "user-" not in one.said


def test_what_a_killed_task_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    old, new = tmp_path / f"{TEMPORARY}duckdb-a", tmp_path / f"{TEMPORARY}text-b"
    for folder in (old, new):
        folder.mkdir()
    now = new.stat().st_mtime
    os.utime(old, (now - 2 * residue.A_DAY,) * 2)
    assert [one.said for one in residue.in_temporary_folders(now)] == [f"{old} was left by a killed task"]


def test_the_queries_fit_airflows_own_tables() -> None:
    """The tables of the tests above have the columns of the pinned Airflow."""
    from airflow.models.dagrun import DagRun
    from airflow.models.hitl import HITLDetail
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel

    models = (DagRun, HITLDetail, RenderedTaskInstanceFields, TaskInstance, XComModel)
    known = {model.__table__.name: set(model.__table__.c.keys()) for model in models}
    for line in AIRFLOW.split(";"):
        if "CREATE TABLE" in line:
            name, columns = line.split("CREATE TABLE ")[1].split("(", 1)
            used = {part.split()[0] for part in columns.rstrip(") ").split(",")}
            assert used <= known[name.strip()], name


def test_the_temporary_files_of_tasks_have_one_prefix() -> None:
    library = Path(rollover.__file__).parent
    made = [
        line
        for path in library.rglob("*.py")
        for line in path.read_text().splitlines()
        if "tempfile." in line and "gettempdir" not in line and "TemporaryFile()" not in line and '"""' not in line
    ]
    assert len(made) > 4 and [line for line in made if "TEMPORARY" not in line] == []
