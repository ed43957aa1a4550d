"""A drop that is over its limits, through the DAGs: it is held, a person is asked, and the answer is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException
from sqlalchemy import Engine, text, update
from upath import UPath

from rollover.adapter import asking, connections, runs, waiting
from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.roster.comparing.compare import compare
from rollover.roster.review.answers import Answer
from rollover.roster.review.decision import decide, in_review, question
from rollover_demo.seed.oneroster import as_zip
from tests.dags.test_failing import failures
from tests.dags.test_rollover_dag import HERO, ONE_TASK, ROLLOVER, YES, drop, imports, take_in
from tests.support.roster.school_years import School, Town, as_oneroster, go_live, stage
from tests.support.run_dag import Answer as Given
from tests.support.run_dag import Finished, Reasoned, asset_events_of, run_dag

Load = Callable[[str], DAG]
Validated = Callable[[Town, int], str]
WHY = "half of north moved away"
ASK, DECIDE = (f"unfinished.{task}" for task in ("ask", "decide"))
SCHOOLS = (School("north", "KG", "03", 12, feeds="south"), School("south", "04", "06", 12))
LEFT = f"SELECT count(*) FROM roster.people WHERE tenant_id = '{HERO}' AND status = 'tobedeleted' AND role = 'student'"
THERE = LEFT.replace("tobedeleted", "active")


@pytest.fixture
def town(riverside: Path, owner: Engine) -> Town:
    """The town's roster is live, in the place of the few students that Riverside has."""
    with owner.begin() as connection:
        connection.execute(text("DELETE FROM roster.people WHERE tenant_id = :tenant"), {"tenant": HERO})
    town = Town.in_full(SCHOOLS)
    go_live(owner, town.rows(), HERO)
    return town


@pytest.fixture
def validated(owner: Engine, tmp_path: Path) -> Validated:
    """Puts a set where the steps before the comparison leave it; most tests are about what comes after."""

    def put(town: Town, number: int) -> str:
        storage = UPath(f"file://{tmp_path}/storage")
        return stage(owner, storage, town.rows(), town.year.key, number=number, tenant_id=HERO)

    return put


def send(folder: Path, town: Town) -> None:
    drop(folder, as_zip(as_oneroster(town, "riverside-ca-org")))


def half(town: Town) -> Town:
    """A further drop, with half of a school missing."""
    town = town.copy()
    town.leave(town.students("north")[::2])
    return town


def answered(airflow: Load, answer: Given, *, map_index: int = 0, nightly: bool = False) -> Finished:
    """A run of roster_import in which the question gets this answer."""
    extra = {"nightly": True} if nightly else {}
    done = run_dag(airflow("roster_import"), partition_key=HERO, answers={ASK: answer}, asset_extra=extra)
    assert set(done.questions) == {(ASK, map_index)}
    return done


def unasked(airflow: Load, *, nightly: bool = False) -> Finished:
    """A run of roster_import in which nobody is asked."""
    extra = {"nightly": True} if nightly else {}
    return run_dag(airflow("roster_import"), partition_key=HERO, asset_extra=extra)


def states(done: Finished, *tasks: str) -> list[str]:
    return [done.state_of(f"unfinished.{task}", 0) for task in tasks]


def number(owner: Engine, query: str) -> int:
    with owner.connect() as connection:
        return int(connection.scalar(text(query)) or 0)


def test_approved_it_is_applied(airflow: Load, riverside: Path, town: Town, owner: Engine) -> None:
    send(riverside, half(town))
    assert run_dag(airflow("roster_intake")).state == "success"
    while_open: list[Any] = []

    def answer() -> Reasoned:
        while_open.extend(all_questions(owner))
        return Reasoned("Approve", WHY)

    done = answered(airflow, answer)
    assert states(done, "go_on", "ask", "decide", "wake") == [*["success"] * 3, "skipped"]
    ((kind, subject, rows_erased, until, *before),) = while_open
    assert (kind, rows_erased, before) == ("roster", 97, [None, None, None]) and until is not None
    assert subject == "Riverside-Ca · Hero: new roster needs review. 5 limits exceeded."
    assert [row[4:] for row in all_questions(owner)] == [("Approve", "tester", WHY)]
    assert WHY not in str(done.results), "the reason is no part of what the tasks return"
    assert number(owner, f"SELECT count(*) FROM ledger.evidence WHERE facts ->> 'why' = '{WHY}'") == 1
    assert imports(owner) == [("applied", "2025-26")]
    assert number(owner, LEFT) == 24
    assert (
        number(owner, "SELECT count(*) FROM ledger.imports WHERE decision = 'approve' AND decided_by = 'tester'") == 1
    )
    assert number(owner, "SELECT count(*) FROM ledger.evidence WHERE kind = 'roster_decision'") == 1
    asked = done.question_of(ASK, 0)
    assert asked.options == ["Approve", "Additions only", "Discard", "Later"] and asked.defaults == ["Later"]
    assert "North School (north) has 24 students, but 48 were expected" in asked.body


