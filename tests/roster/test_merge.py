"""What a set changes once it was decided about, whatever the roster was before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from upath import UPath

from rollover.database.session import connect, tenant_session
from rollover.errors import ProofFailed, Refused
from rollover.roster.applying import bulk
from rollover.roster.comparing import diff
from rollover.roster.comparing.diff import write_differences, written_counts
from rollover.roster.imports.files import diff_file
from rollover.roster.review.answers import Answer
from rollover_demo.postgres import LOGIN, PostgresServer
from tests.conftest import TEMPLATE
from tests.support.roster.school_years import Rows, Town
from tests.support.roster.stored_sets import Desk, Everything, expected
from tests.support.sampling import cases, others_slow
from tests.support.small_district import unguarded

PRODUCTS = ("hero", "imagine_math", "imagine_math_facts")


@pytest.fixture(params=["hero"])
def desk(request: pytest.FixtureRequest, owner: Engine, engine: Engine, storage: UPath) -> Desk:
    return Desk(owner, engine, storage, request.param)


@pytest.fixture(autouse=True)
def as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs is found as in a large set, by the hashes; the other tests compare small ones as they are."""
    monkeypatch.setattr(diff, "SMALL", 0)


def half(town: Town) -> Town:
    """Over the limits: half of a school is missing, everybody else is called otherwise, and a child is new."""
    after = town.copy()
    after.leave(after.students("ash")[::2])
    after.change(list(after.people), lambda person: replace(person, number=person.number + 500))
    after.arrive("bay", "05", 1)
    return after


# Decisions


def test_a_set_that_is_held_is_not_applied(desk: Desk) -> None:
    desk.take(desk.town)
    before = desk.everything()
    held = desk.drop(half(desk.town))
    assert desk.apply(held) | {"details": None, "reason": None} == {
        "import_id": held,
        "state": "in_review",
        "school_year": "2025-26",
        "reason": None,
        "details": None,
        "applied": False,
    }
    assert desk.everything() == before


def test_an_approved_set_is_applied_whole(desk: Desk) -> None:
    desk.take(desk.town)
    held = desk.drop(half(desk.town))
    desk.decide(held, Answer.APPROVE)
    assert desk.apply(held)["applied"] is True
    assert desk.live() == expected(half(desk.town))


def test_of_additions_only_what_is_live_stays_as_it_is(desk: Desk) -> None:
    first = desk.take(desk.town)
    before = desk.everything()
    held = desk.drop(half(desk.town))
    desk.decide(held, Answer.ADDITIONS_ONLY)
    details = desk.apply(held)["details"]
    left_out = details["applied"]["left_out"]
    assert details["changes"]["people"] == {"added": 2, "returned": 0, "changed": 0, "unchanged": 0, "removed": 0}
    assert left_out["people"]["changed"] > 50 and left_out["people"]["removed"] == 48
    after = desk.everything()
    for name, rows in before.items():
        assert set(map(repr, rows)) <= set(map(repr, after[name])), name
    assert desk.query("SELECT import_id, count(*) FROM roster.people GROUP BY 1 ORDER BY 1") == [
        (first, len(desk.town.people)),
        (held, 2),
    ]
    assert desk.undo(held)["state"] == "undone"
    assert desk.everything() == before


def test_who_had_left_returns_with_additions_only(desk: Desk) -> None:
    fewer = desk.town.copy()
    fewer.leave(fewer.students("bay", "04")[:1])
    desk.take(desk.town)
    desk.take(fewer)
    returning = half(desk.town)
    held = desk.drop(returning)
    desk.decide(held, Answer.ADDITIONS_ONLY)
    changes = desk.apply(held)["details"]["changes"]
    assert (changes["people"]["returned"], changes["guardians"]["returned"]) == (2, 1)
    assert desk.query("SELECT count(*) FROM roster.people WHERE status = 'tobedeleted'") == [(0,)]


def test_an_additions_only_set_is_not_what_is_live(desk: Desk) -> None:
    """So the full set, when it comes after all, is compared and applied."""
    desk.take(desk.town)
    held = desk.drop(half(desk.town))
    desk.decide(held, Answer.ADDITIONS_ONLY)
    desk.apply(held)
    again = desk.drop(half(desk.town))
    assert desk.found(again).state == "in_review"
    desk.decide(again, Answer.APPROVE)
    desk.apply(again)
    assert desk.live() == expected(half(desk.town))


