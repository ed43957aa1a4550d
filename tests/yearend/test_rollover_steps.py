"""A season's steps on a small world, one after another, on a real PostgreSQL."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, delete, func, insert, select, text, update
from upath import UPath

from rollover import cli
from rollover.database.session import tenant_session
from rollover.database.tables import directory, hero, ledger
from rollover.errors import DatabaseFailed, ProofFailed, Refused
from rollover.ledger import evidence, holds, pause, plans
from rollover.ledger.results import Certified, Planned
from rollover.ledger.rollovers import load as rollover_of
from rollover.run import Run
from rollover.yearend import plan as planning
from rollover.yearend import steps
from rollover.yearend.approval import Person, PlanAnswer
from tests.support.outboxes import NoOutbox
from tests.support.sampling import others_slow
from tests.support.small_district import (
    NORTH,
    SOUTH,
    YEAR,
    add_directory,
    add_hero,
    district,
    everything,
    hero_world,
    imagine_world,
    rows,
    run_of,
)

HERO, OTHER = "hero__riverside-ca", "hero__lakeside-ca"
RUN_ID = "scheduled__2025-26"


no_outbox = NoOutbox()


def certify(run: Run) -> Certified:
    return steps.certify(run, no_outbox)


def nobody(run_id: str) -> bool:
    return False


def until_approved(run: Run) -> Planned:
    steps.guard(run, RUN_ID, nobody)
    if run.school_year == YEAR:
        steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    return plan


def answer_to(plan: Planned, *chosen: str) -> PlanAnswer:
    return PlanAnswer(
        chosen_options=list(chosen or ("Approve",)),
        responded_by_user=Person(id="dana"),
        plan_no=plan.plan_no,
        plan_hash=plan.plan_hash,
    )


def until_reset(run: Run) -> None:
    until_approved(run)
    steps.archive(run)
    steps.erase(run)
    steps.reset(run)


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def test_hero_archives_the_subscribed_and_erases_the_others(run: Run, owner: Engine) -> None:
    untouched = everything(owner, OTHER, ["hero", "roster", "ledger"])
    plan = until_approved(run)
    assert plan.rows["archive"] == 12 + 3 + 12
    assert plan.rows["erase"] == 8 + 2 + 8
    assert "North School" in plan.markdown and "not active on 2026-07" in plan.markdown

    archived = steps.archive(run)
    assert archived.rows == 27
    folder = run.storage / "archive" / "hero" / "riverside-ca" / "2025-26" / NORTH
    events = pq.read_table(str(folder / "tracking_events.parquet"))
    assert events.num_rows == 12
    assert set(events["location"].to_pylist()) == {'Hall, "B"\nwing'}
    assert set(events["comment"].to_pylist()) == {None, ""}
    assert pq.read_table(str(folder / "behavior_codes.parquet")).num_rows == 1
    assert not (folder.parent / SOUTH).exists()

    gone = steps.erase(run)
    assert gone.archived == {"tracking_data": 15, "points_history": 12}
    assert gone.erased == {"tracking_data": 10, "points_history": 8}
    for table in ("tracking_events", "action_assignments", "points_ledger"):
        assert rows(owner, f"hero.{table}", HERO) == 0

    assert steps.reset(run).rows == {"points": 5, "notification_switch": 2, "portal_schedules": 2}
    assert rows(owner, "hero.point_balances", HERO, balance=0) == 5
    assert rows(owner, "hero.points_ledger", HERO, kind="reset", school_year="2026-27") == 5
    assert rows(owner, "hero.notification_settings", HERO, sending=False) == 2
    for table in ("student_logins", "parent_logins"):
        assert rows(owner, f"hero.{table}", HERO) == 5
    assert steps.verify_reset(run).rows_left == 0
    assert everything(owner, OTHER, ["hero", "roster", "ledger"]) == untouched


def test_a_report_is_complete_and_safe_to_open(run: Run) -> None:
    until_approved(run)
    with tenant_session(run.engine, HERO) as connection:
        receipts = connection.execute(ledger.exports.select()).mappings().all()
    assert {r["report"] for r in receipts} == set(run.product.reports)
    rows = {r["file"]: (r["rows"], r["pages"]) for r in receipts}
    assert rows["behavior_history.csv"] == (20, None) and rows["schoolwide_points.csv"] == (5, None)
    assert rows["school_summary.pdf"] == (2, 2)
    assert rows["schoolwide_points_printed/north.pdf"] == (3, 1) and rows["tardies.csv"] == (0, None)
    folder = Path(run.storage.path) / "exports" / "hero" / "riverside-ca" / "2025-26"
    with (folder / "behavior_history.csv").open(encoding="utf-8-sig", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == 20
    assert {line["first_name"] for line in lines} == {"'=Quentin", "Rosalind"}
    with (folder / "schoolwide_points.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert {line["balance"] for line in csv.DictReader(stream)} == {"20"}


@pytest.mark.parametrize("product", ["imagine_math", "imagine_math_facts"])
def test_imagine_erases_whatever_the_subscription(product: str, owner: Engine, engine: Engine, storage: UPath) -> None:
    imagine_world(owner, product)
    tenant, other = f"{product}__riverside-ca", f"{product}__lakeside-ca"
    untouched = everything(owner, other, [product, "roster", "ledger"])
    run = run_of(engine, storage, product)
    until_approved(run)
    sheet = openpyxl.load_workbook(
        (storage / "exports" / product / "riverside-ca" / "2025-26" / "student_data_export.xlsx").path
    ).active
    assert sheet is not None and sheet.max_row == 1 + 5 and sheet.freeze_panes == "A2"
    header = [cell.value for cell in sheet[1]]
    assert sheet.cell(2, header.index("Minutes") + 1).value == 30
    assert sheet.cell(2, header.index("Average score") + 1).value == 81.5
    steps.archive(run)
    erased = steps.erase(run).erased
    assert erased["student_accounts"] == 5 and erased["assessment"] == 5 and erased["classrooms"] == 7
    assert (erased.get("think_points"), erased.get("avatars")) == (
        (5, 5) if product == "imagine_math" else (None, None)
    )
    assert steps.reset(run).rows == {}
    left = {name: len(found) for name, found in everything(owner, tenant, [product]).items() if found}
    assert left == {f"{product}.educator_accounts": 2}
    assert steps.verify_reset(run).reports_blank is True
    assert everything(owner, other, [product, "roster", "ledger"]) == untouched


def test_a_past_year_leaves_the_current_one_alone(run: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        add_hero(connection, HERO, YEAR.previous)
    with pytest.raises(Refused, match=r"2024-25 .* still has rows .*backfill"):
        steps.guard(run, RUN_ID, nobody)
    current = everything(owner, HERO, ["hero"])
    for name in ("hero.tracking_events", "hero.action_assignments", "hero.points_ledger"):
        current[name] = [row for row in current[name] if row[1] == YEAR.key]

    past = run_of(run.engine, run.storage, year=YEAR.previous)
    # South's subscription ended in December 2025: in July 2025 it was in force.
    assert until_approved(past).rows == {"archive": 45}
    steps.archive(past)
    steps.erase(past)
    with pytest.raises(Refused, match="not the current year"):
        steps.reset(past)
    steps.verify_reset(past)
    certify(past)
    assert everything(owner, HERO, ["hero"]) == current
    assert steps.guard(run, RUN_ID, nobody).is_current is True


def test_a_certified_year_is_not_done_again(run: Run) -> None:
    past = run_of(run.engine, run.storage, year=YEAR.previous)
    until_approved(past)
    for step in (steps.archive, steps.erase, steps.verify_reset, certify):
        step(past)
    again = steps.guard(past, "another_run", nobody)
    assert again.go is False and "certified" in again.why


@pytest.mark.parametrize(
    "step", [steps.plan, steps.archive, steps.erase, steps.reset, steps.verify_reset, certify, steps.resume_sync]
)
def test_no_step_runs_before_what_it_needs(run: Run, step: Callable[[Run], object]) -> None:
    with pytest.raises(Refused, match=r"guard|needs"):
        step(run)
    steps.guard(run, RUN_ID, nobody)
    with pytest.raises(Refused, match="needs"):
        step(run)


def test_nothing_is_erased_without_the_approval_of_this_plan(run: Run, owner: Engine) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    right = answer_to(plan)
    others = [right.model_copy(update=change) for change in ({"plan_hash": "0" * 64}, {"plan_no": 2})]
    for answer in (None, *others):
        with pytest.raises(Refused, match="approv"):
            steps.approve(run, answer)
    with pytest.raises(Refused, match="needs approve"):
        steps.archive(run)
    assert rows(owner, "hero.tracking_events", HERO) == 20


def change_row(owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(update(hero.tracking_events).where(hero.tracking_events.c.event_id == 1).values(points=6))


def add_row(owner: Engine, **values: Any) -> None:
    with owner.begin() as connection:
        row = dict(connection.execute(hero.tracking_events.select().limit(1)).mappings().one())
        connection.execute(insert(hero.tracking_events).values({**row, "tenant_id": HERO, "event_id": 999, **values}))


def remove_row(owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(delete(hero.tracking_events).where(hero.tracking_events.c.event_id == 1))


def end_subscription(owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(update(directory.subscriptions).values(state="ended", ends_on="2026-01-01"))


def renew_subscription(owner: Engine) -> None:
    """Of the school whose rows were to be erased for good."""
    table = directory.subscriptions
    with owner.begin() as connection:
        renewed = update(table).where(table.c.school_id == SOUTH).values(state="active", ends_on="2027-06-30")
        connection.execute(renewed)


CHANGES = [change_row, add_row, remove_row, end_subscription, renew_subscription]


@pytest.mark.parametrize("change", others_slow(CHANGES, 2))
def test_a_change_between_archive_and_erase_stops_and_asks_again(run: Run, owner: Engine, change: Any) -> None:
    until_approved(run)
    steps.archive(run)
    first = UPath(run.storage) / "archive" / "hero" / "riverside-ca" / "2025-26" / NORTH / "tracking_events.parquet"
    content = first.read_bytes()
    change(owner)
    before = everything(owner, HERO, ["hero"])
    with pytest.raises(ProofFailed, match=r"changed since its plan|with other content"):
        steps.erase(run)
    assert everything(owner, HERO, ["hero"]) == before
    plan = steps.plan(run)
    assert plan.plan_no == 2
    with pytest.raises(Refused, match="needs"):
        steps.erase(run)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    steps.erase(run)
    assert rows(owner, "hero.tracking_events", HERO) == 0
    assert first.read_bytes() == content, "what one plan archived is not overwritten by the next"


def test_a_late_redemption_makes_no_balance_negative(run: Run, owner: Engine) -> None:
    until_reset(run)
    with owner.connect() as connection:
        sums = connection.execute(
            text("SELECT sum(points) FROM hero.points_ledger WHERE tenant_id = :t GROUP BY student_id"), {"t": HERO}
        ).scalars()
        assert set(sums) == {0}
    with pytest.raises(Exception, match="never_negative"), owner.begin() as connection:
        connection.execute(update(hero.point_balances).values(balance=-5))


def test_points_of_the_new_year_do_not_stop_it(run: Run, owner: Engine) -> None:
    until_reset(run)
    changed = update(hero.point_balances).where(hero.point_balances.c.tenant_id == HERO)
    changed = changed.where(hero.point_balances.c.student_id == "n1").values(balance=5)
    with owner.begin() as connection:
        connection.execute(changed)
    with pytest.raises(ProofFailed, match=r"hero.point_balances has 1 rows that are not reset"):
        steps.verify_reset(run)
    with owner.begin() as connection:  # a balance that was not reset, of a student who was active until the reset
        connection.execute(changed.values(as_of=func.now() - timedelta(hours=1)))
    with pytest.raises(ProofFailed, match=r"hero.point_balances has 1 rows that are not reset"):
        steps.verify_reset(run)
    with owner.begin() as connection:
        connection.execute(changed.values(as_of=func.now()))
    assert steps.verify_reset(run).changed_by_users_since_reset == ["hero.point_balances"]


def test_every_step_run_twice_changes_nothing_more(run: Run, owner: Engine) -> None:
    until_approved(run)
    for step in (steps.archive, steps.erase, steps.reset, steps.verify_reset):
        first = step(run)
        after = everything(owner, HERO, ["hero", "ledger"])
        assert step(run) == first
        assert everything(owner, HERO, ["hero", "ledger"]) == after


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"state": "actve"}, r"unknown state 'actve' \(did it mean 'active'\?\)"),
        ({"read_at": run_of(None, None).now - timedelta(days=8)}, "last read 8 days ago"),  # type: ignore[arg-type]
        ({"ends_on": "2020-01-01"}, "ends before it starts"),
        ({"read_at": run_of(None, None).now + timedelta(days=1)}, "read in the future"),  # type: ignore[arg-type]
        ({"state": "ended"}, "has ended, but runs on"),
        ({"state": "cancelled"}, "is cancelled, but its from-to covers"),
        ({"ends_on": "2026-06-30"}, "is active, but over since before it was read"),
    ],
)
def test_a_subscription_that_is_not_certain_stops_the_plan(
    run: Run, owner: Engine, values: dict[str, Any], reason: str
) -> None:
    with owner.begin() as connection:
        table = directory.subscriptions
        connection.execute(update(table).where(table.c.school_id == NORTH).values(**values))
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    with pytest.raises(Refused, match=reason):
        steps.plan(run)


def test_subscriptions_that_contradict_or_are_missing_stop_the_plan(run: Run, owner: Engine) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    table = directory.subscriptions
    with owner.begin() as connection:
        row = dict(connection.execute(table.select().where(table.c.school_id == NORTH).limit(1)).mappings().one())
        del row["subscription_id"]
        connection.execute(insert(table).values({**row, "district_id": "riverside-ca", "state": "cancelled"}))
    with pytest.raises(Refused, match="is cancelled, but its from-to covers"):
        steps.plan(run)
    with owner.begin() as connection:
        connection.execute(delete(table).where(table.c.school_id == NORTH))
    with pytest.raises(Refused, match="Nothing is known"):
        steps.plan(run)


def test_rows_of_an_unknown_school_stop_the_plan(run: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(
            update(hero.tracking_events).where(hero.tracking_events.c.event_id == 1).values(school_id="x")
        )
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    with pytest.raises(Refused, match="does not know: x"):
        steps.plan(run)


def test_the_guard_refuses_what_cannot_be_right(run: Run, owner: Engine) -> None:
    for wrong, reason in (
        (run_of(run.engine, run.storage, year=YEAR.next), "has not begun"),
        (run_of(run.engine, run.storage, now=run.reset_at - timedelta(hours=1)), "not reached"),
        (
            run_of(run.engine, run.storage, district=run.district.model_copy(update={"org_sourced_id": "other"})),
            "knows",
        ),
    ):
        with pytest.raises(Refused, match=reason):
            steps.guard(wrong, RUN_ID, nobody)
    steps.guard(run, RUN_ID, nobody)
    with pytest.raises(Refused, match="under way"):
        steps.guard(run, "second_run", lambda run_id: True)
    assert steps.guard(run, "second_run", nobody).go is True
    with pytest.raises(Refused, match="not finished"):
        steps.guard(run_of(run.engine, run.storage, year=YEAR.previous), RUN_ID, nobody)


def test_codes_changed_after_the_year_are_warned_of(run: Run, owner: Engine) -> None:
    late = run.district.model_validate(
        {**run.district.model_dump(), "school_years": {"2025-26": {"ends": run.reset_date - timedelta(days=30)}}}
    )
    with owner.begin() as connection:
        connection.execute(update(hero.behavior_codes).values(updated_at=run.reset_at - timedelta(days=5)))
    run = run_of(run.engine, run.storage, district=late)
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    assert any("2 behavior codes changed after the school year" in note for note in steps.plan(run).warnings)


def test_a_damaged_archive_is_found(run: Run) -> None:
    until_reset(run)
    path = Path(run.storage.path) / "archive" / "hero" / "riverside-ca" / "2025-26" / NORTH / "tracking_events.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ProofFailed, match="not the file that was written"):
        steps.verify_reset(run)


def test_the_ledger_cannot_be_rewritten_by_the_role_that_works(run: Run) -> None:
    until_approved(run)
    for table in (ledger.plan_lines, ledger.evidence, ledger.steps, ledger.exports, ledger.archives):
        for statement in (delete(table), update(table).values(rollover_id="x")):
            with (
                pytest.raises(DatabaseFailed, match="InsufficientPrivilege"),
                tenant_session(run.engine, HERO) as connection,
            ):
                connection.execute(statement)


def until_erased(run: Run) -> None:
    until_approved(run)
    steps.archive(run)
    steps.erase(run)


def test_nothing_is_erased_whose_archive_or_export_is_gone(run: Run, owner: Engine) -> None:
    until_approved(run)
    steps.archive(run)
    for path in (Path(run.storage.path) / "archive").rglob("tracking_events.parquet"):
        path.unlink()
    with pytest.raises(ProofFailed, match=r"kept nowhere else: .*tracking_events.parquet is missing"):
        steps.erase(run)
    assert rows(owner, "hero.tracking_events", HERO) == 20


def test_nothing_is_erased_without_the_receipt_of_every_report(run: Run, owner: Engine) -> None:
    until_approved(run)
    steps.archive(run)
    with owner.begin() as connection:
        connection.execute(text("ALTER TABLE ledger.exports DISABLE TRIGGER never_changed"))
        connection.execute(delete(ledger.exports).where(ledger.exports.c.report == "tardies"))
    with pytest.raises(ProofFailed, match="the report tardies was not exported"):
        steps.erase(run)
    assert rows(owner, "hero.tracking_events", HERO) == 20


def test_a_report_that_cannot_be_delivered_has_no_receipt(run: Run, owner: Engine) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    steps.plan(run)

    def full(path: UPath, remote: str) -> None:
        if remote.endswith("tardies.csv"):
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        steps.export_reports(run, NoOutbox(full))
    assert rows(owner, "ledger.exports", HERO) == 0
    delivered: list[str] = []
    steps.export_reports(run, NoOutbox(lambda path, remote: delivered.append(remote)))
    assert len(delivered) == rows(owner, "ledger.exports", HERO) == len(set(delivered))
    assert {name.removeprefix("/riverside-ca/hero/outbox/2025-26/") for name in delivered} > {
        *("behavior_history.csv", "school_summary.pdf", "schoolwide_points_printed/south.pdf")
    }


def test_planning_again_after_the_erase_changes_nothing(run: Run) -> None:
    until_approved(run)
    steps.archive(run)
    steps.erase(run)
    plan = steps.plan(run)
    assert plan.plan_no == 1 and plan.rows["archive"] == 27
    steps.reset(run)
    assert steps.plan(run) == plan


def test_rows_that_came_late_go_by_a_further_plan(run: Run, owner: Engine) -> None:
    until_erased(run)
    steps.reset(run)
    add_row(owner)
    with pytest.raises(ProofFailed, match=r"tracking_events still has 1 rows.* trigger the DAG again"):
        steps.verify_reset(run)
    plan = steps.plan(run)
    assert plan.plan_no == 2 and plan.rows == {"archive": 1}
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    assert steps.archive(run).rows == 1
    assert steps.erase(run).archived == {"tracking_data": 1}
    assert steps.reset(run).rows["points"] == 5, "the reset is not done again"
    steps.verify_reset(run)
    exports = Path(run.storage.path) / "exports" / "hero" / "riverside-ca" / "2025-26"
    names = {str(path.relative_to(exports)) for path in exports.rglob("*.*")}
    assert {"behavior_history.csv", "behavior_history.plan-2.csv", "schoolwide_points.plan-2.csv"} <= names
    assert {"schoolwide_points_printed/north.pdf", "schoolwide_points_printed.plan-2.pdf"} <= names


def test_a_certified_year_is_opened_again_for_late_rows_only(run: Run, owner: Engine) -> None:
    past = run_of(run.engine, run.storage, year=YEAR.previous)
    until_erased(past)
    steps.verify_reset(past)
    certify(past)
    with owner.begin() as connection:
        add_hero(connection, HERO, YEAR.previous)
    with pytest.raises(Refused, match=r"2024-25 .* still has rows"):
        steps.guard(run, RUN_ID, nobody)
    assert steps.guard(past, "again", nobody).go is True
    until_erased(past)
    steps.verify_reset(past)
    certify(past)
    assert steps.guard(past, "third", nobody).go is False
    assert rows(owner, "hero.tracking_events", HERO, school_year=YEAR.previous.key) == 0


def test_nothing_destructive_happens_while_the_sync_is_on(run: Run, owner: Engine) -> None:
    until_approved(run)
    with tenant_session(run.engine, HERO) as connection:
        pause.end_by_hand(connection, HERO, by="somebody", reason="a test")
    for step in (steps.archive, steps.plan):
        with pytest.raises(Refused, match="not paused any more"):
            step(run)
    steps.pause_sync(run)
    steps.archive(run)
    steps.erase(run)
    assert rows(owner, "ledger.pauses", HERO) == 2


def test_a_moved_reset_date_is_checked_again(run: Run) -> None:
    until_approved(run)
    later = run_of(run.engine, run.storage, district=district(own_reset_date=date(2026, 9, 15)))
    with pytest.raises(Refused, match=r"moved from 2026-07-.* to 2026-09-15"):
        steps.archive(later)
    with pytest.raises(Refused, match="is not reached"):
        steps.guard(later, RUN_ID, nobody)
    earlier = run_of(run.engine, run.storage, district=district(own_reset_date=date(2026, 7, 30)))
    assert steps.guard(earlier, RUN_ID, nobody).go is True
    with tenant_session(run.engine, HERO) as connection:
        assert rollover_of(connection, earlier).reset_date == date(2026, 7, 30)


def test_a_year_is_not_reset_after_its_rostering_began(run: Run) -> None:
    dates = {YEAR.key: {"rostering_begins": date(2026, 8, 1)}}
    with pytest.raises(Refused, match="Rostering of 2026-27 began on 2026-08-01"):
        steps.guard(run_of(run.engine, run.storage, district=district(school_years=dates)), RUN_ID, nobody)
    dates = {YEAR.key: {"rostering_begins": date(2026, 8, 2)}}
    on_time = run_of(run.engine, run.storage, district=district(school_years=dates))
    assert steps.guard(on_time, RUN_ID, nobody).go is True


def test_a_tenant_that_was_moved_on_by_hand_is_not_half_erased(run: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(update(directory.tenants).values(current_school_year=YEAR.next.key))
    with pytest.raises(Refused, match="was never rolled over"):
        steps.guard(run, RUN_ID, nobody)


def test_a_plan_by_which_nothing_goes_is_asked_about(owner: Engine, engine: Engine, storage: UPath) -> None:
    with owner.begin() as connection:
        add_directory(connection, "riverside-ca", ["imagine_math_facts"])
    run = run_of(engine, storage, "imagine_math_facts")
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    assert run.product.approval_required is False and plan.approval_required is True
    steps.export_reports(run, no_outbox)
    with pytest.raises(Refused, match="not approved"):
        steps.approve(run, None)


def test_a_past_year_without_data_asks_nobody(run: Run) -> None:
    past = run_of(run.engine, run.storage, year=YEAR.previous)
    steps.guard(past, RUN_ID, nobody)
    plan = steps.plan(past)
    assert run.product.approval_required is True
    assert plan.rows == {} and plan.approval_required is False
    steps.export_reports(past, no_outbox)
    assert steps.approve(past, None).why == "the plan has nothing to do"
    for step in (steps.archive, steps.erase, steps.verify_reset, certify):
        step(past)


def test_a_rejected_plan_says_who_when_and_how_to_go_on(run: Run, owner: Engine) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    before = everything(owner, HERO, ["hero", "roster"])
    rejected = answer_to(plan, "Reject")
    for _ in range(2):  # the task is cleared, and run again
        with pytest.raises(
            Refused,
            match=r"^dana rejected plan 1 of .*, recorded 20.* UTC\. Nothing was changed, and the "
            r"roster sync is still paused\. To go on: correct what is wrong .* trigger the DAG again",
        ):
            steps.approve(run, rejected)
    assert everything(owner, HERO, ["hero", "roster"]) == before
    with tenant_session(run.engine, HERO) as connection:
        query = select(ledger.evidence.c.facts).where(ledger.evidence.c.kind == "plan_rejected")
        (facts,) = connection.scalars(query)
    assert (facts["by"], facts["plan_hash"]) == ("dana", plan.plan_hash)
    for answer in (None, answer_to(plan)):
        with pytest.raises(Refused, match=r"^dana rejected plan 1 .* cannot be approved .* trigger the DAG again"):
            steps.approve(run, answer)
    again = steps.plan(run)
    assert (again.plan_no, again.plan_hash) == (2, plan.plan_hash), "the same rows are asked about again"
    steps.export_reports(run, no_outbox)
    with pytest.raises(Refused, match="for another plan than 2"):
        steps.approve(run, answer_to(plan))  # an answer that an older run still has
    steps.approve(run, answer_to(again))
    steps.archive(run)
    assert sum(steps.erase(run).erased.values()) == 18
    with pytest.raises(Refused, match=r"^Too late: plan 2 of .* was run before dana rejected it"):
        steps.approve(run, answer_to(again, "Reject"))


@pytest.mark.parametrize("done", [(), (steps.archive,)])
def test_a_plan_that_was_approved_and_then_rejected_erases_nothing(
    run: Run, owner: Engine, done: tuple[Callable[[Run], object], ...]
) -> None:
    """A run that failed after its approval is followed by another, which asks about the same plan."""
    plan = until_approved(run)
    for step in done:
        step(run)
    before = everything(owner, HERO, ["hero", "roster"])
    with pytest.raises(Refused, match="dana rejected plan 1"):
        steps.approve(run, answer_to(plan, "Reject"))
    with pytest.raises(Refused, match=r"cannot be approved or run any more"):
        steps.erase(run) if done else steps.archive(run)
    assert everything(owner, HERO, ["hero", "roster"]) == before


def test_an_answer_of_an_older_version_names_its_plan_by_the_hash_alone(run: Run) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    answer = answer_to(steps.plan(run)).model_copy(update={"plan_no": None})
    steps.export_reports(run, no_outbox)
    with pytest.raises(Refused, match="dana rejected plan 1"):
        steps.approve(run, answer.model_copy(update={"chosen_options": ["Reject"]}))
    with pytest.raises(Refused, match=r"rejected a plan that .* does not have"):
        steps.approve(run, answer.model_copy(update={"chosen_options": ["Reject"], "plan_hash": "0" * 64}))
    with pytest.raises(Refused, match="cannot be approved"):
        steps.approve(run, answer)
    again = answer_to(steps.plan(run)).model_copy(update={"plan_no": None})
    steps.export_reports(run, no_outbox)
    assert steps.approve(run, again).approved_by == "dana"


def test_the_database_refuses_to_approve_a_rejected_plan(run: Run) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    with pytest.raises(Refused):
        steps.approve(run, answer_to(plan, "Reject"))
    approved = {"approved_by": "dana", "plan_hash": plan.plan_hash}
    with (
        pytest.raises(DatabaseFailed, match="IntegrityConstraintViolation"),
        tenant_session(run.engine, HERO, exclusive=True) as connection,
    ):
        connection.execute(update(ledger.plans).values(approved_by="dana", approved_at=func.clock_timestamp()))
        evidence.record(connection, HERO, "approve", approved, run.id)


def test_a_past_year_that_is_wholly_held_is_planned(run: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        add_hero(connection, HERO, YEAR.previous)
    with tenant_session(run.engine, HERO, exclusive=True) as connection:
        holds.place(connection, HERO, holds.LEGAL, reason="a dispute", by="dana")
    past = run_of(run.engine, run.storage, year=YEAR.previous)
    steps.guard(past, RUN_ID, nobody)
    plan = steps.plan(past)
    assert set(plan.rows) == {"hold"} and plan.approval_required is False


@pytest.mark.parametrize("data_class", ["notification_switch", "portal_schedules"])
def test_what_a_person_switched_on_after_the_reset_does_not_stop_it(
    run: Run,
    owner: Engine,
    data_class: str,
    login_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    until_reset(run)
    file = district().model_dump(mode="json", exclude_defaults=True)
    file["products"] = {"hero": file["products"]["hero"]}
    (tmp_path / "riverside-ca.yaml").write_text(json.dumps(file))
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(tmp_path))
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", login_of("dana"))
    assert cli.main(["switch-on", HERO, data_class, "--reason", "school starts early"]) == 0
    table = {"notification_switch": "hero.notification_settings", "portal_schedules": "hero.portal_settings"}[
        data_class
    ]
    assert steps.verify_reset(run).changed_by_users_since_reset == [table]


def test_a_school_switched_on_behind_the_steps_still_stops_it(run: Run, owner: Engine) -> None:
    until_reset(run)
    with owner.begin() as connection:
        portals = update(hero.portal_settings).where(hero.portal_settings.c.tenant_id == HERO)
        connection.execute(portals.values(students_see_schedules=True))
    with pytest.raises(ProofFailed, match=r"hero\.portal_settings has 2 rows that are not reset"):
        steps.verify_reset(run)


def test_a_school_with_a_gap_on_the_reset_date_is_confirmed_by_its_name(run: Run, owner: Engine) -> None:
    again = run.reset_date + timedelta(days=3)
    with owner.begin() as connection:
        south = {"district_id": "riverside-ca", "school_id": SOUTH, "product": "hero", "state": "active"}
        term = {"starts_on": again, "ends_on": date(2027, 6, 30), "source": "crm", "read_at": run.now}
        connection.execute(insert(directory.subscriptions).values(**south, **term))
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    assert plan.markdown.startswith(f"**South School has had a subscription again since {again}, but had none on the")
    assert "18 rows of its data will be erased for good if you approve" in plan.markdown.splitlines()[0]
    assert plan.confirmations == [f"Erase South School ({SOUTH})"]
    steps.export_reports(run, no_outbox)
    with pytest.raises(Refused, match=r"does not confirm: Erase South School .*Nothing was changed"):
        steps.approve(run, answer_to(plan))
    product = run.product.model_copy(update={"approval_required": False})
    unasked = Run(**{**vars(run), "product": product})
    with pytest.raises(Refused, match="nobody was asked"):
        steps.approve(unasked, None)
    by_name = answer_to(plan, "Approve", *plan.confirmations)
    assert steps.approve(run, by_name).approved_by == "dana"
    steps.archive(run)
    assert sum(steps.erase(run).erased.values()) == 18


def test_a_subscription_that_begins_again_after_the_plan_stops_it(run: Run, owner: Engine) -> None:
    until_approved(run)
    steps.archive(run)
    with owner.begin() as connection:
        south = {"district_id": "riverside-ca", "school_id": SOUTH, "product": "hero", "state": "active"}
        term = {"starts_on": run.reset_date + timedelta(days=1), "ends_on": date(2027, 6, 30), "source": "crm"}
        connection.execute(insert(directory.subscriptions).values(**south, **term, read_at=run.now))
    with pytest.raises(ProofFailed, match=r"a subscription .* changed since its plan 1"):
        steps.erase(run)


def test_a_name_cannot_add_rows_to_the_question(run: Run, owner: Engine) -> None:
    name = "North | x | **archive** | 0 |\n| Fake [School](https://example.org) <b>"
    with owner.begin() as connection:
        connection.execute(update(directory.schools).where(directory.schools.c.school_id == NORTH).values(name=name))
    before = len(until_approved(run).markdown.splitlines())
    with owner.begin() as connection:
        connection.execute(update(directory.schools).where(directory.schools.c.school_id == NORTH).values(name="North"))
    with tenant_session(run.engine, HERO) as connection:
        plain = planning.markdown(connection, list(plans.in_force(connection, run).lines), [])
    said = steps.plan(run).markdown
    assert before == len(said.splitlines()) and plain.splitlines()[-1] in said


def test_a_step_loads_only_what_it_needs() -> None:
    """Each task is a process of its own: what every step loads, every task waits for."""
    heavy = ("pandas", "polars", "duckdb", "openpyxl", "typst", "paramiko", "asyncssh", "pyarrow.dataset")
    script = f"import sys, rollover.yearend.steps; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
