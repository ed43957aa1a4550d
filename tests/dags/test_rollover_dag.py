"""A tenant's season through its DAGs: drop, intake, import, rollover, and what the grid shows at each end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from airflow.exceptions import InvalidPartitionKeyError
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from sqlalchemy import Engine, insert, select, text, update

from rollover.adapter import waiting
from rollover.calendar import SchoolYear
from rollover.database.tables import directory, hero
from rollover.ledger.results import TASKS
from tests.support.roster.small_set import as_files, as_zip, whole_set
from tests.support.run_dag import Cleared, Finished, asset_events_of, run_dag
from tests.support.small_district import NOW, SOUTH, STUDENTS, YEAR, add_hero, rows

HERO = "hero__riverside-ca"
ROLLOVER = f"rollover__{HERO}"
YES = {"ask_approval": "Approve"}
TASK_IDS = tuple(task.value for task in TASKS)
CURRENT_YEAR_ONLY = {"await_roster", "import_roster"}
ONE_TASK = {("import_drops", -1): "success"} | {
    (f"unfinished.{task}", -1): "skipped" for task in ("go_on", "ask", "decide", "wake")
}
"""The tasks of a run of roster_import that leaves nothing to a person."""

Load = Callable[[str], DAG]


def new_year_zip(ends: int = YEAR.next.last_year) -> bytes:
    """The set of a school year, as Riverside would send it."""
    content = json.dumps(whole_set(ends)).replace("springfield-district", "riverside-ca-org")
    return as_zip(as_files(json.loads(content.replace("school-1", "north").replace("school-2", "south"))))


def drop(folder: Path, content: bytes, name: str = "roster.zip") -> None:
    (folder / name).write_bytes(content)
    (folder / f"{name}.done").touch()


def take_in(airflow: Load, *, nightly: bool = False) -> Finished:
    """The intake finds what lies in the folder, and the tenant that it wakes imports it."""
    found = run_dag(airflow("roster_intake"))
    assert found.state == "success"
    assert [event.partition_key for event in asset_events_of(found.run_id)] == [HERO]
    extra = {"nightly": True} if nightly else {}
    return run_dag(airflow("roster_import"), partition_key=HERO, asset_extra=extra)


def imports(owner: Engine) -> list[tuple[str, str | None]]:
    with owner.connect() as connection:
        query = text("SELECT state, school_year FROM ledger.imports ORDER BY found_at")
        return [tuple(row) for row in connection.execute(query)]


def test_a_season(airflow: Load, riverside: Path, owner: Engine) -> None:
    drop(riverside, new_year_zip())
    imported = take_in(airflow)
    assert imported.state == "success"
    assert imports(owner) == [("ready", "2026-27")], "the new year's set is checked, and waits for the rollover"

    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers=YES)

    assert done.tasks == {(step, -1): "success" for step in TASK_IDS}
    assert done.state == "success"
    assert imports(owner) == [("applied", "2026-27")]
    assert rows(owner, "hero.tracking_events", HERO) == 0
    assert rows(owner, "hero.tracking_events", "hero__lakeside-ca") == 4 * sum(map(len, STUDENTS.values()))
    with owner.connect() as connection:
        approved = connection.scalar(text("SELECT approved_by FROM ledger.plans"))
        year = select(directory.tenants.c.current_school_year).where(directory.tenants.c.tenant_id == HERO)
        assert (approved, connection.scalar(year)) == ("tester", "2026-27")
        assert connection.scalar(text("SELECT state FROM ledger.rollovers")) == "certified"
        delivered = connection.scalars(text("SELECT delivered_to FROM ledger.exports WHERE removed_at IS NULL"))
        to_be_removed = {str(riverside / remote.split("/outbox/")[1]) for remote in delivered}
    outbox = {str(path.relative_to(riverside / "outbox")) for path in riverside.rglob("outbox/**/*.*")}
    certificates = {name for name in outbox if name.startswith("2025-26/certificate_")}
    assert {name.rpartition(".")[2] for name in certificates} == {"json", "pdf"}
    kept = {str(riverside / name) for name in outbox - certificates if not name.startswith("imports/")}
    assert kept == to_be_removed, "what names children leaves when its time is over"

    again = run_dag(airflow(ROLLOVER), partition_key="2025-26")
    assert again.state == "success"
    assert again.tasks == {(step, -1): "success" if step == "plan" else "skipped" for step in TASK_IDS}


@pytest.mark.slow
def test_the_rollover_waits_for_a_roster_that_is_not_there_yet(
    airflow: Load, riverside: Path, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set becomes ready while `await_roster` is deferred."""
    drop(riverside, new_year_zip())
    take_in(airflow)
    looked: list[str | None] = []
    find = waiting.RosterReadyTrigger.find

    def later(trigger: waiting.RosterReadyTrigger) -> str | None:
        looked.append(find(trigger) if len(looked) >= 2 else None)
        return looked[-1]

    monkeypatch.setattr(waiting.RosterReadyTrigger, "find", later)
    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers=YES)
    assert done.state == "success"
    assert looked == [None, None, done.result_of("await_roster")]