def test_a_set_that_goes_live_supersedes_the_older_ones_that_are_held(desk: Desk) -> None:
    desk.take(desk.town)
    held = desk.drop(half(desk.town))
    good = desk.drop(desk.town)
    desk.run("UPDATE ledger.imports SET state = 'in_review' WHERE import_id = :i", i=held)
    assert desk.apply(good)["applied"] is True
    assert (desk.found(held).state, desk.found(held).reason) == ("superseded", f"import {good} is newer and applied")


def test_an_approval_of_other_numbers_lets_nothing_in(desk: Desk) -> None:
    desk.take(desk.town)
    held = desk.drop(half(desk.town))
    desk.decide(held, Answer.APPROVE)
    desk.run("UPDATE roster.people SET status = 'tobedeleted' WHERE sourced_id = :p", p=desk.town.students("ash")[0])
    desk.run("UPDATE ledger.roster_versions SET version = version + 1")
    before = desk.everything()
    applied = desk.apply(held)
    assert (applied["state"], applied["applied"]) == ("in_review", False)
    assert desk.everything() == before


# People with other ids


def rekeyed(desk: Desk) -> tuple[Town, dict[str, str]]:
    """A class, its teacher and two parents have other ids; a few things change besides."""
    town = desk.town.copy()
    students = town.students("ash", "01")
    ids = town.rekey([*students, str(town.people[students[0]].guardian), str(town.people[students[1]].guardian)])
    ids |= town.rekey(town.of_role("teacher")[:1])
    town.leave(town.students("bay", "06")[:1])
    town.arrive("bay", "05", 1)
    return town, ids


@pytest.mark.parametrize("desk", others_slow(PRODUCTS), indirect=True)
def test_people_with_other_ids_keep_all_that_the_product_has_of_them(desk: Desk) -> None:
    desk.take(desk.town)
    student, teacher = desk.town.students("ash", "01")[0], desk.town.of_role("teacher")[0]
    parent = str(desk.town.people[student].guardian)
    if desk.product == "hero":
        people = {"employee_id": teacher, "person_id": parent, "student_id": student}
        desk.run("DELETE FROM hero.point_balances WHERE student_id = :s", s=student)
        desk.use_people(people)
    places = {person: desk.places_of(person) for person in (student, teacher, parent)}
    assert all(places[person] for person in (student, teacher)) and (places[parent] or desk.product != "hero")
    before = desk.everything()

    town, ids = rekeyed(desk)
    held = desk.drop(town)
    desk.decide(held, Answer.APPROVE_WITH_ID_MAP)
    applied = desk.apply(held)
    assert applied["applied"] is True
    assert desk.live() == expected(town)
    for person, its in places.items():
        assert desk.places_of(person) == set(), "nothing is left under the old id"
        assert desk.places_of(ids[person]) == its
    renamed = applied["details"]["applied"]["renamed"]
    assert renamed["roster.people"] == len(ids)
    assert sum(renamed.values()) > len(ids)
    assert applied["details"]["changes"]["people"]["removed"] == 2, "who left, and nobody else"
    # Only who is new gets an account or a balance.
    provisioned = applied["details"]["applied"]["provisioned"]
    assert {name: n for name, n in provisioned.items() if name.endswith("_added") and n} in (
        {"point_balances_added": 1},
        {"student_accounts_added": 1, "classroom_students_added": 1},
    )

    undone = desk.undo()
    assert desk.everything() == before
    assert undone["details"]["undone"]["product"]["renamed_back"] == sum(renamed.values())


def test_what_came_under_a_new_id_goes_back_with_it(desk: Desk) -> None:
    desk.take(desk.town)
    student = desk.town.students("ash", "01")[0]
    town, ids = rekeyed(desk)
    held = desk.drop(town)
    desk.decide(held, Answer.APPROVE_WITH_ID_MAP)
    desk.apply(held)
    desk.run("UPDATE hero.point_balances SET balance = 7 WHERE student_id = :s", s=ids[student])
    desk.run(
        "INSERT INTO hero.points_ledger VALUES (:t, '2025-26', 'ash', 1, :s, 'earned', 7, now())",
        t=desk.tenant_id,
        s=ids[student],
    )
    desk.undo()
    assert desk.query("SELECT balance FROM hero.point_balances WHERE student_id = :s", s=student) == [(7,)]
    assert desk.query("SELECT student_id FROM hero.points_ledger") == [(student,)]


