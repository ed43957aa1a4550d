"""What is held is neither erased nor reset, the rest goes on, and the hold stands in plan, certificate and status."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from upath import UPath

from rollover import cli
from rollover.config import Catalog
from rollover.database.held import STUDENTS, is_held
from rollover.database.session import tenant_session
from rollover.database.tables import metadata, product_tables
from rollover.errors import DatabaseFailed, ProofFailed, Refused
from rollover.ledger import holds
from rollover.ledger.results import ResetVerified
from rollover.roster.applying.tidy import tidy
from rollover.roster.review.answers import Answer
from rollover.run import Run
from rollover.season.detail import detail_of
from rollover.yearend import steps
from tests.roster.test_tidy import GRACE, LATER, fewer
from tests.support.roster.stored_sets import Desk
from tests.support.sampling import others_slow
from tests.support.small_district import NORTH, SOUTH, district, everything, hero_world, imagine_world, rows, run_of
from tests.yearend.test_rollover_steps import (
    HERO,
    OTHER,
    RUN_ID,
    add_row,
    answer_to,
    certify,
    no_outbox,
    nobody,
    until_approved,
)

BY = "dana"


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def hold(run: Run, kind: str = holds.LEGAL, **of: str) -> holds.Hold:
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        return holds.place(connection, run.tenant.id, kind, reason="a dispute", by=BY, **of)


def lift(run: Run, placed: holds.Hold, by: str = "kim") -> None:
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        holds.lift(connection, run.tenant.id, placed.hold_id, reason="settled", by=by)


def held_rows(owner: Engine, tenant_id: str, where: dict[str, str]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of some tables that fit a condition, as text."""
    with owner.connect() as connection:
        return {
            name: sorted(
                connection.execute(
                    text(f"SELECT t::text FROM {name} t WHERE t.tenant_id = :t AND {fits}"), {"t": tenant_id}
                ).all()
            )
            for name, fits in where.items()
        }


def finish(run: Run) -> ResetVerified:
    steps.archive(run)
    steps.erase(run)
    steps.reset(run)
    return steps.verify_reset(run)


OF_A_STUDENT = dict.fromkeys(
    ("hero.tracking_events", "hero.action_assignments", "hero.points_ledger", "hero.point_balances"),
    "student_id = 's1'",
)


def test_a_held_student_keeps_everything_and_the_others_do_not(run: Run, owner: Engine) -> None:
    hold(run, holds.INSPECTION, student_id="s1")
    before = held_rows(owner, HERO, OF_A_STUDENT)
    assert all(before.values())
    plan = until_approved(run)
    assert plan.rows["hold"] == 4 + 1 + 4 + 1
    assert plan.rows["erase"] == 18 - 9
    assert "open inspection request 1 on one student" in plan.markdown
    assert "10 rows are on hold, and stay unchanged." in plan.markdown
    assert "s1" not in plan.markdown
    result = finish(run)
    assert held_rows(owner, HERO, OF_A_STUDENT) == before
    assert rows(owner, "hero.tracking_events", HERO) == 4
    assert rows(owner, "hero.point_balances", HERO, balance=0) == 4
    assert (result.rows_left, result.rows_held, result.reports_blank) == (0, 10, True)


def test_a_hold_on_one_student_does_not_hide_what_others_left(run: Run, owner: Engine) -> None:
    hold(run, student_id="s1")
    until_approved(run)
    for step in (steps.archive, steps.erase, steps.reset):
        step(run)
    add_row(owner, student_id="s2")
    with pytest.raises(
        ProofFailed, match=r"the report behavior_history shows 1 rows.*the report events_by_code shows 1"
    ):
        steps.verify_reset(run)


