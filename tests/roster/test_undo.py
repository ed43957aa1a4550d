"""An import that is undone leaves the roster, and what the product has of it, as they were before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.database.session import tenant_session
from rollover.errors import ProofFailed, Refused
from rollover.ledger import evidence, pause
from rollover.roster.imports.queue import awaited_import, pending
from rollover.roster.review.answers import Answer
from rollover.sftp.drops import known_fingerprints
from tests.roster.conftest import District
from tests.support.roster.school_years import Town
from tests.support.roster.small_set import row_of, whole_set
from tests.support.roster.stored_sets import Desk
from tests.support.sampling import others_slow

PRODUCTS = ("hero", "imagine_math", "imagine_math_facts")
NEXT = "2026-27"


@pytest.fixture(params=["hero"])
def desk(request: pytest.FixtureRequest, owner: Engine, engine: Engine, storage: UPath) -> Desk:
    return Desk(owner, engine, storage, request.param)


every_product = pytest.mark.parametrize("desk", others_slow(PRODUCTS), indirect=True)
imagine = pytest.mark.parametrize("desk", others_slow(PRODUCTS[1:]), indirect=True)


def some_leave(town: Town) -> Town:
    """A few weeks later: two of a grade have left, and a teacher."""
    after = town.copy()
    after.leave(after.students("ash", "01")[:2])
    after.retire(after.of_role("teacher")[:1])
    return after


def much_happens(town: Town, leavers: Town) -> Town:
    """One of the leavers is back in another grade; others come, go, move, and are called otherwise."""
    after = leavers.copy()
    back = [person for person in town.people if person not in leavers.people][:2]
    after.people |= {person: town.people[person] for person in back}
    after.change(after.students("ash", "KG")[:3], lambda person: replace(person, grade="01"))
    after.leave(after.students("bay", "05")[:2])
    after.move(after.students("bay", "04")[:2], "ash")
    after.arrive("ash", "02", 3)
    after.hire("bay")
    after.change(after.of_role("teacher")[:2], lambda person: replace(person, number=person.number + 500))
    return after


@every_product
def test_what_an_import_did_within_a_year_is_undone(desk: Desk) -> None:
    fewer = some_leave(desk.town)
    desk.take(desk.town)
    first = desk.take(fewer)
    before, version = desk.everything(), desk.version
    second = desk.take(much_happens(desk.town, fewer))
    changes = desk.found(second).details.changes
    assert all(changes["people"][change] for change in ("added", "returned", "changed", "removed"))
    after = desk.everything()
    assert {name for name in before if before[name] != after[name]} >= {
        "roster.people",
        "roster.guardians",
        "roster.enrollments",
    }

    done = desk.undo()
    assert (done["import_id"], done["state"], done["reason"]) == (second, "undone", "the wrong files")
    assert desk.everything() == before
    assert desk.version == version + 2, "the comparison of a set that is ready holds no longer"
    assert desk.query("SELECT count(*) FROM roster.history") == [(0,)]
    assert desk.found(first).state == "applied"


@every_product
def test_a_first_import_is_undone_to_nothing(desk: Desk) -> None:
    before = desk.everything()
    import_id = desk.take(desk.town)
    assert desk.everything() != before
    done = desk.undo(import_id)
    assert desk.everything() == before
    assert done["details"]["undone"]["roster"]["people"] == len(desk.town.people)


@every_product
def test_the_first_import_of_a_year_is_undone_with_the_grades_that_it_noted(desk: Desk) -> None:
    desk.take(desk.town)
    desk.run("UPDATE roster.people SET last_year_grade = 'KG' WHERE grade = '01'")
    desk.begin_year(NEXT)
    before = desk.everything()
    desk.take(desk.town.next_year())
    assert desk.query("SELECT count(*) FROM roster.people WHERE last_year_grade = '01'") == [(12,)]
    desk.undo()
    assert desk.everything() == before
    assert desk.query("SELECT count(*) FROM roster.people WHERE last_year_grade = 'KG'") == [(12,)]


@imagine
def test_what_the_product_had_before_its_first_roster_is_there_again(desk: Desk) -> None:
    """Accounts, a classroom and a seat that nobody's files have: the import changes them, and the undo changes back."""
    its, student = desk.product, desk.town.students("ash", "KG")[0]
    desk.run(
        f"INSERT INTO {its}.student_accounts VALUES (:t, 'bay', 'mine', :p, 'old-name', '05', '3+', now())",
        t=desk.tenant_id,
        p=student,
    )
    desk.run(f"INSERT INTO {its}.classrooms VALUES (:t, 'ash', 'room', 'ash-KG-2025-26', 'Old', 'x')", t=desk.tenant_id)
    desk.run(f"INSERT INTO {its}.classrooms VALUES (:t, 'ash', 'other', 'no-class', 'Club', NULL)", t=desk.tenant_id)
    desk.run(f"INSERT INTO {its}.classroom_students VALUES (:t, 'ash', 'other', 'mine')", t=desk.tenant_id)
    before = desk.everything()
    desk.take(desk.town)
    after = desk.everything()
    assert before[f"{its}.student_accounts"][0] not in after[f"{its}.student_accounts"], "it follows the roster"
    assert before[f"{its}.classroom_students"][0] not in after[f"{its}.classroom_students"], "no enrollment says so"
    assert len(after[f"{its}.classroom_students"]) == len(desk.town.students())
    desk.undo()
    assert desk.everything() == before


