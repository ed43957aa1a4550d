"""The note of a run: what it says, whose notes it leaves alone, and that Airflow stores it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow import settings
from airflow.listeners.listener import get_listener_manager
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG, task, task_group
from airflow.utils.session import create_session
from sqlalchemy import Engine, event, select

from rollover.season.run_note import LONGEST, MARK, has_note, note_of
from tests.dags.airflow_home import HOME
from tests.dags.test_rollover_dag import HERO, drop, new_year_zip
from tests.support.examples import check_example
from tests.support.run_dag import Finished, run_dag
from tests.support.small_district import YEAR

IMPORT = "hero__riverside-ca__0123456789ab"
MADE_UP = "rollover__hero__made-up"
"""No DAG of a file: Airflow would take a real one's place with it."""
REPORT = {
    "import_id": IMPORT,
    "state": "applied",
    "decision": None,
    "school_year": "2026-27",
    "format": "oneroster_1_1",
    "found_at": "2026-08-03 04:10 UTC",
    "changed_at": "2026-08-03 04:12 UTC",
    "files": 2,
    "files_from": "2026-08-02 21:05 UTC",
    "files_to": "2026-08-02 22:15 UTC",
    "rows": 72_348,
    "kept_out": 1_005,
    "errors": 1_006,
    "warnings": 1,
    "problems": ["no_valid_rows", "bad_date"],
    "over_limits": [],
    "folder": "/riverside-ca/hero/outbox/imports/2026-08-03T0410Z-6789ab",
    "delivered": True,
}
APPLIED = (
    f"{IMPORT}: applied, 2026-27, files of 2026-08-02 21:05 UTC to 2026-08-02 22:15 UTC, 72,348 rows, 1,005 rejected, "
    "1,006 errors, 1 warning (no_valid_rows, bad_date)"
)
VERIFIED = {"school_year": "2026-27", "students": 650, "schools": {"a": {}, "b": {}}, "educators_to_remove": 3}


# What it says


def said(dag_id: str, results: dict[tuple[str, int], Any], failed: list[str] | None = None) -> list[str]:
    note = note_of(dag_id, results, failed or [], None)
    assert note is not None
    first, *lines = note.split("\n")
    assert first == MARK
    return lines


def test_an_import_is_reported_with_its_files_and_numbers() -> None:
    assert said("roster_import", {("import_roster.report", 0): REPORT}) == [APPLIED]


def test_what_the_later_report_says_counts() -> None:
    ready = REPORT | {"state": "ready"}
    results = {("import_roster.report_result", -1): REPORT, ("import_roster.report", -1): ready}
    assert said("rollover__hero__riverside-ca", results) == [APPLIED]


def test_of_several_imports_the_newest_is_the_first() -> None:
    older = REPORT | {"import_id": "hero__riverside-ca__old", "found_at": "2026-08-01 04:10 UTC", "state": "superseded"}
    lines = said("roster_import", {("import_roster.report", 0): older, ("import_roster.report", 1): REPORT})
    assert [line.split(":")[0] for line in lines] == [IMPORT, "hero__riverside-ca__old"]


def test_an_import_in_review_is_reported_with_its_limits() -> None:
    held = REPORT | {"state": "in_review", "over_limits": ["half_set", "school_lost"], "problems": [], "kept_out": None}
    (line,) = said("roster_import", {("import_roster.report", 0): held})
    assert f"{IMPORT}: in review, 2026-27" in line
    check_example("run_note--in_review.txt", line)
    assert line.endswith("72,348 rows, 1,006 errors, 1 warning, over its limits: half_set, school_lost")
    decided = REPORT | {"decision": "additions_only"}
    assert (
        "applied, decided: additions only, 2026-27" in said("roster_import", {("import_roster.report", 0): decided})[0]
    )


def test_a_rollover_is_reported_from_end_to_end() -> None:
    results = {
        ("erase", -1): {"archived": {"tracking_data": 1_500, "points_history": 20}, "erased": {"tracking_data": 10}},
        ("import_roster.report_result", -1): REPORT,
        ("verify_roster", -1): VERIFIED,
        ("certify", -1): {"path": "/certificates/x.json", "sha256": "0123456789abcdef"},
    }
    lines = said("rollover__hero__riverside-ca", results)
    check_example("run_note--rollover.txt", "\n".join(lines))
    assert lines == [
        "certified (certificate 0123456789ab)",
        "1,520 rows archived, 10 erased",
        "roster of 2026-27 verified: 650 students in 2 schools; 3 educator accounts to remove",
        APPLIED,
    ]