def test_what_was_held_when_the_reset_was_made_goes_with_the_next_rollover(run: Run, owner: Engine) -> None:
    placed = hold(run, student_id="s1")
    until_approved(run)
    finish(run)
    lift(run, placed)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    steps.erase(run)
    assert steps.verify_reset(run).changed_by_users_since_reset == []
    assert rows(owner, "hero.tracking_events", HERO) == 0
    assert rows(owner, "hero.point_balances", HERO, balance=0) == 4, "the one that was held is as it was"


def test_a_held_school_keeps_everything(run: Run, owner: Engine) -> None:
    hold(run, school_id=SOUTH)
    where = {table.fullname: f"school_id = '{SOUTH}'" for table in product_tables("hero")}
    before = held_rows(owner, HERO, where)
    plan = until_approved(run)
    assert "erase" not in plan.rows
    assert f"legal hold 1 on school {SOUTH}" in plan.markdown
    finish(run)
    assert held_rows(owner, HERO, where) == before
    assert rows(owner, "hero.tracking_events", HERO, school_id=NORTH) == 0


def test_a_held_district_keeps_everything_and_another_tenant_is_not_held(
    run: Run, owner: Engine, storage: UPath
) -> None:
    hold(run)
    before = everything(owner, HERO, ["hero", "roster"])
    plan = until_approved(run)
    assert set(plan.rows) == {"hold", "keep"}
    finish(run)
    assert everything(owner, HERO, ["hero", "roster"]) == before
    with tenant_session(run.engine, OTHER) as connection:
        assert holds.in_force(connection) == []


@pytest.mark.parametrize("product", ["imagine_math", "imagine_math_facts"])
def test_what_imagine_keeps_by_account_is_its_students(
    owner: Engine, engine: Engine, storage: UPath, product: str
) -> None:
    imagine_world(owner, product)
    run = run_of(engine, storage, product)
    with owner.connect() as connection:
        account = connection.scalar(
            text(f"SELECT account_id FROM {product}.student_accounts WHERE tenant_id = :t AND person_id = 'n1'"),
            {"t": run.tenant.id},
        )
    hold(run, student_id="n1")
    where = {
        table.fullname: f"account_id = '{account}'"
        for table in product_tables(product)
        if "account_id" in table.c and table.name != "educator_accounts"
    }
    before = held_rows(owner, run.tenant.id, where)
    assert sum(map(bool, before.values())) >= 4
    until_approved(run)
    finish(run)
    assert held_rows(owner, run.tenant.id, where) == before
    assert rows(owner, f"{product}.student_accounts", run.tenant.id) == 1
    assert rows(owner, f"{product}.classrooms", run.tenant.id) == 1, "the classroom of the student's seat"
    assert rows(owner, f"{product}.classroom_students", run.tenant.id) == 1


@pytest.mark.parametrize("of", others_slow([{}, {"school_id": SOUTH}, {"student_id": "n2"}]), ids=str)
def test_a_hold_that_is_set_right_before_the_erase_stops_it(run: Run, owner: Engine, of: dict[str, str]) -> None:
    until_approved(run)
    steps.archive(run)
    hold(run, **of)
    before = everything(owner, HERO, ["hero", "roster"])
    with pytest.raises(ProofFailed, match="changed since its plan 1 was frozen"):
        steps.erase(run)
    assert everything(owner, HERO, ["hero", "roster"]) == before
    again = steps.plan(run)
    assert (again.plan_no, again.rows["hold"] > 0) == (2, True)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(again))
    finish(run)


def test_a_hold_that_is_set_before_the_reset_keeps_the_points(run: Run, owner: Engine) -> None:
    until_approved(run)
    steps.archive(run)
    steps.erase(run)
    hold(run, student_id="n1")
    steps.reset(run)
    assert rows(owner, "hero.point_balances", HERO, balance=0) == 4
    assert rows(owner, "hero.points_ledger", HERO, kind="reset", student_id="n1") == 0


