"""The state of a tenant: each phase is reached by the steps themselves, and the stored facts are never out of date."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.database.tables import directory, ledger
from rollover.errors import DatabaseFailed, Refused
from rollover.ledger import failures, holds, questions
from rollover.ledger.failures import Failed
from rollover.ledger.results import Step
from rollover.roster.imports import ImportDetails
from rollover.roster.imports.details import Validation
from rollover.roster.imports.model import query_imports, read_import
from rollover.run import Run
from rollover.season.deadlines import Alarm, Severity
from rollover.season.phases import Phase, WaitsFor
from rollover.season.read import Season, SeasonReader, read_season, read_tenant, season_session
from rollover.season.state import TenantState
from rollover.yearend import steps
from tests.support import certified
from tests.support.small_district import NOW, YEAR, district, hero_world, run_of
from tests.yearend.test_rollover_steps import RUN_ID, answer_to, certify, no_outbox, nobody

LATER = datetime(2026, 8, 10, tzinfo=UTC)


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def catalog(run: Run) -> Catalog:
    return Catalog({run.district.district: run.district}, {run.product.product: run.product}, ())


def season_of(run: Run, now: datetime | None = None) -> Season:
    """The season as the pages read it, of the one tenant that the catalog knows."""
    return read_season(run.engine, catalog(run), now or datetime.now(UTC), year=run.school_year)


def state(run: Run, now: datetime | None = None) -> TenantState:
    """The state of the run's year."""
    (found,) = [each for each in season_of(run, now).states if each.school_year == run.school_year.key]
    return found


def facts_by_view(owner: Engine) -> dict[tuple[str, str], Any]:
    """What the view says, for all tenants."""
    with owner.connect() as connection:
        rows = connection.execute(text("SELECT tenant_id, school_year, facts FROM ledger.season_facts"))
        return {(row.tenant_id, row.school_year): row.facts for row in rows}


def stored_facts(engine: Engine) -> dict[tuple[str, str], Any]:
    with season_session(engine) as connection:
        rows = connection.execute(select(ledger.season))
        return {(row.tenant_id, row.school_year): row.facts for row in rows}


def ask(run: Run, plan_no: int, digest: str) -> None:
    asked = questions.Asked(
        kind="plan",
        about=run.id,
        digest=digest,
        subject="Riverside: erase 18?",
        rows_erased=18,
        options=["Approve", "Reject"],
        dag_id=run.tenant.dag_id,
        run_id=RUN_ID,
        task_id="ask_approval",
        map_index=-1,
        asked_at=datetime.now(UTC),
        plan_no=plan_no,
    )
    with tenant_session(run.engine, run.tenant.id) as connection:
        questions.ask(connection, run.tenant.id, asked)
        questions.ask(connection, run.tenant.id, asked)


def fail(run: Run, step: Step, error: BaseException | None) -> None:
    with tenant_session(run.engine, run.tenant.id) as connection:
        where = Failed(step, RUN_ID, datetime.now(UTC), rollover_id=run.id)
        failures.record(connection, run.tenant.id, where, error)


def new_roster(owner: Engine, run: Run, state: str, reason: str | None = None) -> None:
    """A drop of the following year, in one of its states."""
    import_id = f"{run.tenant.id}__0123456789ab"
    at = datetime.now(UTC)
    drop = {"drop_id": import_id, "folder": "/f", "fingerprint": import_id, "files": [], "found_at": at}
    values = {"state": state, "reason": reason, "changed_at": at}
    with owner.begin() as connection:
        if connection.execute(update(ledger.imports).values(**values)).rowcount:
            return
        connection.execute(insert(ledger.drops).values(tenant_id=run.tenant.id, **drop))
        more = {"import_id": import_id, "school_year": run.school_year.next.key, "found_at": at}
        connection.execute(insert(ledger.imports).values(tenant_id=run.tenant.id, **more, **values))