@imagine
def test_an_account_that_was_used_since_stays(desk: Desk) -> None:
    its = desk.product
    desk.take(desk.town)
    used, student = desk.query(f"SELECT account_id, person_id FROM {its}.student_accounts LIMIT 1")[0]
    desk.run(
        f"INSERT INTO {its}.usage VALUES (:t, '2025-26', 'ash', :a, '2026-01-05', 30, 12)", t=desk.tenant_id, a=used
    )
    done = desk.undo()
    assert desk.query(f"SELECT account_id, person_id FROM {its}.student_accounts") == [(used, student)]
    assert desk.query(f"SELECT count(*) FROM {its}.classrooms") == [(0,)]
    assert done["details"]["undone"]["product"]["student_accounts_removed"] == len(desk.town.students()) - 1


def test_a_balance_that_was_used_since_stays(desk: Desk) -> None:
    desk.take(desk.town)
    earning, spending, *_ = desk.town.students()
    desk.run("UPDATE hero.point_balances SET balance = 5, as_of = now() WHERE student_id = :s", s=earning)
    desk.run(
        "INSERT INTO hero.points_ledger VALUES (:t, '2025-26', 'ash', 1, :s, 'earned', 5, now())",
        t=desk.tenant_id,
        s=spending,
    )
    done = desk.undo()
    assert desk.query("SELECT student_id FROM hero.point_balances ORDER BY 1") == sorted([(earning,), (spending,)])
    assert done["details"]["undone"]["product"] == {"point_balances_removed": len(desk.town.students()) - 2}


def test_a_student_with_points_keeps_them_when_an_import_is_undone(desk: Desk) -> None:
    """The balance was there before the import, and so it is after the undo, with what happened to it meanwhile."""
    desk.take(some_leave(desk.town))
    desk.take(desk.town)
    student = desk.town.students("bay")[0]
    desk.run("UPDATE hero.point_balances SET balance = 5 WHERE student_id = :s", s=student)
    desk.undo()
    assert desk.query("SELECT balance FROM hero.point_balances WHERE student_id = :s", s=student) == [(5,)]


# What is undone, and in which order


def test_only_the_last_import_can_be_undone(desk: Desk) -> None:
    first = desk.take(desk.town)
    second = desk.take(some_leave(desk.town))
    with pytest.raises(Refused, match=f"Import {second} was applied after {first}"):
        desk.undo(first)
    desk.undo(second)
    after = desk.everything()
    assert desk.undo(second)["state"] == "undone", "again, it says so"
    with pytest.raises(Refused, match=f"The last import, {second}, is undone already"):
        desk.undo()
    assert desk.everything() == after
    assert desk.found(first).state == "applied"