def test_once_it_is_lifted_what_was_held_goes_by_a_further_plan(run: Run, owner: Engine) -> None:
    placed = hold(run, student_id="s1")
    until_approved(run)
    finish(run)
    with owner.begin() as connection:
        # Here a rollover is certified without its certificate, which is not the subject.
        connection.execute(text("ALTER TABLE ledger.rollovers DISABLE TRIGGER rollover_is_certified_by_a_certificate"))
        connection.execute(text("UPDATE ledger.rollovers SET state = 'certified', finished_at = now()"))
    assert steps.guard(run, RUN_ID, nobody).go is False, "what is held is nothing that came late"
    lift(run, placed)
    assert steps.guard(run, RUN_ID, nobody).go is True
    plan = steps.plan(run)
    assert (plan.plan_no, plan.rows) == (2, {"erase": 9})
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    steps.erase(run)
    assert rows(owner, "hero.tracking_events", HERO) == 0


def test_held_rows_of_an_earlier_year_do_not_keep_the_next_from_its_rollover(run: Run, owner: Engine) -> None:
    hold(run, student_id="s1")
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE directory.tenants SET current_school_year = '2026-27' WHERE tenant_id = :t"), {"t": HERO}
        )
        connection.execute(
            text("DELETE FROM hero.tracking_events WHERE tenant_id = :t AND student_id <> 's1'"), {"t": HERO}
        )
        for name in ("action_assignments", "points_ledger"):
            connection.execute(text(f"DELETE FROM hero.{name} WHERE tenant_id = :t"), {"t": HERO})
    later = run_of(run.engine, run.storage, year=run.school_year.next, now=run.now + timedelta(days=365))
    assert steps.guard(later, "scheduled__2026-27", nobody).go is True


def test_a_second_person_lifts_a_hold(run: Run, owner: Engine) -> None:
    placed = hold(run, school_id=SOUTH)
    with pytest.raises(Refused, match="a second person lifts it"):
        lift(run, placed, by=BY)
    with pytest.raises(DatabaseFailed), tenant_session(run.engine, HERO) as connection:
        connection.execute(text("UPDATE ledger.holds SET lifted_by = set_by, lifted_at = now()"))
    lift(run, placed)
    with pytest.raises(Refused, match="has no open hold"):
        lift(run, placed)
    with owner.connect() as connection:
        kinds = connection.scalars(text("SELECT kind FROM ledger.evidence WHERE tenant_id = :t"), {"t": HERO}).all()
    assert kinds == ["hold_set", "hold_lifted"]