def test_a_rollover_goes_through_its_phases(run: Run, owner: Engine) -> None:
    seen: list[tuple[Phase, WaitsFor, Severity]] = []

    def look() -> TenantState:
        found = state(run)
        seen.append((found.phase, found.waits_for, found.severity))
        assert stored_facts(run.engine) == facts_by_view(owner)
        return found

    before = datetime(2026, 7, 1, tzinfo=UTC)
    assert state(run, before).summary == f"Scheduled: resets on {run.reset_date}"
    assert (state(run, before).next_date, state(run, before).next_why) == (run.reset_date, "default reset date")
    steps.guard(run, RUN_ID, nobody)
    look()
    steps.pause_sync(run)
    plan = steps.plan(run)
    assert look().days_paused == 0
    steps.export_reports(run, no_outbox)
    assert look().since == state(run).facts.done[Step.EXPORT_REPORTS]
    ask(run, plan.plan_no, plan.plan_hash)
    found = look()
    assert found.summary == "Waiting for approval: 18 rows to erase, 27 to archive"
    assert found.facts.question is not None and found.since == found.facts.question.asked_at
    with tenant_session(run.engine, run.tenant.id) as connection:
        questions.close(connection, run.id, plan.plan_hash, answer="Approve", by="dana", now=datetime.now(UTC))
        assert [question.answered_by for question in questions.of_tenant(connection)] == ["dana"]
    assert look().facts.question is None
    steps.approve(run, answer_to(plan))
    look()
    steps.archive(run)
    steps.erase(run)
    steps.reset(run)
    assert look().summary == "Archiving and erasing: 27 rows to archive, 18 to erase"
    steps.verify_reset(run)
    assert look().summary == "Waiting for the new roster: no files have come"
    new_roster(owner, run, "staged")
    assert look().summary == "Importing the new roster"
    new_roster(owner, run, "in_review", "1 over the limits")
    assert look().summary == "New roster in review: 1 over the limits"
    new_roster(owner, run, "rejected", "refused for no_people")
    assert look().summary == "Waiting for the new roster: the last set was rejected (refused for no_people)"
    new_roster(owner, run, "applied")
    certified.resumed(run)
    assert look().summary == "Verifying: the new roster is live"
    certify(run)
    assert look().summary.endswith(": 18 rows erased, 27 archived")

    engineer, district_it, nobody_at_all = WaitsFor.DATA_ENGINEER, WaitsFor.DISTRICT_IT, WaitsFor.NOBODY
    assert seen == [
        (Phase.EXPORTING, nobody_at_all, Severity.FINE),
        (Phase.EXPORTING, nobody_at_all, Severity.FINE),
        (Phase.WAITING_FOR_APPROVAL, engineer, Severity.ATTENTION),
        (Phase.WAITING_FOR_APPROVAL, engineer, Severity.ATTENTION),
        (Phase.WAITING_FOR_APPROVAL, engineer, Severity.ATTENTION),
        (Phase.ARCHIVING_AND_ERASING, nobody_at_all, Severity.FINE),
        (Phase.ARCHIVING_AND_ERASING, nobody_at_all, Severity.FINE),
        (Phase.WAITING_FOR_ROSTER, district_it, Severity.ATTENTION),
        (Phase.WAITING_FOR_ROSTER, nobody_at_all, Severity.FINE),
        (Phase.ROSTER_IN_REVIEW, engineer, Severity.ATTENTION),
        (Phase.WAITING_FOR_ROSTER, district_it, Severity.ATTENTION),
        (Phase.VERIFYING, nobody_at_all, Severity.FINE),
        (Phase.CERTIFIED, nobody_at_all, Severity.FINE),
    ]


def test_a_rejected_plan_waits_for_the_data_engineer(run: Run) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    with pytest.raises(Refused) as refused:
        steps.approve(run, answer_to(plan, "Reject"))
    fail(run, Step.APPROVE, refused.value)
    found = state(run)
    assert (found.phase, found.waits_for, found.severity) == (Phase.REJECTED, WaitsFor.DATA_ENGINEER, Severity.WRONG)
    assert found.summary == "Plan rejected by dana: nothing was changed"
    steps.plan(run)
    assert state(run).phase is Phase.EXPORTING