@pytest.mark.parametrize("in_the_way", ["the new id is in use", "the old id has left", "one new id for two"])
def test_an_id_map_that_would_make_one_person_of_two_is_refused(desk: Desk, in_the_way: str) -> None:
    desk.take(desk.town)
    town, ids = rekeyed(desk)
    held = desk.drop(town)
    desk.decide(held, Answer.APPROVE_WITH_ID_MAP)
    old, other = desk.town.students("ash", "01")[:2]
    if in_the_way == "the new id is in use":
        desk.run("UPDATE hero.point_balances SET student_id = :n WHERE student_id = :o", n=ids[old], o=other)
    elif in_the_way == "the old id has left":
        desk.run("DELETE FROM roster.people WHERE sourced_id = :o", o=old)
    else:
        with desk.owner.begin() as connection:
            unguarded(connection, "id_maps")
        desk.run("UPDATE ledger.id_maps SET new_id = :n WHERE old_id = :o", n=ids[old], o=other)
    before = desk.everything()
    with pytest.raises(Refused, match=f"The id map of {held} cannot be applied"):
        desk.apply(held)
    assert desk.everything() == before
    assert desk.found(held).state == "ready"


# Differences that do not hold


def test_differences_that_are_lost_or_of_an_older_roster_are_found_anew(desk: Desk) -> None:
    desk.take(desk.town)
    import_id = desk.drop(half(desk.town))
    desk.decide(import_id, Answer.APPROVE)
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        written = written_counts(connection, import_id, desk.storage)
        assert written == desk.found(import_id).details.changes
    desk.run("UPDATE ledger.roster_versions SET version = version + 1")
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        assert written_counts(connection, import_id, desk.storage) is None
        assert write_differences(connection, import_id, desk.storage) == written
        assert written_counts(connection, import_id, desk.storage) == written
        diff_file(desk.storage, import_id, "people").unlink()
        assert written_counts(connection, import_id, desk.storage) is None
    assert desk.apply(import_id)["applied"] is True
    assert desk.live() == expected(half(desk.town))


def test_other_rows_than_expected_let_nothing_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody had written to the roster around the tenant's lock."""
    desk.take(desk.town)
    import_id = desk.drop(half(desk.town))
    desk.decide(import_id, Answer.APPROVE)
    desk.run("DELETE FROM roster.enrollments WHERE sourced_id = (SELECT min(sourced_id) FROM roster.enrollments)")
    before = desk.everything()
    with pytest.raises(ProofFailed, match=r"rows of roster\.enrollments were removed, not"):
        desk.apply(import_id)
    assert desk.everything() == before


def test_the_history_is_that_of_the_last_import_that_changed_something(desk: Desk) -> None:
    desk.take(desk.town)
    fewer = desk.town.copy()
    fewer.leave(fewer.students("bay", "04")[:1])
    second = desk.take(fewer)
    assert {row[0] for row in desk.query("SELECT DISTINCT import_id FROM roster.history")} == {second}
    desk.take(fewer)
    assert {row[0] for row in desk.query("SELECT DISTINCT import_id FROM roster.history")} == {second}
    third = desk.take(desk.town)
    assert {row[0] for row in desk.query("SELECT DISTINCT import_id FROM roster.history")} == {third}


# Whatever comes

IDS = ("", "a", "b", 'q"uote', "com,ma", "back\\slash", "new\nline", "Zoë", "\\.", "{}", "NULL", " x ")