@pytest.mark.parametrize("statement", ["DELETE FROM ledger.holds", "UPDATE ledger.holds SET school_id = 'other'"])
def test_the_role_that_works_cannot_remove_or_change_a_hold(run: Run, statement: str) -> None:
    hold(run)
    with pytest.raises(DatabaseFailed), tenant_session(run.engine, HERO) as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    "of", [{"school_id": "nowhere"}, {"student_id": "nobody"}, {"school_id": NORTH, "student_id": "n1"}], ids=str
)
def test_a_hold_that_would_protect_nothing_is_refused(run: Run, of: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        hold(run, **of)
    assert "nobody" not in str(refused.value)


def test_the_certificate_lists_data_on_hold_and_names_no_student(run: Run, owner: Engine) -> None:
    hold(run, holds.INSPECTION, student_id="s1")
    until_approved(run)
    finish(run)
    with owner.begin() as connection:
        connection.execute(text("UPDATE ledger.rollovers SET is_current = false WHERE tenant_id = :t"), {"t": HERO})
    issued = UPath(certify(run).path).read_text()
    (disposal,) = json.loads(issued)["certificate"]["disposals"]
    assert sum(row["rows"] for row in disposal["held"]) == 10
    assert {row["why"][:25] for row in disposal["held"]} == {"open inspection request 1"}
    assert {row["remaining"] for row in disposal["tables"]} == {0}
    assert "s1" not in issued


def test_the_status_lists_holds_and_names_no_student(run: Run) -> None:
    hold(run, holds.INSPECTION, student_id="s1")
    with tenant_session(run.engine, HERO) as connection:
        known = Catalog({run.district.district: run.district}, {run.product.product: run.product}, ())
        found = detail_of(connection, known, LATER)
    (hold_in_words,) = found.holds
    assert hold_in_words.startswith("open inspection request 1 on one student since") and "set by" in hold_in_words
    assert hold_in_words in found.sentences
    assert "s1" not in str(found)


def test_every_product_table_knows_the_rows_on_hold(run: Run) -> None:
    with tenant_session(run.engine, HERO) as connection:
        for table in product_tables("hero"):
            connection.execute(text(f"SELECT count(*) FROM {table.fullname} t WHERE {is_held(table)}")).one()
    personal = {"student_id", "person_id", "account_id", "classroom_id"}
    for product in ("hero", "imagine_math", "imagine_math_facts"):
        for table in product_tables(product):
            if personal & set(metadata.tables[table.fullname].c.keys()):
                assert STUDENTS in is_held(table), table.fullname


@pytest.fixture
def desk(owner: Engine, engine: Engine, storage: UPath) -> Desk:
    return Desk(owner, engine, storage, "hero")


def test_who_sets_a_hold_is_reported_what_went_before(
    run: Run,
    login_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = district().model_dump(mode="json", exclude_defaults=True)
    file["products"] = {"hero": file["products"]["hero"]}
    (tmp_path / "riverside-ca.yaml").write_text(json.dumps(file))
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(tmp_path))
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", login_of("dana"))
    call = ["hold", "set", HERO, "--kind", "legal", "--reason", "a dispute", "--student", "n1"]
    assert cli.main(call) == 0
    assert "went before" not in capsys.readouterr().out
    until_approved(run)
    finish(run)
    assert cli.main(call) == 0
    said = capsys.readouterr().out
    assert f"not held, because it was already erased: {run.id}: 18 rows were erased for good on" in said
    assert "n1" not in said


def test_rows_of_the_roster_that_are_held_outlast_their_grace(desk: Desk) -> None:
    desk.take(desk.town)
    one, other = desk.town.students("ash", "01")[:2]
    desk.take(fewer(desk))
    with tenant_session(desk.engine, desk.tenant_id, exclusive=True) as connection:
        holds.place(connection, desk.tenant_id, holds.LEGAL, reason="a dispute", by=BY, student_id=one)
    tidy(desk.engine, desk.tenant_id, desk.storage, grace_days=GRACE, now=LATER)
    gone = "SELECT sourced_id FROM roster.people WHERE role = 'student' AND status = 'tobedeleted'"
    assert desk.query(gone) == [(one,)]
    assert desk.query(f"SELECT count(*) FROM roster.enrollments WHERE person_id = '{one}'")[0][0] > 0
    assert desk.query(f"SELECT count(*) FROM roster.guardians WHERE student_id = '{one}'") == [(1,)]
    assert desk.query(f"SELECT count(*) FROM roster.enrollments WHERE person_id = '{other}'") == [(0,)]


def test_a_student_who_gets_another_id_is_still_held(desk: Desk) -> None:
    desk.take(desk.town)
    one = desk.town.students("ash", "01")[0]
    with tenant_session(desk.engine, desk.tenant_id, exclusive=True) as connection:
        holds.place(connection, desk.tenant_id, holds.LEGAL, reason="a dispute", by=BY, student_id=one)
    after = desk.town.copy()
    after.rekey(after.students("ash", "01"))
    import_id = desk.drop(after)
    desk.decide(import_id, Answer.APPROVE_WITH_ID_MAP)
    assert desk.apply(import_id)["applied"] is True
    (new,) = desk.query(f"SELECT new_id FROM ledger.id_maps WHERE old_id = '{one}'")[0]
    balances = metadata.tables["hero.point_balances"]
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        held = text(f"SELECT student_id FROM hero.point_balances t WHERE {is_held(balances)}")
        assert connection.scalars(held).all() == [new]