def test_an_import_that_changed_nothing_does_not_keep_the_one_before_from_being_undone(desk: Desk) -> None:
    desk.take(desk.town)
    before = desk.everything()
    changing = desk.take(some_leave(desk.town))
    version, after = desk.version, desk.everything()
    idle = desk.take(some_leave(desk.town))
    assert desk.undo()["import_id"] == idle
    assert (desk.version, desk.everything()) == (version, after)
    assert desk.undo(changing)["state"] == "undone"
    assert desk.everything() == before


@every_product
def test_an_import_of_which_the_history_is_gone_is_not_undone(desk: Desk) -> None:
    """It went when the next one changed something; that this one was undone does not bring it back."""
    first = desk.take(desk.town)
    second = desk.take(some_leave(desk.town))
    desk.undo(second)
    before = desk.everything()
    with pytest.raises(Refused, match=f"What {first} removed or changed is not kept any more: another import"):
        desk.undo(first)
    assert desk.everything() == before
    assert desk.take(some_leave(desk.town)) is not None


def test_only_what_was_applied_can_be_undone(desk: Desk) -> None:
    with pytest.raises(Refused, match="No import of this tenant was applied"):
        desk.undo()
    import_id = desk.drop(desk.town)
    with pytest.raises(Refused, match="is ready: it was not applied"):
        desk.undo(import_id)


def test_an_import_of_a_year_that_is_over_is_not_undone(desk: Desk) -> None:
    desk.take(desk.town)
    desk.begin_year(NEXT)
    with pytest.raises(Refused, match="of 2025-26, which is over: the tenant is in 2026-27"):
        desk.undo()


def test_a_roster_that_something_else_changed_is_not_half_undone(desk: Desk) -> None:
    desk.take(desk.town)
    import_id = desk.take(some_leave(desk.town))
    desk.run(
        "DELETE FROM roster.people WHERE sourced_id IN (SELECT sourced_id FROM roster.people "
        "WHERE status = 'tobedeleted' LIMIT 1)"
    )
    before = desk.everything()
    with pytest.raises(ProofFailed, match=r"roster\.people is not as .* left it: 4 rows removed, not 5"):
        desk.undo()
    assert desk.everything() == before
    assert desk.found(import_id).state == "applied"


def test_another_tenant_is_not_touched(desk: Desk) -> None:
    """Its rows have the same ids, and even the same import's id."""
    desk.take(desk.town)
    desk.run("INSERT INTO directory.districts VALUES ('shelbyville-il', 'B', 'b')")
    other = "hero__shelbyville-il"
    desk.run("INSERT INTO directory.tenants VALUES (:o, 'shelbyville-il', 'hero', '2025-26')", o=other)
    for name in ("roster.people", "hero.point_balances"):
        columns = desk.query(
            "SELECT string_agg(column_name, ',') FROM information_schema.columns "
            "WHERE table_schema || '.' || table_name = :name AND column_name <> 'tenant_id'",
            name=name,
        )
        desk.run(f"INSERT INTO {name} (tenant_id, {columns[0][0]}) SELECT :o, {columns[0][0]} FROM {name}", o=other)
    mine = desk.query("SELECT count(*) FROM roster.people")[0][0] // 2
    desk.undo()
    assert desk.query("SELECT tenant_id, count(*) FROM roster.people GROUP BY 1") == [(other, mine)]


# Records


def test_it_is_on_record_who_undid_what_and_why(desk: Desk) -> None:
    import_id = desk.take(desk.town)
    desk.undo()
    ((facts,),) = desk.query("SELECT facts FROM ledger.evidence WHERE kind = 'import_undone'")
    assert (facts["import_id"], facts["by"], facts["why"]) == (import_id, "dana", "the wrong files")
    assert facts["rows"]["roster"]["people"] == len(desk.town.people)
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        assert evidence.check(connection).broken == ()