def test_a_refused_year_says_why_and_waits_for_whoever_can_help(run: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(update(directory.subscriptions).values(read_at=NOW - timedelta(days=90)))
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    with pytest.raises(Refused) as refused:
        steps.plan(run)
    fail(run, Step.PLAN, refused.value)
    found = state(run)
    assert (found.phase, found.waits_for) == (Phase.REFUSED, WaitsFor.CUSTOMER_SUCCESS)
    assert found.summary.startswith("Refused at plan: The subscription of ")
    assert found.facts.failure is not None and found.facts.failure.remedy


def test_a_failure_is_over_when_a_step_is_done(run: Run) -> None:
    steps.guard(run, RUN_ID, nobody)
    fail(run, Step.PAUSE_SYNC, RuntimeError("the name of a child"))
    found = state(run)
    assert (found.phase, found.severity) == (Phase.FAILED, Severity.WRONG)
    assert found.summary == "Failed at pause_sync: RuntimeError"
    assert "child" not in found.facts.model_dump_json()
    steps.pause_sync(run)
    assert state(run).phase is Phase.EXPORTING


def test_a_killed_task_has_no_error(run: Run) -> None:
    fail(run, Step.GUARD, None)
    assert state(run).summary == "Failed at guard: Killed"


def test_a_refused_current_year_is_not_hidden_behind_a_backfill(run: Run, owner: Engine) -> None:
    past = replace(run, school_year=YEAR.previous)
    with owner.begin() as connection:
        row = {"rollover_id": past.id, "school_year": past.school_year.key, "reset_date": past.reset_date}
        row |= {"reset_at": past.reset_at, "is_current": False, "state": "running", "run_id": "backfill"}
        connection.execute(insert(ledger.rollovers).values(tenant_id=run.tenant.id, **row))
    fail(run, Step.GUARD, Refused(f"{past.id} is not finished.", "finish it first."))
    season = season_of(run)
    assert [(each.school_year, each.phase) for each in season.of(run.tenant.id)] == [
        (run.school_year.key, Phase.REFUSED),
        (past.school_year.key, Phase.EXPORTING),
    ]
    (shown,) = season.current
    assert shown.phase is Phase.REFUSED


def test_a_hold_on_the_district_holds_a_year_that_has_not_begun(run: Run) -> None:
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        holds.place(connection, run.tenant.id, holds.LEGAL, reason="a dispute", by="dana")
    found = state(run, datetime(2026, 7, 1, tzinfo=UTC))
    assert (found.phase, found.severity) == (Phase.HELD, Severity.ATTENTION)
    assert found.summary.startswith("On hold: 1 hold, 1 on the whole district")


def test_what_is_late_is_said(run: Run, owner: Engine) -> None:
    now = datetime.now(UTC)
    first_day = {"school_years": {YEAR.next.key: {"first_day": now.date() + timedelta(days=34)}}}
    run = replace(run, district=district(**first_day))
    assert state(run, run.reset_at + timedelta(hours=23)).alarms == ()
    late = state(run, run.reset_at + timedelta(hours=25))
    assert late.alarms == (Alarm.RESET_DATE_PASSED,) and late.severity is Severity.LATE and late.is_late

    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    ask(run, plan.plan_no, plan.plan_hash)
    assert state(run, now + timedelta(days=2)).alarms == ()
    assert state(run, now + timedelta(days=4)).alarms == (Alarm.APPROVAL_OVERDUE,)
    paused = state(run, now + timedelta(days=31, hours=1))
    assert paused.alarms == (Alarm.APPROVAL_OVERDUE, Alarm.PAUSE_TOO_LONG) and paused.days_paused == 31
    assert paused.sentences[1].startswith("The nightly sync has been paused since ")

    steps.approve(run, answer_to(plan))
    steps.archive(run)
    steps.erase(run)
    steps.reset(run)
    steps.verify_reset(run)
    due = now.date() + timedelta(days=20)
    assert (state(run).next_date, state(run).next_why) == (due, "the new year's files should be there")
    midnight = datetime.combine(due, time(), UTC)
    assert Alarm.FILES_MISSING not in state(run, midnight - timedelta(seconds=1)).alarms
    assert Alarm.FILES_MISSING in state(run, midnight).alarms
    new_roster(owner, run, "in_review", "1 over the limits")
    assert Alarm.REVIEW_OVERDUE in state(run, now + timedelta(days=4)).alarms
    new_roster(owner, run, "rejected")
    assert Alarm.DROP_REJECTED in state(run).alarms


@pytest.mark.parametrize(
    ("dag", "alarms"), [("on", ()), ("paused", (Alarm.DAG_PAUSED,)), ("missing", (Alarm.DAG_MISSING,))]
)
def test_a_dag_that_does_not_run_is_an_alarm(run: Run, dag: str, alarms: tuple[Alarm, ...]) -> None:
    with tenant_session(run.engine, run.tenant.id) as connection:
        connection.execute(
            insert(ledger.dag_states).values(tenant_id=run.tenant.id, dag_id=run.tenant.dag_id, state=dag, since=LATER)
        )
    assert state(run, datetime(2026, 7, 1, tzinfo=UTC)).alarms == alarms


def test_the_season_role_sees_the_season_of_all_and_nothing_else(run: Run) -> None:
    with season_session(run.engine) as connection:
        tenants = set(connection.scalars(select(ledger.season.c.tenant_id)))
    assert tenants == {"hero__riverside-ca", "hero__lakeside-ca"}
    for table in ("ledger.imports", "ledger.evidence", "hero.point_balances", "ledger.season_facts"):
        with pytest.raises(DatabaseFailed), season_session(run.engine) as connection:
            connection.execute(text(f"SELECT count(*) FROM {table}"))
    with pytest.raises(DatabaseFailed), season_session(run.engine) as connection:
        connection.execute(update(ledger.season).values(school_year="2000-01"))


def test_a_reader_reads_what_changed_and_nothing_else(run: Run, owner: Engine) -> None:
    reader, known = SeasonReader(), catalog(run)
    statements: list[int] = []

    def phase() -> Phase:
        (found,) = reader.read(run.engine, known, NOW, year=run.school_year).of(run.tenant.id)
        with owner.connect() as connection:
            statements.append(connection.scalar(text("SELECT last_value FROM ledger.season_version")) or 0)
        return found.phase

    assert [phase(), phase()] == [Phase.SCHEDULED, Phase.SCHEDULED]
    assert statements[0] == statements[1]
    steps.guard(run, RUN_ID, nobody)
    assert phase() is Phase.EXPORTING
    with owner.begin() as connection:  # as after a restore of an older state
        connection.execute(text("DELETE FROM ledger.season"))
        connection.execute(text("ALTER SEQUENCE ledger.season_version RESTART"))
        connection.execute(insert(ledger.season_changes).values(tenant_id=run.tenant.id))
    assert phase() is Phase.EXPORTING


def test_a_reader_notices_that_a_year_or_a_tenant_is_gone(run: Run, owner: Engine) -> None:
    reader = SeasonReader()

    def years() -> list[str]:
        return [state.school_year for state in reader.read(run.engine, catalog(run), NOW).of(run.tenant.id)]

    assert years() == ["2025-26"]
    with owner.begin() as connection:
        connection.execute(update(directory.tenants).values(current_school_year="2026-27"))
    assert years() == ["2026-27"]
    assert stored_facts(run.engine) == facts_by_view(owner)
    with owner.begin() as connection:
        for table in (directory.subscriptions, directory.schools, directory.tenants):
            connection.execute(table.delete())
    assert years() == []
    assert stored_facts(run.engine) == facts_by_view(owner)


def test_a_reader_learns_a_past_year_when_it_is_asked_for(run: Run) -> None:
    certified.until_resumed(run)
    certify(run)
    reader, known = SeasonReader(), catalog(run)

    def years(asked: SchoolYear | None) -> list[str]:
        found = reader.read(run.engine, known, NOW, year=asked)
        return [state.school_year for state in found.of(run.tenant.id)]

    assert years(None) == ["2026-27"]
    assert reader.years() == {"2025-26", "2026-27"}
    assert years(SchoolYear.parse("1999-00")) == ["2026-27"]
    assert years(run.school_year) == ["2026-27", "2025-26"]
    assert years(None) == ["2026-27"]


def test_a_reader_notices_that_a_year_has_become_past(run: Run) -> None:
    certified.until_resumed(run)
    reader, known = SeasonReader(), catalog(run)
    before = reader.read(run.engine, known, NOW)
    assert [state.school_year for state in before.of(run.tenant.id)] == ["2026-27", "2025-26"]
    certify(run)
    assert [state.school_year for state in reader.read(run.engine, known, NOW).states] == ["2026-27"]
    asked = reader.read(run.engine, known, NOW, year=run.school_year)
    assert [state.phase for state in asked.of(run.tenant.id)] == [Phase.SCHEDULED, Phase.CERTIFIED]


def test_a_reader_makes_a_state_again_only_if_it_means_something_else(run: Run) -> None:
    reader, known = SeasonReader(), catalog(run)

    def state(now: datetime, by: Catalog = known) -> TenantState:
        (found,) = reader.read(run.engine, by, now).states
        assert found == read_season(run.engine, by, now).states[0]
        return found

    early = datetime(2026, 2, 1, tzinfo=UTC)
    first = state(early)
    assert state(early + timedelta(minutes=1)) is first
    late = state(datetime(2030, 1, 1, tzinfo=UTC))
    assert (first.severity, late.severity) == (Severity.FINE, Severity.LATE)
    assert late.alarms == (Alarm.RESET_DATE_PASSED,)
    assert state(early) == first
    renamed = run.district.model_copy(update={"name": "Another name"})
    other = Catalog({run.tenant.district: renamed}, known.products, ())
    assert state(early, other).district_name == "Another name"


def test_a_past_year_is_read_when_it_is_asked_for(run: Run) -> None:
    certified.until_resumed(run)
    certify(run)
    assert [each.school_year for each in season_of(run).of(run.tenant.id)] == ["2026-27", "2025-26"]
    without = read_season(run.engine, catalog(run), NOW)
    assert [(each.school_year, each.phase) for each in without.states] == [("2026-27", Phase.SCHEDULED)]


def test_a_tenant_sees_its_own_season_only(run: Run) -> None:
    season_of(run)
    with tenant_session(run.engine, run.tenant.id) as connection:
        assert set(connection.scalars(select(ledger.season.c.tenant_id))) == {run.tenant.id}
        assert [each.school_year for each in read_tenant(connection, catalog(run), LATER)] == [run.school_year.key]


def test_an_answered_question_is_not_answered_again(run: Run, owner: Engine) -> None:
    ask(run, 1, "digest")
    for by in ("dana", "kim"):
        with tenant_session(run.engine, run.tenant.id) as connection:
            questions.close(connection, run.id, "digest", answer="Reject", by=by, now=LATER)
    with tenant_session(run.engine, run.tenant.id) as connection:
        assert [question.answered_by for question in questions.of_tenant(connection)] == ["dana"]
    with pytest.raises(DBAPIError, match="is a record"), owner.begin() as connection:
        connection.execute(update(ledger.questions).values(answer="Approve"))


def test_rejected_rows_are_those_of_the_import(run: Run, owner: Engine) -> None:
    new_roster(owner, run, "rejected")
    assert state(run).facts.newest_drop.rejected is None  # type: ignore[union-attr]
    checked = Validation(taken={"users.csv": 7, "orgs.csv": 2}, repeated={"users.csv": 1})
    details = ImportDetails(rows={"users.csv": 12, "orgs.csv": 2, "classes.csv": 5}, validation=checked)
    with owner.begin() as connection:
        connection.execute(update(ledger.imports).values(details=details.as_json()))
    with tenant_session(run.engine, run.tenant.id) as connection:
        (found,) = [read_import(row) for row in connection.execute(query_imports())]
    assert found.rejected_rows == {"users.csv": (12, 4), "orgs.csv": (2, 0)}
    assert state(run).facts.newest_drop.rejected == 4  # type: ignore[union-attr]