def all_questions(owner: Engine) -> list[Any]:
    """The questions in the ledger, oldest first."""
    columns = "kind, subject, rows_erased, until, answer, answered_by, reason"
    with owner.connect() as connection:
        return list(connection.execute(text(f"SELECT {columns} FROM ledger.questions ORDER BY question_id")))


def test_nothing_is_asked_about_a_drop_within_its_limits(
    airflow: Load, validated: Validated, town: Town, owner: Engine
) -> None:
    town.leave(town.students("north")[:2])
    validated(town, 1)
    done = unasked(airflow)
    assert done.tasks == ONE_TASK
    assert imports(owner) == [("applied", "2025-26")]


def test_discarded_it_is_rejected(airflow: Load, validated: Validated, town: Town, owner: Engine) -> None:
    validated(half(town), 1)
    done = answered(airflow, "Discard")
    assert done.state == "success"
    assert [row[4:] for row in all_questions(owner)] == [("Discard", "tester", None)]
    assert states(done, "ask", "decide") == ["success", "success"]
    assert imports(owner) == [("rejected", "2025-26")]
    assert number(owner, LEFT) == 0


def test_additions_only_removes_nobody(airflow: Load, validated: Validated, town: Town, owner: Engine) -> None:
    new = half(town)
    new.arrive("north", "02", 3)
    validated(new, 1)
    done = answered(airflow, "Additions only")
    assert states(done, "decide") == ["success"]
    assert number(owner, LEFT) == 0
    assert number(owner, THERE) == 84 + 3
    assert imports(owner) == [("applied", "2025-26")]


def test_people_with_other_ids_are_given_them(airflow: Load, validated: Validated, town: Town, owner: Engine) -> None:
    town.rekey(town.students("south")[:15])
    validated(town, 1)
    done = answered(airflow, "Approve with id map")
    assert states(done, "ask", "decide") == ["success"] * 2
    assert number(owner, "SELECT count(*) FROM roster.people WHERE status = 'active' AND sourced_id LIKE 'new-%'") == 15
    assert number(owner, LEFT) == 0, "nobody left, and nobody came"