def test_nothing_personal_is_in_what_the_tasks_return(airflow: Load, riverside: Path, owner: Engine) -> None:
    drop(riverside, new_year_zip())
    imported = take_in(airflow)
    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers=YES)
    said = json.dumps([*imported.results.values(), *done.results.values()], default=str)
    assert len(done.results) == len(TASK_IDS)
    for personal in ("Zebrowski", "Quentin", "O'Hara", "@example.org", "user-n1", "2017-03", "student-1"):
        assert personal not in said


def test_a_past_year_archives_and_erases_and_skips_the_rest(airflow: Load, riverside: Path, owner: Engine) -> None:
    past = SchoolYear.parse("2024-25")
    with owner.begin() as connection:
        add_hero(connection, HERO, past)
    done = run_dag(airflow(ROLLOVER), partition_key="2024-25", answers=YES)
    assert done.tasks == {(step, -1): "skipped" if step in CURRENT_YEAR_ONLY else "success" for step in TASK_IDS}
    assert done.state == "success"
    assert rows(owner, "hero.tracking_events", HERO, school_year="2024-25") == 0
    assert rows(owner, "hero.tracking_events", HERO, school_year="2025-26") > 0
    assert rows(owner, "hero.point_balances", HERO, balance=20) == sum(map(len, STUDENTS.values()))


def test_a_later_year_waits_for_the_one_before(airflow: Load, riverside: Path, owner: Engine) -> None:
    with owner.begin() as connection:
        add_hero(connection, HERO, SchoolYear.parse("2024-25"))
    done = run_dag(airflow(ROLLOVER), partition_key="2025-26")
    assert done.state == "failed"
    assert done.state_of("plan") == "failed"
    assert set(done.tasks.values()) == {"failed", "upstream_failed"}


def test_a_school_with_a_gap_is_chosen_by_its_name_beside_approve(
    airflow: Load, riverside: Path, owner: Engine
) -> None:
    with owner.begin() as connection:
        south = {"district_id": "riverside-ca", "school_id": SOUTH, "product": "hero", "state": "active"}
        term = {"starts_on": NOW.date(), "ends_on": NOW.date().replace(year=2027), "source": "crm", "read_at": NOW}
        connection.execute(insert(directory.subscriptions).values(**south, **term))
    drop(riverside, new_year_zip())
    take_in(airflow)
    chosen = ["Approve", f"Erase South School ({SOUTH})"]
    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers={"ask_approval": chosen})
    assert (done.state_of("archive"), done.state_of("erase")) == ("success", "success")
    question = done.question_of("ask_approval")
    assert question.multiple and question.options == ["Approve", "Reject", chosen[1]]
    assert question.body.startswith("**South School has had a subscription again since")


def test_a_rejected_plan_ends_the_run_before_anything_is_archived(
    airflow: Load, riverside: Path, owner: Engine
) -> None:
    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers={"ask_approval": "Reject"})
    assert done.state == "failed"
    assert (done.state_of("ask_approval"), done.state_of("archive")) == ("success", "failed")
    assert {done.state_of(step) for step in TASK_IDS[TASK_IDS.index("erase") :]} == {"upstream_failed"}
    assert rows(owner, "hero.tracking_events", HERO) > 0
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM ledger.pauses WHERE ended_at IS NULL")) == 1


@pytest.mark.slow
def test_a_further_plan_is_put_in_a_further_run(airflow: Load, riverside: Path, owner: Engine) -> None:
    """Airflow keeps the text of a question that is cleared: nobody must approve what the old text does not say."""
    drop(riverside, new_year_zip())
    take_in(airflow)
    rows_before = rows(owner, "hero.tracking_events", HERO)

    def clear_and_change() -> Cleared:
        with owner.begin() as connection:
            gone = hero.tracking_events.delete().where(hero.tracking_events.c.event_id == 1)
            connection.execute(gone.where(hero.tracking_events.c.tenant_id == HERO))
        return Cleared(("plan", "export_reports", "ask_approval"))

    stopped = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers={"ask_approval": clear_and_change})
    assert (stopped.state_of("plan"), stopped.state_of("ask_approval")) == ("success", "failed")
    assert stopped.result_of("plan")["plan"]["plan_no"] == 2
    assert stopped.question_of("ask_approval").body != stopped.result_of("plan")["plan"]["markdown"], "Airflow fixed it"
    assert rows(owner, "hero.tracking_events", HERO) == rows_before - 1

    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers=YES)
    assert done.question_of("ask_approval").body == done.result_of("plan")["plan"]["markdown"]
    assert done.state == "success"