def test_a_failure_comes_first() -> None:
    lines = said("rollover__hero__riverside-ca", {("erase", -1): {"erased": {"usage": 7}}}, ["reset"])
    assert lines == [
        "stopped at reset: the log says how to continue. Steps that are done are not repeated.",
        "0 rows archived, 7 erased",
    ]
    check_example("run_note--failed.txt", "\n".join(lines))


def test_nothing_is_said_where_nothing_came_of_it() -> None:
    assert note_of("roster_import", {}, [], None) is None
    assert note_of("rollover__hero__riverside-ca", {("guard", -1): {"go": False}}, [], "a person's") is None


def test_a_persons_note_stays_above_ours() -> None:
    results = {("import_roster.report", 0): REPORT}
    first = note_of("roster_import", results, [], "Called them.\n")
    assert first == f"Called them.\n\n{MARK}\n{APPLIED}"
    again = note_of("roster_import", {("import_roster.report", 0): REPORT | {"state": "undone"}}, [], first)
    assert again == first.replace("applied", "undone")


@pytest.mark.parametrize("length", [0, 300, 870, 890, 891, 1_000])
def test_a_note_is_never_longer_than_airflow_keeps(length: int) -> None:
    before = "x" * length
    results = {("import_roster.report", n): REPORT | {"import_id": f"import-{n}"} for n in range(30)}
    note = note_of("roster_import", results, ["a" * 40], before)
    if length > 890:
        assert note is None, "there is room for nothing but the person's"
    else:
        assert note is not None and note.startswith(before) and note.endswith("…")
        assert LONGEST - 2 <= len(note) <= LONGEST


@pytest.mark.parametrize(
    ("dag_id", "ours"),
    [
        ("roster_import", True),
        ("rollover__hero__x", True),
        ("roster_sync", False),
        ("rollovers", False),
        ("etl", False),
    ],
)
def test_which_dags_get_a_note(dag_id: str, ours: bool) -> None:
    assert has_note(dag_id) is ours


# That Airflow stores it


def dag_that_reports(dag_id: str = MADE_UP, *, fails: bool = False) -> DAG:
    """A DAG whose tasks are named and mapped as those of an import are."""
    with DAG(dag_id, schedule=None) as dag:

        @task
        def report(number: int) -> dict[str, Any]:
            return REPORT | {"import_id": f"{IMPORT[:-1]}{number}"}

        @task(retries=0)
        def apply(number: int) -> None:
            if fails:
                raise ValueError("Zoë O'Hara")

        @task_group(group_id="import_roster")
        def import_roster(number: int) -> None:
            apply(report(number))  # type: ignore[arg-type]

        import_roster.expand(number=[1, 2])
    return dag


def note_in_database(finished: Finished) -> str | None:
    with create_session(scoped=False) as session:
        return session.scalars(select(DagRun).where(DagRun.run_id == finished.run_id)).one().note


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


@pytest.mark.usefixtures("metadata_database")
def test_the_note_is_stored_when_the_run_succeeds() -> None:
    finished = run_dag(dag_that_reports())
    assert finished.state == "success"
    note = note_in_database(finished)
    assert note is not None and note.split("\n")[0] == MARK
    assert f"{IMPORT[:-1]}1: applied, 2026-27" in note and f"{IMPORT[:-1]}2: applied, 2026-27" in note


@pytest.mark.usefixtures("metadata_database")
def test_the_note_of_a_failed_run_says_where_and_names_nobody() -> None:
    finished = run_dag(dag_that_reports(fails=True))
    assert finished.state == "failed"
    note = note_in_database(finished)
    assert note is not None and "stopped at import_roster.apply: the log says" in note
    assert "applied" in note and "O'Hara" not in note


def test_another_dag_is_not_touched_and_costs_nothing(statements: list[str]) -> None:
    finished = run_dag(dag_that_reports("somebody_elses"))
    assert note_in_database(finished) is None
    hook = get_listener_manager().hook
    statements.clear()
    hook.on_dag_run_success(dag_run=SimpleNamespace(dag_id="somebody_elses"), msg="")
    hook.on_dag_run_failed(dag_run=SimpleNamespace(dag_id="somebody_elses"), msg="")
    assert statements == []