@st.composite
def rosters(draw: st.DrawFn) -> Rows:
    """Rows as they may come: any key can be there or not, with values that are awkward in CSV or in an array."""
    awkward = st.sampled_from(IDS)
    keys = st.sets(st.sampled_from(IDS[1:]), max_size=6)
    lists = st.lists(awkward, max_size=3)
    maybe = st.none() | awkward
    days = st.dates(date(1990, 1, 1), date(2030, 12, 31))
    dates = st.none() | days

    def table(**values: st.SearchStrategy[Any]) -> list[dict[str, Any]]:
        return [{"sourced_id": key, **{name: draw(value) for name, value in values.items()}} for key in draw(keys)]

    pairs = draw(st.sets(st.tuples(st.sampled_from(IDS[1:]), st.sampled_from(IDS[1:])), max_size=6))
    return {
        "orgs": table(name=awkward, type=st.sampled_from(["school", "district"]), identifier=maybe, parent_id=maybe),
        "academic_sessions": table(
            title=awkward,
            type=st.just("schoolYear"),
            start_date=days,
            end_date=days,
            parent_id=maybe,
            school_year=st.just("2025-26"),
        ),
        "courses": table(title=awkward, course_code=maybe, grades=lists, org_id=awkward, school_year_session_id=maybe),
        "classes": table(
            title=awkward,
            class_code=maybe,
            class_type=awkward,
            course_id=awkward,
            school_id=awkward,
            term_ids=lists,
            grades=lists,
            periods=lists,
            location=maybe,
        ),
        "people": table(
            role=st.sampled_from(["student", "teacher", "parent"]),
            given_name=awkward,
            middle_name=maybe,
            family_name=awkward,
            username=awkward,
            email=maybe,
            identifier=maybe,
            birth_date=dates,
            grade=st.none() | st.sampled_from(["KG", "02", "05"]),
            school_ids=lists,
            enabled=st.booleans(),
        ),
        "guardians": [{"student_id": student, "guardian_id": guardian} for student, guardian in pairs],
        "enrollments": table(
            class_id=st.sampled_from(IDS[1:]),
            school_id=awkward,
            person_id=st.sampled_from(IDS[1:]),
            role=st.sampled_from(["student", "teacher"]),
            primary=st.none() | st.booleans(),
            begin_date=dates,
            end_date=dates,
        ),
    }


@pytest.fixture(scope="module", params=["hero", "imagine_math"])
def long_desk(
    request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """A tenant for many sets in turn."""
    name = f"merges_{request.param}"
    postgres.create(name, template=TEMPLATE)
    storage = UPath(f"file://{tmp_path_factory.mktemp(name)}")
    yield Desk(connect(postgres.url(name)), connect(postgres.url(name, user=LOGIN)), storage, request.param)
    postgres.drop(name)


@pytest.mark.slow
@settings(max_examples=cases(5, 50), deadline=None, suppress_health_check=list(HealthCheck))
@given(first=rosters(), second=rosters())
def test_any_set_goes_live_as_it_is_and_can_be_undone(long_desk: Desk, first: Rows, second: Rows) -> None:
    """After whatever was live before: the roster that this test leaves is what the next example begins with."""
    assert live_after(long_desk, first) == expected(first)
    before, kept = long_desk.everything(), accounts_of(long_desk)
    assert live_after(long_desk, second) == expected(second)
    assert kept <= accounts_of(long_desk)
    assert_seated_as_enrolled(long_desk)
    long_desk.undo()
    assert long_desk.everything() == before


def live_after(desk: Desk, rows: Rows) -> Everything:
    import_id = desk.drop(rows)
    if desk.found(import_id).state == "in_review":
        desk.decide(import_id, Answer.APPROVE)
    assert desk.apply(import_id)["applied"] is True
    return desk.live()


def assert_seated_as_enrolled(desk: Desk) -> None:
    """Each import moves only the students it touched; the result must be the same as seating everybody again."""
    if desk.product == "hero":
        return
    its = desk.product
    assert set(desk.query(f"SELECT classroom_id, account_id FROM {its}.classroom_students")) == set(
        desk.query(
            f"SELECT r.classroom_id, a.account_id FROM roster.enrollments e "
            f"JOIN {its}.classrooms r ON r.class_id = e.class_id "
            f"JOIN {its}.student_accounts a ON a.person_id = e.person_id "
            "WHERE e.status = 'active' AND e.role = 'student'"
        )
    )


def accounts_of(desk: Desk) -> set[Any]:
    """What a product never loses by an import."""
    column, table = ("account_id", "student_accounts") if desk.product != "hero" else ("student_id", "point_balances")
    return set(desk.query(f"SELECT {column} FROM {desk.product}.{table}"))


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_slices_of_any_size_make_the_same_roster(desk: Desk, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "SLICE_ROWS", size)
    desk.take(desk.town)
    assert desk.live() == expected(desk.town)
    before = desk.everything()
    held = desk.drop(half(desk.town))
    desk.decide(held, Answer.APPROVE)
    desk.apply(held)
    assert desk.live() == expected(half(desk.town))
    desk.undo()
    assert desk.everything() == before