def test_a_run_of_a_year_that_is_not_over_is_refused(airflow: Load, riverside: Path, owner: Engine) -> None:
    done = run_dag(airflow(ROLLOVER), partition_key="2026-27")
    assert done.state == "failed"
    assert done.state_of("plan") == "failed"
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM ledger.rollovers")) == 0


@pytest.mark.parametrize("dag_id", [ROLLOVER, "roster_import"])
def test_no_run_is_created_without_a_key(airflow: Load, dag_id: str) -> None:
    scheduled = DagSerialization.from_dict(DagSerialization.to_dict(airflow(dag_id)))
    for given in ({}, {"partition_key": None}):
        with pytest.raises(InvalidPartitionKeyError):  # a ValueError: the API answers 400
            TriggerDAGRunPostBody(logical_date=None, dag_run_id="by_hand", **given).validate_context(scheduled)


def test_a_broken_drop_is_rejected_and_skips_what_follows(airflow: Load, riverside: Path, owner: Engine) -> None:
    drop(riverside, new_year_zip(ends=2022))
    imported = take_in(airflow)
    assert imported.state == "success"
    assert imported.result_of("import_drops") == []
    assert imports(owner) == [("rejected", None)] or imports(owner) == [("rejected", "2021-22")]


@pytest.mark.slow
def test_the_intake_records_a_drop_once(airflow: Load, riverside: Path, owner: Engine) -> None:
    drop(riverside, new_year_zip(YEAR.last_year))
    assert take_in(airflow).state == "success"
    drop(riverside, new_year_zip(), "second.zip")
    assert take_in(airflow).state == "success"
    assert sorted(state for state, _ in imports(owner)) == ["applied", "ready"]


@pytest.mark.slow
def test_a_nightly_tenant_waits_for_the_sweep(airflow: Load, riverside: Path, owner: Engine, tmp_path: Path) -> None:
    file = tmp_path / "districts" / "riverside-ca.yaml"
    file.write_text(file.read_text().replace("roster_import: at_once", "roster_import: nightly"))
    drop(riverside, new_year_zip(YEAR.last_year))

    by_day = take_in(airflow)
    assert by_day.tasks == ONE_TASK
    assert imports(owner) == [("ready", "2025-26")]

    night = run_dag(airflow("roster_sync"))
    (event,) = asset_events_of(night.run_id)
    assert (event.partition_key, event.extra) == (HERO, {"nightly": True})
    by_night = run_dag(airflow("roster_import"), partition_key=HERO, asset_extra=event.extra)
    assert by_night.tasks == ONE_TASK
    assert imports(owner) == [("applied", "2025-26")]

    quiet = run_dag(airflow("roster_sync"))
    assert [quiet.state_of(task_id) for task_id in ("due", "wake", "report")] == ["success", "skipped", "skipped"]
    assert asset_events_of(quiet.run_id) == []


@pytest.mark.slow
def test_a_person_can_import_by_hand(airflow: Load, riverside: Path, owner: Engine, tmp_path: Path) -> None:
    file = tmp_path / "districts" / "riverside-ca.yaml"
    file.write_text(file.read_text().replace("roster_import: at_once", "roster_import: nightly"))
    drop(riverside, new_year_zip(YEAR.last_year))
    take_in(airflow)
    assert imports(owner) == [("ready", "2025-26")]
    by_hand = run_dag(airflow("roster_import"), partition_key=HERO)
    assert by_hand.state == "success"
    assert imports(owner) == [("applied", "2025-26")]


def test_data_that_changed_after_the_plan_stops_the_rollover(
    airflow: Load, riverside: Path, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows change while the approval waits; the archive must not take what nobody approved."""
    from rollover.yearend import steps

    approve = steps.approve

    def approve_and_change(*arguments: object) -> object:
        result = approve(*arguments)  # type: ignore[arg-type]
        with owner.begin() as connection:
            change = update(hero.tracking_events).where(hero.tracking_events.c.tenant_id == HERO)
            connection.execute(change.values(points=6))
        return result

    monkeypatch.setattr(steps, "approve", approve_and_change)
    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers=YES)
    assert done.state == "failed"
    assert done.state_of("erase") != "success"
    assert rows(owner, "hero.tracking_events", HERO) > 0
