"""What one transaction would take too long for goes in parts; a partition that holds nothing else is emptied."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from upath import UPath

from rollover.archive import manifest as manifests
from rollover.database.session import tenant_session
from rollover.database.tables import hero, ledger
from rollover.errors import DatabaseFailed, ProofFailed
from rollover.ledger import evidence, holds
from rollover.run import Run
from rollover.yearend import erase, steps
from tests.support.certified import certificate_of, resumed
from tests.support.killable_steps import killed_at
from tests.support.sampling import others_slow
from tests.support.small_district import NORTH, YEAR, everything, hero_world, rows, run_of
from tests.yearend.test_rollover_steps import HERO, OTHER, answer_to, no_outbox, until_approved

EVENTS = "hero.tracking_events"
YEARS_TABLES = (hero.tracking_events, hero.action_assignments, hero.points_ledger)


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def parts(run: Run) -> list[dict[str, Any]]:
    kind, facts = ledger.evidence.c.kind, ledger.evidence.c.facts
    query = select(facts).where(kind == evidence.ERASE_PART).order_by(facts["part"].as_integer())
    with tenant_session(run.engine, HERO) as connection:
        return list(connection.scalars(query))


def left(owner: Engine) -> int:
    return sum(rows(owner, table.fullname, HERO) for table in YEARS_TABLES)


def finish(run: Run) -> None:
    steps.reset(run)
    steps.verify_reset(run)
    with tenant_session(run.engine, HERO) as connection:
        chain = evidence.check(connection)
        assert not chain.broken and not chain.wrong


def test_parts_are_together_the_plan(run: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    untouched = everything(owner, OTHER, ["hero", "roster", "ledger"])
    planned = until_approved(run).rows
    steps.archive(run)
    monkeypatch.setattr(erase, "PART_ROWS", 5)
    result = steps.erase(run)
    assert len(parts(run)) > 2 and [part["part"] for part in parts(run)] == [*range(1, len(parts(run)) + 1)]
    assert all(sum(part["deleted"].values()) <= 5 or len(part["lines"]) == 1 for part in parts(run))
    assert sum(result.deleted.values()) == planned["archive"] + planned["erase"]
    assert left(owner) == 0
    finish(run)
    assert everything(owner, OTHER, ["hero", "roster", "ledger"]) == untouched


@pytest.mark.slow
def test_killed_again_and_again_it_goes_on(run: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    until_approved(run)
    steps.archive(run)
    monkeypatch.setattr(erase, "PART_ROWS", 5)
    seen, instant = {left(owner)}, 20
    while killed_at(instant, steps.erase, run):
        seen.add(left(owner))
        instant += 7
    assert len(seen) > 2, "it was killed between parts"
    assert left(owner) == 0
    lines = [tuple(line) for part in parts(run) for line in part["lines"]]
    assert len(lines) == len(set(lines)), "no part went twice"
    finish(run)


def test_what_changes_after_a_part_is_asked_about_anew(
    run: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    until_approved(run)
    steps.archive(run)
    monkeypatch.setattr(erase, "PART_ROWS", 5)
    delete_some = erase._delete

    def then_a_row_changes(connection: Connection, run: Run, lines: list[Any]) -> dict[str, int]:
        if parts(run):
            table = hero.tracking_events
            with owner.begin() as other:
                other.execute(update(table).where(table.c.tenant_id == HERO).values(points=9))
        return delete_some(connection, run, lines)

    monkeypatch.setattr(erase, "_delete", then_a_row_changes)
    with pytest.raises((ProofFailed, DatabaseFailed)):
        steps.erase(run)
    monkeypatch.setattr(erase, "_delete", delete_some)
    with pytest.raises(ProofFailed, match="changed since its plan 1 was frozen"):
        steps.erase(run)
    went, remaining = len(parts(run)), left(owner)
    assert went and remaining
    with tenant_session(run.engine, HERO) as connection:
        assert len(holds.gone_before(connection)) == went

    plan = steps.plan(run)
    assert plan.plan_no == 2 and plan.rows["archive"] + plan.rows["erase"] >= remaining
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    steps.erase(run)
    assert left(owner) == 0
    [(_, manifest)] = manifests.newest(run.storage)
    of_north = [file for file in manifest.files if file.school == NORTH and not file.bound]
    assert len(of_north) == len({file.table for file in of_north}), "no row is in the year twice"
    assert {file.plan_no for file in of_north} == {1, 2}
    finish(run)
    resumed(run)
    first, second = certificate_of(run)["disposals"]
    assert first["rows_left_to_the_next_plan"] == remaining and second["rows_left_to_the_next_plan"] == 0
    taken = [(line["school"], line["table"]) for reported in (first, second) for line in reported["lines"]]
    assert len(taken) == len(set(taken)), "each line is reported once"


def nobody_else(owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tenant has nothing in the year; its other year stays."""
    with owner.begin() as connection:
        for table in YEARS_TABLES:
            connection.execute(delete(table).where(table.c.tenant_id == OTHER, table.c.school_year == YEAR.key))
        connection.execute(text("SELECT ledger.ensure_school_year(:year)"), {"year": YEAR.previous.key})
        event = {"tenant_id": OTHER, "school_year": YEAR.previous.key, "school_id": NORTH, "event_id": 1}
        more = {"student_id": "n1", "employee_id": "e", "code_id": "c", "location": "Hall", "points": 1}
        connection.execute(insert(hero.tracking_events).values(**event, **more, occurred_at=func.now()))
    monkeypatch.setattr(erase, "EMPTIED_FROM", 1)