def test_a_drop_that_was_undone_comes_back_only_when_a_person_wants_it_anew(
    district: District,
) -> None:
    rows = whole_set()
    first = district.take_rows(rows)["import_id"]
    district.apply(first)
    row_of(rows, "users", "student-1")["grades"] = "03"
    second = district.take_rows(rows)["import_id"]
    district.apply(second)
    district.undo()
    assert pending(district.engine, district.tenant_id) == []
    with tenant_session(district.engine, district.tenant_id) as connection:
        assert awaited_import(connection, "2025-26") == first
        assert known_fingerprints(connection), "what lies on SFTP is still the drop that was recorded"
    assert district.apply(second) | {"details": None} == {
        "import_id": second,
        "state": "undone",
        "school_year": "2025-26",
        "reason": "the wrong files",
        "details": None,
        "applied": False,
    }

    third = district.take_rows(rows)
    assert "unchanged" not in third["details"], "the same files as those that were undone: not those that are live"
    assert (third["state"], third["reason"]) == ("in_review", "over its limits: seen_before (1)")
    assert district.apply(third["import_id"])["applied"] is False
    district.decide(third["import_id"], Answer.APPROVE)
    assert district.apply(third["import_id"])["applied"] is True
    assert district.rows("SELECT grade FROM roster.people WHERE sourced_id = 'student-1'") == [("03",)]


# Rollovers


def begin_rollover(desk: Desk, *, state: str = "running", is_current: bool = True) -> str:
    rollover_id = f"{desk.tenant_id}__2025-26"
    desk.run(
        "INSERT INTO ledger.rollovers (rollover_id, tenant_id, school_year, reset_date, reset_at, state, run_id, "
        "is_current) VALUES (:r, :t, '2025-26', '2026-07-28', '2026-07-28', :s, 'run', :c)",
        r=rollover_id,
        t=desk.tenant_id,
        s=state,
        c=is_current,
    )
    return rollover_id


@pytest.mark.parametrize("is_current", [True, False])
def test_nothing_is_undone_under_a_plan(desk: Desk, is_current: bool) -> None:
    desk.take(desk.town)
    begin_rollover(desk, is_current=is_current)
    with pytest.raises(
        Refused, match=r"2025-26 is under way\. To go on: undo the import when the rollover is finished"
    ):
        desk.undo()
    desk.run("ALTER TABLE ledger.rollovers DISABLE TRIGGER rollover_is_certified_by_a_certificate")
    desk.run("UPDATE ledger.rollovers SET state = 'certified'")
    assert desk.undo()["state"] == "undone"


@pytest.mark.parametrize("state", others_slow(["running", "certified"]))
def test_the_roster_that_a_rollover_took_in_stays(desk: Desk, state: str) -> None:
    desk.take(desk.town)
    rollover_id = begin_rollover(desk, state=state)
    desk.begin_year(NEXT)
    awaited = desk.drop(desk.town.next_year())
    desk.apply(awaited, rollover_id=rollover_id)
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        pause.begin(connection, desk.tenant_id, by=rollover_id, reason="test")
        evidence.record(connection, desk.tenant_id, "import_roster", {"import_id": awaited}, rollover_id)
    with pytest.raises(Refused, match=f"{rollover_id} took {awaited} in as the new year's roster"):
        desk.undo()
    assert desk.found(awaited).state == "applied"


def test_a_new_roster_that_no_rollover_has_recorded_yet_can_be_undone(desk: Desk) -> None:
    desk.take(desk.town)
    rollover_id = begin_rollover(desk)
    desk.begin_year(NEXT)
    before = desk.everything()
    awaited = desk.drop(desk.town.next_year())
    desk.apply(awaited, rollover_id=rollover_id)
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        pause.begin(connection, desk.tenant_id, by=rollover_id, reason="test")
    assert desk.undo()["state"] == "undone"
    assert desk.everything() == before
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        assert awaited_import(connection, NEXT) is None, "the rollover waits for another drop"