@pytest.mark.usefixtures("metadata_database")
def test_a_note_is_stored_with_the_runs_own_transaction_and_not_before() -> None:
    """Rolled back, it never was: the hook neither commits nor writes past the caller's session."""
    run_id = run_dag(dag_that_reports()).run_id
    hook = get_listener_manager().hook
    with create_session(scoped=False) as session:
        session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one().note = "Called them."
    session = settings.NonScopedSession()
    run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
    hook.on_dag_run_success(dag_run=run, msg="success")
    assert run.note.startswith(f"Called them.\n\n{MARK}\n")
    session.rollback()
    session.close()
    with create_session(scoped=False) as fresh:
        run = fresh.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        assert run.note == "Called them."
        hook.on_dag_run_success(dag_run=run, msg="success")
    with create_session(scoped=False) as fresh:
        run = fresh.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        assert run.note.startswith(f"Called them.\n\n{MARK}\n{IMPORT[:-1]}")


@pytest.mark.usefixtures("metadata_database")
@pytest.mark.parametrize("broken", ["_results", "_failed", "note_of"])
def test_whatever_goes_wrong_the_run_goes_on(
    broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:

    def fails(*arguments: Any) -> Any:
        raise ConnectionError("the row of Zoë O'Hara")

    monkeypatch.setitem(plugin(), broken, fails)
    finished = run_dag(dag_that_reports())
    assert finished.state == "success" and note_in_database(finished) is None
    with caplog.at_level(logging.WARNING), create_session(scoped=False) as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == finished.run_id)).one()
        get_listener_manager().hook.on_dag_run_success(dag_run=run, msg="success")
    assert "ConnectionError" in caplog.text and "O'Hara" not in caplog.text


def test_a_run_that_no_session_holds_is_left_alone() -> None:
    run = DagRun(dag_id="roster_import", run_id="detached")
    get_listener_manager().hook.on_dag_run_success(dag_run=run, msg="success")
    assert run.note is None


# Of the real DAGs


@pytest.mark.slow
def test_an_import_is_reported_to_its_district_and_noted(
    airflow: Callable[[str], DAG], riverside: Path, owner: Engine
) -> None:
    """Two drops in one run: one that can be taken, and one that is refused and skips the steps that follow."""
    for name, ends in (("good.zip", YEAR.last_year), ("stale.zip", 2022)):
        drop(riverside, new_year_zip(ends), name)
    run_dag(airflow("roster_intake"))
    finished = run_dag(airflow("roster_import"), partition_key=HERO, asset_extra={})
    assert finished.state == "success"
    reports = [finished.result_of("import_roster.report_result", n) for n in (0, 1)]
    assert {said["state"] for said in reports} == {"applied", "rejected"}
    for said in reports:
        folder = riverside / "outbox" / "imports" / said["folder"].rpartition("/")[2]
        reported = (folder / "summary.txt").read_text()
        assert said["import_id"] in reported and ("NOT IMPORTED: ERRORS" in reported) is (said["state"] == "rejected")
    note = note_in_database(finished)
    assert note is not None
    for said in reports:
        assert f"{said['import_id']}: {said['state']}, " in note
        assert f"files of {said['files_to']}" in note


@pytest.mark.slow
def test_a_rollovers_note_and_its_files_for_people(
    airflow: Callable[[str], DAG], riverside: Path, owner: Engine
) -> None:
    drop(riverside, new_year_zip())
    run_dag(airflow("roster_intake"))
    run_dag(airflow("roster_import"), partition_key=HERO, asset_extra={})
    done = run_dag(airflow(f"rollover__{HERO}"), partition_key="2025-26", answers={"ask_approval": "Approve"})
    assert done.state == "success"
    note = note_in_database(done)
    assert note is not None and note.startswith(f"{MARK}\ncertified (certificate ")
    assert "roster of 2026-27 verified: 3 students in 2 schools; " in note and ": applied, 2026-27, files of " in note
    outbox = riverside / "outbox" / "2026-27"
    assert {path.name for path in outbox.iterdir()} == {
        "roster_check.csv",
        "roster_sample.csv",
        "educators_to_remove.csv",
        "educators_to_add.csv",
    }
    assert "O'Hara" in (outbox / "roster_sample.csv").read_text()
    assert "O'Hara" not in note + str(done.results)