@pytest.fixture
def alone(run: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> Run:
    nobody_else(owner, monkeypatch)
    until_approved(run)
    steps.archive(run)
    return run


def file_of(owner: Engine, partition: str = "hero.tracking_events__y2025") -> int:
    with owner.connect() as connection:
        return connection.scalar(text("SELECT pg_relation_filenode(CAST(:name AS regclass))"), {"name": partition})


def test_a_partition_of_its_own_is_emptied(alone: Run, owner: Engine) -> None:
    before, other = file_of(owner), everything(owner, OTHER, ["hero"])
    result = steps.erase(alone)
    assert file_of(owner) != before, "a new file: the rows are not marked as dead, they are gone"
    [part] = parts(alone)
    assert set(part["deleted"]) == {EVENTS, "hero.action_assignments", "hero.points_ledger"}
    assert result.deleted == part["deleted"] and left(owner) == 0
    assert everything(owner, OTHER, ["hero"]) == other
    finish(alone)


@pytest.mark.parametrize("change", others_slow(["change", "add", "remove"]))
def test_it_is_not_emptied_of_other_rows_than_planned(alone: Run, owner: Engine, change: str) -> None:
    table = hero.points_ledger
    with owner.begin() as connection:
        match change:
            case "add":
                row = {"tenant_id": HERO, "school_year": YEAR.key, "school_id": NORTH, "entry_id": 999, "points": 1}
                connection.execute(insert(table).values(**row, student_id="n1", kind="earned", entered_at=func.now()))
            case "change":
                connection.execute(update(table).where(table.c.entry_id == 1).values(points=77))
            case _:
                connection.execute(delete(table).where(table.c.entry_id == 1))
    before = everything(owner, HERO, ["hero"])
    with pytest.raises(ProofFailed, match="changed since its plan"):
        steps.erase(alone)
    assert everything(owner, HERO, ["hero"]) == before and parts(alone) == []


def test_a_partition_with_rows_of_others_is_not_emptied(alone: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        row = {"tenant_id": OTHER, "school_year": YEAR.key, "school_id": NORTH, "entry_id": 1, "points": 1}
        more = {"student_id": "n1", "kind": "earned", "entered_at": func.now()}
        connection.execute(insert(hero.points_ledger).values(**row, **more))
    before = file_of(owner, "hero.points_ledger__y2025")
    steps.erase(alone)
    assert file_of(owner, "hero.points_ledger__y2025") == before
    assert rows(owner, "hero.points_ledger", OTHER) == 1 and left(owner) == 0
    assert "hero.points_ledger" not in parts(alone)[0]["deleted"]


def test_where_others_are_at_the_partition_its_rows_are_deleted(alone: Run, owner: Engine) -> None:
    before = file_of(owner)
    with owner.begin() as connection:
        connection.execute(text("ALTER FUNCTION ledger.lock_partition SET lock_timeout = '50ms'"))
    with owner.connect() as reader:  # a backup, say: it reads for hours
        reader.execute(text("SELECT count(*) FROM hero.tracking_events")).all()
        steps.erase(alone)
    assert file_of(owner) == before and left(owner) == 0


def test_what_is_held_keeps_its_partition(run: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody_else(owner, monkeypatch)
    with tenant_session(run.engine, HERO, exclusive=True) as connection:
        holds.place(connection, HERO, holds.LEGAL, reason="a dispute", by="lee", student_id="n1")
    until_approved(run)
    steps.archive(run)
    before = file_of(owner)
    steps.erase(run)
    assert file_of(owner) == before and rows(owner, EVENTS, HERO, student_id="n1") == rows(owner, EVENTS, HERO) > 0


def test_the_database_itself_refuses_what_would_be_unsafe(alone: Run, engine: Engine) -> None:
    statement, given = text("SELECT ledger.empty_partition(:table, :year)"), {"table": EVENTS, "year": YEAR.key}
    with pytest.raises(DatabaseFailed), tenant_session(engine, HERO, isolation="REPEATABLE READ") as connection:
        connection.execute(statement, given)
    with pytest.raises(DBAPIError, match="needs a tenant session"), engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE rollover_app"))
        connection.execute(statement, given)
    with pytest.raises(DatabaseFailed), tenant_session(engine, OTHER) as connection:
        connection.execute(statement, given)


@pytest.mark.parametrize("table", ["hero.behavior_codes", "roster.people", "ledger.evidence", "hero.nothing"])
def test_only_partitions_of_products_can_be_emptied(alone: Run, engine: Engine, table: str) -> None:
    with pytest.raises(DatabaseFailed), tenant_session(engine, HERO) as connection:
        connection.execute(text("SELECT ledger.empty_partition(:table, :year)"), {"table": table, "year": YEAR.key})