@pytest.mark.slow
def test_without_an_answer_it_is_asked_again_the_next_night(
    airflow: Load, validated: Validated, town: Town, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the district's server is down that night."""
    validated(half(town), 1)
    unanswered = answered(airflow, None)
    assert unanswered.state == "success"
    assert states(unanswered, "ask", "decide", "wake") == ["success", "skipped", "skipped"]
    assert [row[4:] for row in all_questions(owner)] == [("Later", None, None)]
    assert imports(owner) == [("in_review", "2025-26")]

    night = run_dag(airflow("roster_sync"))
    (event,) = asset_events_of(night.run_id)
    assert event.partition_key == HERO

    def down(connection_id: str) -> Any:
        raise ConnectionError("the server is down")

    monkeypatch.setattr(connections, "sftp", down)
    assert answered(airflow, "Later", nightly=True).state == "success"
    assert imports(owner)[0] == ("in_review", "2025-26")
    applied = answered(airflow, "Approve", nightly=True)
    assert imports(owner)[0] == ("applied", "2025-26")
    assert states(applied, "decide") == ["failed"], "its report is not delivered, and nobody should miss that"
    assert [(failure["step"], failure["error_class"]) for failure in failures(owner)] == [("report", "ConnectionError")]


@pytest.mark.slow
def test_a_decision_on_the_command_line_is_reported_by_the_nightly_night(
    airflow: Load, validated: Validated, riverside: Path, town: Town, owner: Engine
) -> None:
    import_id = validated(half(town), 1)
    answered(airflow, None)
    (summary,) = (riverside / "outbox" / "imports").glob("*/summary.txt")
    reported = summary.read_text()
    with tenant_session(owner, HERO) as connection:
        seen = question(connection, import_id).digest
    decide(owner, HERO, import_id, Answer.DISCARD, "dana", digest=seen, reason="half of north is missing")
    night = run_dag(airflow("roster_sync"))
    assert night.result_of("report") == [import_id]
    assert "DISCARDED IN REVIEW" not in reported and "DISCARDED IN REVIEW" in summary.read_text()
    assert run_dag(airflow("roster_sync")).state_of("report") == "skipped", "it is reported once"


@pytest.mark.slow
def test_an_answer_that_comes_too_late_does_nothing(
    airflow: Load, validated: Validated, town: Town, owner: Engine
) -> None:
    """While the question is open, a newer good drop supersedes the one that is held."""
    validated(half(town), 1)

    def answer() -> str:
        with owner.begin() as connection:
            connection.execute(
                text("UPDATE ledger.imports SET state = 'superseded', reason = 'x' WHERE state = 'in_review'")
            )
        return "Approve"

    done = answered(airflow, answer)
    assert done.state == "failed", "whoever answered sees that it did nothing"
    assert states(done, "ask", "decide") == ["success", "failed"]
    assert imports(owner)[0] == ("superseded", "2025-26")
    assert number(owner, LEFT) == 0


@pytest.mark.slow
def test_of_two_that_are_held_the_newer_is_asked_about(
    airflow: Load, validated: Validated, town: Town, owner: Engine
) -> None:
    validated(half(town), 1)
    answered(airflow, None)
    validated(half(half(town)), 2)
    answered(airflow, "Approve")
    assert imports(owner) == [("superseded", "2025-26"), ("applied", "2025-26")]


@pytest.mark.slow
def test_a_nightly_tenants_drop_waits_for_the_night_though_it_is_approved(
    airflow: Load, validated: Validated, town: Town, owner: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "districts" / "riverside-ca.yaml"
    file.write_text(file.read_text().replace("roster_import: at_once", "roster_import: nightly"))
    validated(half(town), 1)
    by_day = answered(airflow, "Approve")
    assert states(by_day, "decide") == ["success"]
    assert imports(owner)[0] == ("ready", "2025-26")
    by_night = unasked(airflow, nightly=True)
    assert by_night.tasks == ONE_TASK
    assert imports(owner)[0] == ("applied", "2025-26")


@pytest.mark.slow
def test_a_limit_of_the_districts_own_lets_it_in(
    airflow: Load, validated: Validated, town: Town, owner: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "districts" / "riverside-ca.yaml"
    district = yaml.safe_load(file.read_text())
    removed = {"students": 0.5, "guardians": 0.5, "enrollments": 0.5}
    own = {"during_the_year": {"removed_of_a_school": 0.6, "removed": removed}}
    district["products"]["hero"]["roster_limits"] = own
    file.write_text(yaml.safe_dump(district))
    validated(half(town), 1)
    assert unasked(airflow).state == "success"
    assert imports(owner)[0] == ("applied", "2025-26")


@pytest.mark.slow
def test_a_new_years_set_is_approved_while_a_rollover_waits_for_it(
    airflow: Load, riverside: Path, town: Town, owner: Engine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync is paused: the answer makes the set ready, and the rollover takes it in."""
    send(riverside, half(town.next_year()))
    assert run_dag(airflow("roster_intake")).state == "success"
    answered(airflow, None)
    assert imports(owner) == [("in_review", "2026-27")]
    looked: list[str | None] = []
    find = waiting.RosterReadyTrigger.find

    def approve_meanwhile(trigger: waiting.RosterReadyTrigger) -> str | None:
        looked.append(find(trigger))
        if len(looked) == 2:
            with tenant_session(engine, HERO) as connection:
                (found,) = in_review(connection)
                digest = question(connection, found.import_id).digest
                assert connection.scalar(text("SELECT count(*) FROM ledger.pauses WHERE ended_at IS NULL")) == 1
            assert decide(engine, HERO, found.import_id, "Approve", "dana", digest=digest).state == "ready"
        return looked[-1]

    monkeypatch.setattr(waiting.RosterReadyTrigger, "find", approve_meanwhile)
    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers=YES)
    assert looked == [None, None, done.result_of("await_roster")]
    assert done.state_of("import_roster") == "success"
    assert imports(owner) == [("applied", "2026-27")]
    assert done.state == "success"


@pytest.mark.slow
def test_while_the_sync_is_paused_an_approved_drop_is_kept(
    airflow: Load, validated: Validated, town: Town, owner: Engine
) -> None:
    validated(half(town), 1)
    with owner.begin() as connection:
        insert = "INSERT INTO ledger.pauses (tenant_id, paused_by, reason) VALUES (:tenant, 'dana', 'a test')"
        connection.execute(text(insert), {"tenant": HERO})
    done = answered(airflow, "Approve")
    assert states(done, "decide") == ["success"]
    assert imports(owner)[0] == ("ready", "2025-26")


@pytest.mark.slow
def test_a_set_that_is_held_in_a_rollover_stops_it(
    airflow: Load, riverside: Path, town: Town, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was ready when the rollover found it, and the roster that it meets is another."""
    send(riverside, town.next_year())
    take_in(airflow)
    assert imports(owner)[0] == ("ready", "2026-27")
    from rollover.yearend import steps

    before_import = steps.before_import

    def and_the_roster_changes(*arguments: Any) -> None:
        before_import(*arguments)
        with owner.begin() as connection:
            connection.execute(text("UPDATE ledger.roster_versions SET version = version + 1"))
            connection.execute(text("UPDATE roster.people SET grade = '06' WHERE role = 'student' AND grade = '03'"))

    monkeypatch.setattr(steps, "before_import", and_the_roster_changes)
    done = run_dag(airflow(ROLLOVER), partition_key="2025-26", answers=YES)
    assert done.state == "failed" and done.state_of("import_roster") == "failed"
    assert imports(owner)[0] == ("in_review", "2026-27")


def test_nothing_personal_is_in_the_question_or_what_the_tasks_return(
    airflow: Load, validated: Validated, town: Town
) -> None:
    second = half(town)
    second.rekey(second.students("south")[:15])
    validated(second, 1)
    done = answered(airflow, "Approve with id map")
    said = json.dumps(list(done.results.values()), default=str) + done.question_of(ASK, 0).body
    assert done.result_of(ASK, 0)["by"] == "tester"
    for row in [*town.rows()["people"], *second.rows()["people"]]:
        for name in ("username", "email", "identifier", "birth_date"):
            assert row[name] is None or str(row[name]) not in said
    for person in second.students("south"):
        assert f'"{person}"' not in said and f" {person} " not in said


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["Approve", "Discard", "Later"])
def test_a_delta_waits_for_the_set_before_it_and_is_woken_when_that_one_is_at_its_end(
    airflow: Load, validated: Validated, town: Town, owner: Engine, answer: str
) -> None:
    validated(half(town), 1)
    delta = validated(town, 2)
    with owner.begin() as connection:
        staged = {"state": "staged", "details": {"schema_version": 1, "reading": {"deltas": ["users.csv"]}}}
        connection.execute(update(ledger.imports).where(ledger.imports.c.import_id == delta).values(staged))
    done = answered(airflow, answer)
    assert len(done.result_of("import_drops")) == 1, "the delta is not left to a person"
    assert done.state == "success" and imports(owner)[1][0] == "staged"
    is_over = answer != "Later"
    assert states(done, "wake") == ["success" if is_over else "skipped"]
    events = asset_events_of(done.run_id)
    assert [(event.partition_key, event.extra) for event in events] == ([(HERO, {"nightly": True})] if is_over else [])


class Store(dict[str, Any]):
    """What a task keeps between its tries."""

    def set(self, key: str, value: Any, retention: Any) -> None:
        self[key] = value


@pytest.mark.slow
def test_a_question_that_was_cleared_is_not_put_with_the_old_numbers(
    airflow: Load, validated: Validated, town: Town, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow keeps the text of a question when its task is run again."""
    import_id = validated(half(town), 1)
    first = answered(airflow, None).question_of(ASK, 0).body
    put: list[str] = []
    monkeypatch.setattr(HITLOperator, "execute", lambda self, context: put.append(self.body))
    asks = SimpleNamespace(dag_id="roster_import", run_id="nightly", task_id="ask", map_index=0)
    context = {"task_state_store": Store(), "run_id": "nightly", "ti": asks}
    for _ in range(2):
        asking.AskAboutImport(task_id="ask", import_id=import_id).execute(context)  # type: ignore[arg-type]
    assert put == [first, first], "the same numbers may be shown again"
    with owner.begin() as connection:
        connection.execute(text("UPDATE roster.people SET status = 'tobedeleted' WHERE sourced_id = 's1'"))
        connection.execute(text("UPDATE ledger.roster_versions SET version = version + 1"))
    work = runs.open_import(import_id)
    again = compare(work.engine, work.tenant.id, import_id, work.storage, work.limits)
    assert again.state == "in_review"
    with pytest.raises(AirflowSkipException, match="the next run asks again"):
        asking.AskAboutImport(task_id="ask", import_id=import_id).execute(context)  # type: ignore[arg-type]
    assert len(put) == 2


def test_the_answers_are_those_that_are_understood() -> None:
    ask = asking.AskAboutImport(task_id="ask", import_id="x")
    assert ask.options == [answer.value for answer in Answer]
