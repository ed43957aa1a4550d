"""Two years of a made-up town, of which the test knows who came, left, moved and was re-keyed: the comparison finds
exactly that, and holds what a person should see, and nothing else."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import count

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.config import RosterLimits
from rollover.database.session import connect
from rollover.roster import imports
from rollover.roster.comparing.breaches import Breach, Code, Season
from rollover.roster.comparing.compare import compare
from rollover.roster.comparing.comparison import Comparison, TypeCount
from rollover_demo.postgres import PostgresServer
from rollover_demo.seed.cohorts import finished_year, later, promoted
from rollover_demo.seed.roster import Roster, grade_code
from rollover_demo.seed.season import demo_year, season
from tests.conftest import TEMPLATE
from tests.support.roster.school_years import (
    HIGH,
    MID,
    OAK,
    SCHOOLS,
    STUDENTS,
    TENANT,
    YEAR,
    Rows,
    School,
    Town,
    add_tenant,
    go_live,
    stage,
)
from tests.support.sampling import others_slow

LIMITS = RosterLimits()
NUMBERS = count(1)
Where = tuple[str, str | None, str | None]


@dataclass
class World:
    """A tenant, and what the comparison says of a set."""

    owner: Engine
    engine: Engine
    storage: UPath

    def live(self, town: Town) -> None:
        go_live(self.owner, town.rows())

    def look(self, town: Town, limits: RosterLimits = LIMITS) -> Comparison:
        return self.look_at(town.rows(), town.year.key, limits)

    def look_at(self, rows: Rows, year: str, limits: RosterLimits = LIMITS) -> Comparison:
        import_id = stage(self.owner, self.storage, rows, year, number=next(NUMBERS))
        compare(self.engine, TENANT, import_id, self.storage, limits)
        found = imports.current(self.engine, TENANT, import_id)
        assert found.comparison is not None
        seen = Comparison.from_json(found.comparison)
        assert (found.state == "in_review") == bool(seen.breaches)
        return seen


@pytest.fixture(scope="module")
def town_database(postgres: PostgresServer) -> Iterator[str]:
    """A database in which the full town is live. Comparing changes nothing of that, so the tests share it."""
    name = "town"
    postgres.create(name, template=TEMPLATE)
    owner = connect(postgres.url(name))
    add_tenant(owner)
    go_live(owner, Town.in_full().rows())
    yield name
    postgres.drop(name)


@pytest.fixture
def database(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[str]:
    """The town's for a test that asks for the full town, else an empty one."""
    if "full" in request.fixturenames:
        yield request.getfixturevalue("town_database")
        return
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create(name, template=TEMPLATE)
    yield name
    postgres.drop(name)


@pytest.fixture
def world(owner: Engine, engine: Engine, storage: UPath, request: pytest.FixtureRequest) -> World:
    if "full" not in request.fixturenames:
        add_tenant(owner)
    return World(owner, engine, storage)


@pytest.fixture
def full() -> Town:
    """The town in 2025-26; it is live."""
    return Town.in_full()


def codes(breaches: Iterable[Breach]) -> set[str]:
    return {breach.code.value for breach in breaches}


def places(seen: Comparison, code: Code) -> set[Where]:
    return {(b.what, b.school, b.grade) for b in seen.breaches if b.code is code}


# Exactly the numbers


def test_a_year_with_everything_that_happens_is_counted_to_the_last_person(world: World, full: Town) -> None:
    """Promotions, arrivals, leavers, movers, re-keyed people, retired and new teachers, and all of them at once."""
    new = full.next_year()
    left = new.students("oak", "03")[:4] + new.students("high", "11")[:3]
    new.leave(left)
    movers = new.students("elm", "02")[:5]
    new.move(movers, "oak")
    new.arrive("mid", "07", 6)
    rekeyed = [*new.students("high", "10")[:2], new.of_role("teacher")[0]]
    new.rekey(rekeyed)
    new.retire(new.of_role("teacher")[-2:])
    new.hire("elm")

    seen = world.look(new)

    graduates, entering = 50, 20 + 30
    assert seen.season is Season.NEW_YEAR
    assert (seen.school_year, seen.live_school_year, seen.roster_version) == ("2026-27", "2025-26", 1)
    staged = STUDENTS - graduates + entering - len(left) + 6
    stay = STUDENTS - graduates - len(left) - 2
    assert seen.types["students"] == TypeCount(
        staged=staged,
        live=STUDENTS,
        added=entering + 6 + 2,
        returned=0,
        changed=stay,
        moved=len(movers) + 50 + 50,  # those who change to the next school too
        unchanged=0,
        removed=graduates + len(left) + 2,
        rekeyed=2,
    )
    teachers = 32
    assert seen.types["educators"] == TypeCount(
        staged=teachers - 2 + 1, live=teachers, added=1 + 1, returned=0, changed=0, moved=0, unchanged=teachers - 3,
        removed=2 + 1, rekeyed=1,
    )  # fmt: skip
    assert seen.types["schools"].unchanged == 4 and seen.types["schools"].staged == 4
    assert seen.types["classes"].added == 19 and seen.types["classes"].removed == 19
    assert seen.id_map.people == 3 and seen.id_map.matched_by == {"email": 1, "identifier": 2}
    expected = {(c.school, c.grade): (c.expected, c.found) for c in seen.cohorts if c.expected or c.found}
    assert expected == {
        **{("elm", g): (20, 20) for g in ("KG", "01", "03", "04", "05")},
        ("elm", "02"): (20, 15),
        **{("oak", g): (30, 30) for g in ("KG", "01", "04", "05")},
        ("oak", "02"): (30, 35),
        ("oak", "03"): (30, 26),
        ("mid", "06"): (50, 50),
        ("mid", "07"): (50, 56),
        ("mid", "08"): (50, 50),
        **{("high", g): (50, 50) for g in ("09", "10", "12")},
        ("high", "11"): (50, 47),
    }
    assert seen.breaches == ()
    assert codes(seen.warnings) == {"rekeyed"}


def test_the_numbers_of_a_school(world: World, full: Town) -> None:
    new = full.copy()
    new.move(new.students("elm", "04")[:3], "oak")
    new.leave(new.students("oak", "01")[:2])
    new.arrive("oak", "KG", 4)
    new.change(new.students("mid", "06")[:7], lambda person: replace(person, email="x@example.org"))
    seen = world.look(new)
    found = {(c.school, c.kind): c for c in seen.schools}
    oak = found["oak", "students"]
    assert (oak.live, oak.staged, oak.added, oak.removed, oak.moved_in, oak.moved_out) == (180, 185, 4, 2, 3, 0)
    assert (found["elm", "students"].moved_out, found["elm", "students"].staged) == (3, 117)
    assert found["mid", "students"].changed == 7
    assert (found["oak", "enrollments"].live, found["oak", "enrollments"].staged) == (186, 191)
    assert seen.names == {school.id: f"{school.id.title()} School" for school in SCHOOLS}
    assert seen.breaches == () and seen.season is Season.DURING_THE_YEAR


def test_a_lost_school_is_found_and_nothing_else(world: World) -> None:
    """A small school of a large district, below every share of the whole."""
    town = Town.in_full((*SCHOOLS, School("fir", "KG", "05", 7, feeds="mid")))
    world.live(town)
    new = town.next_year()
    new.arrive("mid", "07", 30)
    whole = world.look(new)
    assert whole.breaches == ()
    new.lose("fir")
    seen = world.look(new)
    assert 42 / (STUDENTS + 42) < 0.07
    assert [(b.code, b.school, b.expected, b.found) for b in seen.breaches] == [(Code.SCHOOL_LOST, "fir", 42, 0)]


@pytest.mark.parametrize("lost", others_slow(["elm", "oak", "mid", "high"]))
@pytest.mark.parametrize("same_year", [True, False])
def test_whichever_school_is_lost_it_is_named(world: World, full: Town, lost: str, same_year: bool) -> None:
    """One at the beginning of the line, one in the middle, that others feed and that feeds others, and the last one."""
    town = full.copy() if same_year else full.next_year()
    town.lose(lost)
    seen = world.look(town)
    assert {b.school for b in seen.breaches if b.school} == {lost}
    assert places(seen, Code.SCHOOL_LOST) == {("students", lost, None)}


# What is normal passes


@pytest.mark.parametrize("seed", others_slow(range(4)))
def test_a_turnover_of_thirty_percent_passes(world: World, full: Town, seed: int) -> None:
    chance = random.Random(seed)
    new = full.next_year()
    for school in SCHOOLS:
        for grade in school.grades:
            there = new.students(school.id, grade)
            gone = sum(chance.random() < 0.3 for _ in there)
            new.leave(chance.sample(there, gone))
            new.arrive(school.id, grade, sum(chance.random() < 0.3 for _ in there))
    seen = world.look(new)
    assert seen.breaches == ()
    students = seen.types["students"]
    assert 0.2 < students.removed / STUDENTS < 0.45


@pytest.mark.slow
@pytest.mark.parametrize("spec", season(demo_year(date(2026, 8, 1))), ids=lambda spec: spec.id)
def test_every_seeded_district_passes(owner: Engine, engine: Engine, storage: UPath, spec: object) -> None:
    """Feeders, schools with pre-kindergarten, a district that ends at grade 8: leavers, arrivals and new sections."""
    for n, tenant in enumerate(spec.tenants):  # type: ignore[attr-defined]
        before = finished_year(spec, tenant)  # type: ignore[arg-type]
        if n == 0:
            add_tenant(owner, before.year, tenant_id=tenant.id)
            go_live(owner, seeded(before), tenant.id)
            for m, after in enumerate((promoted(before), later(before))):
                import_id = stage(owner, storage, seeded(after), after.year.key, number=m, tenant_id=tenant.id)
                found = compare(engine, tenant.id, import_id, storage, LIMITS)
                assert (found.state, found.reason) == ("ready", None)


def seeded(made: Roster) -> Rows:
    """A roster of the demo as typed rows."""
    town = Town(year=made.year, schools=tuple(School(s.id, "KG", "KG", 0) for s in made.tenant.schools))
    rows = town.rows()
    people = [p for p in made.people if p.active]
    rows["people"] = [
        {
            "sourced_id": p.id,
            "role": p.role,
            "given_name": p.given,
            "family_name": p.family,
            "username": p.username,
            "email": p.email,
            "identifier": p.identifier,
            "birth_date": p.birth_date,
            "grade": None if p.grade is None else grade_code(p.grade),
            "school_ids": [p.school_id],
            "enabled": True,
        }
        for p in people
    ]
    rows["enrollments"] = [
        {
            **dict.fromkeys(("primary", "begin_date", "end_date")),
            **{"sourced_id": f"in-{made.year}-{p.id}", "class_id": f"class-{made.year}", "role": "student"},
            **{"school_id": p.school_id, "person_id": p.id},
        }
        for p in people
        if p.role == "student"
    ]
    rows["guardians"] = [{"student_id": p.id, "guardian_id": g} for p in people for g in p.guardian_ids]
    return rows


def test_the_first_import_has_nothing_to_be_held_against(world: World) -> None:
    seen = world.look(Town.in_full())
    assert seen.season is Season.FIRST and seen.breaches == () and seen.live_school_year is None
    assert seen.types["students"].added == seen.types["students"].staged == STUDENTS


def test_the_same_set_again_finds_nothing(world: World, full: Town) -> None:
    seen = world.look(full)
    assert seen.breaches == () and seen.warnings == ()
    assert all(count.unchanged == count.live == count.staged for count in seen.types.values())


# A new year: places


def test_half_a_file_does_not_pass(world: World, full: Town) -> None:
    new = full.next_year()
    rows = new.rows()
    rows["people"] = rows["people"][: len(rows["people"]) // 2]
    seen = world.look_at(rows, "2026-27")
    assert {("students", None, None), ("guardians", None, None)} <= places(seen, Code.HALF_SET)
    assert "school_lost" in codes(seen.breaches)


@pytest.mark.parametrize("table", others_slow(["enrollments", "classes", "guardians", "courses"]))
def test_half_of_another_file_does_not_pass(world: World, full: Town, table: str) -> None:
    rows = full.next_year().rows()
    rows[table] = rows[table][::2]
    if table == "courses":
        rows[table] = rows[table][:2]
    kind = {"guardians": "guardian_links"}.get(table, table)
    seen = world.look_at(rows, "2026-27", LIMITS.model_copy(update={"least_rows": 5}))
    assert places(seen, Code.HALF_SET) == {(kind, None, None)}


def test_every_second_student_missing_everywhere_does_not_pass(world: World, full: Town) -> None:
    new = full.next_year()
    new.leave(new.students()[::2])
    seen = world.look(new)
    assert places(seen, Code.HALF_SET) >= {("students", None, None)}


@pytest.mark.parametrize("table", others_slow(["guardians", "classes", "courses", "enrollments"]))
@pytest.mark.parametrize("same_year", [True, False])
def test_a_table_without_rows_is_never_a_deletion(world: World, full: Town, table: str, same_year: bool) -> None:
    town = full if same_year else full.next_year()
    rows = town.rows()
    rows[table] = []
    seen = world.look_at(rows, town.year.key)
    kind = {"guardians": "guardian_links"}.get(table, table)
    assert places(seen, Code.EMPTIED) == {(kind, None, None)}
    assert codes(seen.breaches) == {"emptied"}


def test_a_table_of_one_row_that_is_emptied_is_held_too(world: World) -> None:
    town = Town.in_full((School("hut", "KG", "KG", 3),))
    town.hire("hut")
    world.live(town)
    town.retire(town.of_role("teacher"))
    assert places(world.look(town), Code.EMPTIED) == {("educators", None, None)}


def test_a_lost_grade(world: World, full: Town) -> None:
    new = full.next_year()
    new.leave(new.students("mid", "07"))
    seen = world.look(new)
    assert [(b.code, b.school, b.grade, b.expected, b.found) for b in seen.breaches] == [
        (Code.SCHOOL_SHRUNK, "mid", None, 150, 100)
    ]
    generous = new_year(fewer_in_a_school=0.5)
    (breach,) = world.look(new, generous).breaches
    assert (breach.code, breach.school, breach.grade, breach.found) == (Code.GRADE_LOST, "mid", "07", 0)


def test_a_lost_entering_class(world: World, full: Town) -> None:
    new = full.next_year()
    new.leave(new.students("oak", "KG"))
    (breach,) = world.look(new).breaches
    assert (breach.code, breach.school, breach.grade, breach.expected) == (Code.GRADE_LOST, "oak", "KG", 30)


def test_a_grade_that_shrank_by_half(world: World, full: Town) -> None:
    new = full.next_year()
    new.leave(new.students("high", "10")[:25])
    (breach,) = world.look(new).breaches
    assert (breach.code, breach.school, breach.grade, breach.found) == (Code.GRADE_SHRUNK, "high", "10", 25)


TINY = (School("hut", "KG", "03", 3), OAK, MID, HIGH)


@pytest.mark.parametrize("same_year", [True, False])
@pytest.mark.parametrize(("left", "held"), [(2, False), (3, True)])
def test_a_whole_class_of_a_tiny_school_does_not_vanish_unseen(
    world: World, same_year: bool, left: int, held: bool
) -> None:
    """Two of three who leave are a turnover; where nobody is left, a grade was left out."""
    tiny = Town.in_full(TINY)
    world.live(tiny)
    new = tiny.copy() if same_year else tiny.next_year()
    new.leave(new.students("hut", "02")[:left])
    found = [(b.code, b.school, b.grade) for b in world.look(new).breaches]
    assert found == ([(Code.GRADE_LOST, "hut", "02")] if held else [])


@pytest.mark.parametrize("same_year", [True, False])
def test_a_lost_tiny_school_is_found(world: World, same_year: bool) -> None:
    tiny = Town.in_full(TINY)
    world.live(tiny)
    new = tiny.copy() if same_year else tiny.next_year()
    closed = new.copy()
    closed.close("hut", into="oak")
    new.lose("hut")
    assert [(b.code, b.school) for b in world.look(new).breaches] == [(Code.SCHOOL_LOST, "hut")]
    seen = world.look(closed)
    assert seen.breaches == () and codes(seen.warnings) == {"school_closed"}


def test_a_tiny_school_may_have_nobody_in_a_grade(world: World) -> None:
    """Nobody moves up into it, or nobody came into the first one."""
    tiny = Town.in_full(TINY)
    tiny.leave(tiny.students("hut", "01"))
    world.live(tiny)
    new = tiny.next_year()
    new.leave(new.students("hut", "KG"))
    seen = world.look(new)
    assert seen.breaches == ()
    assert {c.grade for c in seen.cohorts if c.school == "hut" and c.found} == {"01", "03"}


def test_a_school_that_grows_by_a_grade(world: World, full: Town) -> None:
    """Elm keeps its fifth-graders as sixth-graders; the middle school gets fewer."""
    new = full.next_year()
    stay = [s for s in new.students("mid", "06") if full.people[s].school == "elm"]
    new.move(stay, "elm")
    seen = world.look(new)
    assert seen.breaches == ()
    grown = next(c for c in seen.cohorts if (c.school, c.grade) == ("elm", "06"))
    assert (grown.expected, grown.found) == (20, 20)


def test_a_school_that_gives_up_a_grade(world: World) -> None:
    """All three elementary schools had a sixth grade; now the middle school has it."""
    old = Town.in_full((School("ash", "KG", "06", 40, "mid"), School("mid", "07", "08", 40, "high"), HIGH))
    world.live(old)
    new = old.next_year()
    new.move(new.students("ash", "06"), "mid")
    assert world.look(new).breaches == ()


@pytest.mark.parametrize(("before", "after"), others_slow([(None, None), (None, "04"), ("UG", None)]))
def test_students_without_a_grade_are_compared_by_school(world: World, before: str | None, after: str | None) -> None:
    """Files do not have to say grades, and may begin to."""
    old, new = Town.in_full((OAK,)), Town.in_full((OAK,))
    old.change(old.students(), lambda person: replace(person, grade=before))
    new.change(new.students(), lambda person: replace(person, grade=after))
    new.year = YEAR.next
    world.live(old)
    assert world.look(new).breaches == ()
    new.leave(new.students()[::2])
    assert places(world.look(new), Code.SCHOOL_SHRUNK) == {("students", "oak", None)}


def test_who_stays_for_a_thirteenth_year_is_no_class(world: World) -> None:
    """Five of fifty do, each year; nobody expects the other graduates there."""
    old = Town.in_full((HIGH,))
    old.arrive("high", "13", 5)
    world.live(old)
    new = old.next_year(entering=False)
    new.leave(new.students("high", "PS"))
    for student in old.students("high", "12")[:5]:
        guardian = str(old.people[student].guardian)
        new.people |= {guardian: old.people[guardian], student: replace(old.people[student], grade="13")}
    new.arrive("high", "09", 50)
    seen = world.look(new)
    assert seen.breaches == ()
    assert {(c.expected, c.found) for c in seen.cohorts if c.grade == "13"} == {(5, 5)}


def test_a_school_that_closes_is_known_from_one_that_is_lost(world: World, full: Town) -> None:
    new = full.next_year()
    new.close("elm", into="oak")
    seen = world.look(new)
    assert seen.breaches == ()
    assert [(b.code, b.school) for b in seen.warnings] == [(Code.SCHOOL_CLOSED, "elm")]


def test_a_new_school_takes_students_of_others(world: World, full: Town) -> None:
    new = full.next_year()
    new.schools = (*new.schools, School("new", "KG", "05", 0))
    new.move([s for g in OAK.grades for s in new.students("oak", g)[:14]], "new")
    seen = world.look(new)
    assert seen.breaches == ()
    assert [(b.code, b.school, b.found) for b in seen.warnings] == [(Code.SCHOOL_ADDED, "new", 84)]


def test_a_boundary_moves_half_of_a_school(world: World, full: Town) -> None:
    new = full.next_year()
    new.move([s for g in OAK.grades for s in new.students("oak", g)[:15]], "elm")
    assert world.look(new).breaches == ()


def test_growth_far_beyond_what_is_expected(world: World, full: Town) -> None:
    new = full.next_year()
    for grade in OAK.grades:
        new.arrive("oak", grade, 32)
    seen = world.look(new)
    assert [(b.code, b.school) for b in seen.breaches] == [(Code.SCHOOL_GROWN, "oak"), (Code.GROWN, None)]
    new = full.next_year()
    new.arrive("mid", "07", 55)
    assert [(b.code, b.school, b.grade) for b in world.look(new).breaches] == [(Code.GRADE_GROWN, "mid", "07")]
    new = full.next_year()
    new.arrive("mid", "07", 30)
    assert world.look(new).breaches == ()


def test_people_who_are_all_others(world: World, full: Town) -> None:
    """As many as expected, everywhere; but nobody of last year."""
    other = Town(last_number=50_000)
    for school in SCHOOLS:
        for grade in school.grades:
            other.arrive(school.id, grade, school.size)
    other.year = YEAR.next
    seen = world.look(other)
    assert places(seen, Code.REMOVED) == {("students", None, None), ("guardians", None, None)}
    students = next(b for b in seen.breaches if b.code is Code.REMOVED and b.what == "students")
    assert (students.expected, students.found) == (STUDENTS - 50, STUDENTS - 50)


# A new year: which year is it?


def test_a_stale_year(world: World, full: Town) -> None:
    stale = replace(full.copy(), year=YEAR.next)
    seen = world.look(stale)
    assert codes(seen.breaches) == {"stale_year", "graduates"}
    breach = next(b for b in seen.breaches if b.code is Code.STALE_YEAR)
    assert (breach.expected, breach.found, breach.school) == (STUDENTS, STUDENTS, None)


def test_one_school_that_was_not_promoted(world: World, full: Town) -> None:
    new = full.next_year()
    new.change(new.students("oak"), lambda p: full.people.get(p.id, p))
    (breach,) = [b for b in world.look(new).breaches if b.code is Code.STALE_YEAR]
    assert breach.school == "oak" and breach.found == 150


def test_a_few_who_repeat_a_grade_are_no_stale_year(world: World, full: Town) -> None:
    new = full.next_year()
    new.change(new.students("elm", "03")[:4], lambda p: replace(p, grade="02"))
    assert world.look(new).breaches == ()


def test_the_same_content_as_what_is_live(world: World, full: Town) -> None:
    rows = full.rows()
    rows["academic_sessions"] = full.next_year().rows()["academic_sessions"]
    seen = world.look_at(rows, "2026-27")
    assert codes(seen.breaches) == {"same_content", "stale_year", "graduates"}


def test_promoted_twice(world: World, full: Town) -> None:
    new = full.next_year()
    up = dict(zip(HIGH.grades, HIGH.grades[1:], strict=False))
    new.change(
        [s for g in ("09", "10", "11") for s in new.students("high", g)],
        lambda person: replace(person, grade=up[str(person.grade)]),
    )
    breach = next(b for b in world.look(new).breaches if b.code is Code.PROMOTED_TWICE)
    assert (breach.school, breach.found) == (None, 150)


def test_a_few_who_skip_a_grade(world: World, full: Town) -> None:
    new = full.next_year()
    new.change(new.students("oak", "02")[:4], lambda person: replace(person, grade="03"))
    assert world.look(new).breaches == ()


@pytest.mark.parametrize(("stay", "held"), [(5, False), (20, True)])
def test_graduates_who_are_still_there(world: World, full: Town, stay: int, held: bool) -> None:
    new = full.next_year()
    for student in full.students("high", "12")[:stay]:
        person = full.people[student]
        new.people[str(person.guardian)] = full.people[str(person.guardian)]
        new.people[student] = person
    found = [(b.code, b.grade, b.expected, b.found) for b in world.look(new).breaches]
    assert found == ([(Code.GRADUATES, "12", 50, stay)] if held else [])


def test_a_district_that_grows_by_a_grade_needs_a_word(world: World) -> None:
    old = Town.in_full((School("ash", "KG", "08", 40),))
    world.live(old)
    new = old.next_year()
    for student in old.students("ash", "08"):
        person = old.people[student]
        new.people[str(person.guardian)] = old.people[str(person.guardian)]
        new.people[student] = replace(person, grade="09")
    assert [(b.code, b.grade, b.found) for b in world.look(new).breaches] == [(Code.GRADUATES, "08", 40)]


def test_section_ids_that_are_used_again(world: World, full: Town) -> None:
    seen = world.look(full.next_year(classes_keep_ids=True))
    assert [(b.code, b.expected, b.found) for b in seen.breaches] == [(Code.SECTION_IDS_REUSED, 19, 19)]
    few = full.next_year()
    rows = few.rows()
    # Term ids that a SIS uses every year: not a class has changed, and each is another one.
    same = full.next_year(classes_keep_ids=True).rows()
    for row in same["academic_sessions"]:
        row["sourced_id"] = "year-2025-26"
    for row in same["classes"]:
        row["term_ids"] = ["year-2025-26"]
    seen = world.look_at(same, "2026-27")
    assert seen.types["classes"].unchanged == 19
    assert [(b.code, b.expected, b.found) for b in seen.breaches] == [(Code.SECTION_IDS_REUSED, 19, 19)]
    for row in rows["classes"][:1]:
        row["sourced_id"] = "elm-01-2025-26"
    seen = world.look_at(rows, "2026-27")
    assert seen.breaches == () and codes(seen.warnings) == {"section_ids_reused"}


def test_next_years_sections_that_are_live_already_are_not_used_again(world: World) -> None:
    """In April a SIS has them. In August they stand for what they stood for."""
    town = Town.in_full()
    rows, after = town.rows(), town.next_year().rows()
    rows["academic_sessions"] += after["academic_sessions"]
    rows["classes"] += after["classes"][:8]
    go_live(world.owner, rows)
    seen = world.look_at(after, "2026-27")
    assert (seen.season, seen.live_school_year) == (Season.NEW_YEAR, "2025-26")
    assert seen.types["classes"].unchanged == 8
    assert seen.breaches == () and codes(seen.warnings) == set()


def test_a_section_id_that_comes_back_is_used_again(world: World) -> None:
    town = Town.in_full()
    go_live(world.owner, town.rows())
    with world.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE roster.classes SET status = 'tobedeleted' WHERE school_id <> 'elm'")
    seen = world.look(town.next_year(classes_keep_ids=True))
    assert [(b.code, b.found) for b in seen.breaches if b.what == "classes"] == [(Code.SECTION_IDS_REUSED, 19)]


def test_the_live_year_is_that_of_the_classes(world: World) -> None:
    """Next year's sessions are there in April, a whole year and its terms; the classes are still this year's."""
    town = Town.in_full()
    rows = town.rows()
    to_come = town.next_year().rows()["academic_sessions"]
    rows["academic_sessions"] += [*to_come, *({**to_come[0], "sourced_id": f"q{n}"} for n in range(4))]
    go_live(world.owner, rows)
    seen = world.look_at(rows, "2025-26")
    assert (seen.season, seen.live_school_year) == (Season.DURING_THE_YEAR, "2025-26")


# Who is who


def test_many_people_with_other_ids(world: World, full: Town) -> None:
    """By identifier, by e-mail, by username, by name and birth date: each is matched by what is left of it."""
    new = full.copy()
    renamed = new.rekey([*new.students("high", "09")[:40], *new.of_role("teacher")[:12], *new.of_role("guardian")[:15]])
    rows = new.rows()
    blanks = {new_id: n for n, new_id in enumerate(renamed.values())}
    for row in rows["people"]:
        n = blanks.get(row["sourced_id"])
        if n is not None and row["role"] == "student":
            row["identifier"] = row["identifier"] if n < 10 else None
            row["email"] = row["email"] if n < 20 else "changed@example.org"
            row["username"] = row["username"] if n < 30 else f"other{n}"
    seen = world.look_at(rows, YEAR.key)
    rekeyed = {b.what: (b.expected, b.found) for b in seen.breaches if b.code is Code.REKEYED}
    assert rekeyed == {"students": (STUDENTS, 40), "educators": (32, 12), "guardians": (STUDENTS, 15)}
    assert seen.id_map.people == 67 and seen.id_map_is_offered
    assert seen.id_map.matched_by == {
        "identifier": 10,
        "email": 10 + 12 + 15,
        "username": 10,
        "name_and_birth_date": 10,
    }
    with world.owner.connect() as connection:
        newest = "SELECT max(import_id) FROM ledger.imports"
        pairs = connection.exec_driver_sql(
            f"SELECT old_id, new_id FROM ledger.id_maps WHERE import_id = ({newest})"
        ).all()
    assert dict(map(tuple, pairs)) == renamed  # type: ignore[arg-type]


def test_who_is_not_unique_or_not_the_same_is_not_matched(world: World, full: Town) -> None:
    """Two of one name and birthday, a number that somebody else has now, a student who is a teacher now."""
    new = full.copy()
    twins, other, role = new.students("mid", "06")[:2], new.students("mid", "07")[0], new.students("mid", "08")[0]
    new.rekey([*twins, other, role])
    rows = new.rows()
    for row in rows["people"]:
        if row["sourced_id"] in ("new-" + twins[0], "new-" + twins[1]):
            row |= {"identifier": "same", "email": None, "username": "x" + row["username"]}
            row |= {"given_name": "Tim", "birth_date": date(2012, 1, 1)}
        if row["sourced_id"] == "new-" + other:
            row |= {"birth_date": date(2001, 1, 1), "given_name": "Somebody", "family_name": "Else"}
        if row["sourced_id"] == "new-" + role:
            row |= {"role": "teacher", "grade": None}
    seen = world.look_at(rows, YEAR.key)
    assert seen.id_map.people == 0 and seen.types["students"].rekeyed == 0
    assert (seen.types["students"].removed, seen.types["students"].added) == (4, 3)


def test_a_student_who_teaches_now_is_one_of_each(world: World, full: Town) -> None:
    new = full.copy()
    one = new.students("high", "12")[0]
    new.change([one], lambda person: replace(person, role="teacher", grade=None))
    seen = world.look(new)
    assert (seen.types["students"].removed, seen.types["educators"].added) == (1, 1)


def test_ids_that_stand_for_others_now(world: World, full: Town) -> None:
    new = full.copy()
    ids = new.students("high", "10")[:30]
    new.change(ids, lambda person: replace(person, number=person.number + 12))
    (breach,) = world.look(new).breaches
    assert (breach.code, breach.what, breach.found) == (Code.IDS_REASSIGNED, "students", 30)
    married = full.copy()
    rows = married.rows()
    for row in rows["people"][:60]:
        row["family_name"] = "Married"
    assert world.look_at(rows, YEAR.key).breaches == ()


def test_a_school_with_another_id(world: World, full: Town) -> None:
    new = full.copy()
    new.schools = tuple(replace(s, id="elm-2") if s.id == "elm" else s for s in new.schools)
    new.move([p.id for p in full.people.values() if p.school == "elm"], "elm-2")
    rows = new.rows()
    for row in rows["orgs"]:
        row["name"] = row["name"].replace("Elm-2", "Elm")
    seen = world.look_at(rows, YEAR.key)
    assert codes(seen.breaches) == {"school_rekeyed"}
    assert codes(seen.warnings) == {"school_added", "school_closed"}


def test_another_districts_schools(world: World, full: Town) -> None:
    others = Town.in_full(tuple(replace(s, id=f"b-{s.id}", feeds=f"b-{s.feeds}") for s in SCHOOLS))
    seen = world.look(others)
    assert places(seen, Code.OTHER_DISTRICT) == {("schools", None, None)}


@pytest.mark.parametrize(("known", "held"), [(("elm", "oak"), False), (("x", "y"), True), ((), False)])
def test_the_directory_knows_whose_schools_a_first_import_has(
    owner: Engine, engine: Engine, storage: UPath, known: tuple[str, ...], held: bool
) -> None:
    add_tenant(owner, schools=known)
    seen = World(owner, engine, storage).look(Town.in_full())
    assert codes(seen.breaches) == ({"other_district"} if held else set())


# During the year


def test_what_a_year_brings_passes(world: World, full: Town) -> None:
    new = full.copy()
    new.leave(new.students()[::40])
    new.arrive("elm", "02", 5)
    new.move(new.students("oak", "03")[:4], "elm")
    assert world.look(new).breaches == ()


@pytest.mark.parametrize(("every", "held"), [(12, False), (8, True)])
def test_removed_students_in_the_year(world: World, full: Town, every: int, held: bool) -> None:
    new = full.copy()
    new.leave(new.students()[::every])
    assert ("removed" in codes(world.look(new).breaches)) == held


def test_changed_students_in_the_year(world: World, full: Town) -> None:
    def with_other_emails(share: int) -> Town:
        town = full.copy()
        ids = town.students()
        town.change(ids[: len(ids) * share // 100], lambda p: replace(p, email=f"{p.id}@other.example.org"))
        return town

    assert world.look(with_other_emails(70)).breaches == ()
    assert places(world.look(with_other_emails(80)), Code.CHANGED) == {("students", None, None)}


def test_a_school_lost_in_the_year(world: World) -> None:
    """Six percent of the district: below the share for all students."""
    town = Town.in_full((*SCHOOLS, School("fir", "KG", "05", 7, feeds="mid")))
    world.live(town)
    new = town.copy()
    new.lose("fir")
    assert [(b.code, b.school, b.expected) for b in world.look(new).breaches] == [(Code.SCHOOL_LOST, "fir", 42)]
    closed = town.copy()
    closed.close("fir", into="elm")
    seen = world.look(closed)
    assert seen.breaches == () and codes(seen.warnings) == {"school_closed"}


def test_a_grade_lost_in_the_year(world: World, full: Town) -> None:
    new = full.copy()
    new.leave(new.students("oak", "04"))
    assert [(b.code, b.school, b.grade) for b in world.look(new).breaches] == [(Code.GRADE_LOST, "oak", "04")]


def test_growth_in_the_year(world: World, full: Town) -> None:
    new = full.copy()
    for grade in OAK.grades:
        new.arrive("oak", grade, 16)
    assert [(b.code, b.school) for b in world.look(new).breaches] == [(Code.SCHOOL_GROWN, "oak")]


@pytest.mark.parametrize(("up", "code"), others_slow([(True, "promoted_in_year"), (False, "stale_year")]))
def test_another_years_set_under_this_years_name(world: World, up: bool, code: str) -> None:
    town = Town.in_full()
    live, dropped = (town, town.next_year()) if up else (town.next_year(), town)
    world.live(replace(live, year=YEAR))
    assert code in codes(world.look(replace(dropped, year=YEAR)).breaches)


# Limits


def new_year(**changes: float) -> RosterLimits:
    return LIMITS.with_changes(RosterLimits.model_validate({"new_year": changes}))


def test_a_district_can_have_limits_of_its_own(world: World, full: Town) -> None:
    """This one uses section ids again every year, and its SIS exports the current semester only."""
    assert world.look(full.next_year(classes_keep_ids=True), new_year(section_ids_reused=1)).breaches == ()
    rows = full.rows()
    rows["classes"] = rows["classes"][:6]
    strict = LIMITS.with_changes(RosterLimits.model_validate({"during_the_year": {"removed": {"classes": 0.5}}}))
    generous = LIMITS.with_changes(RosterLimits.model_validate({"during_the_year": {"removed": {"classes": 0.9}}}))
    assert places(world.look_at(rows, YEAR.key, strict), Code.REMOVED) == {("classes", None, None)}
    assert world.look_at(rows, YEAR.key, generous).breaches == ()


def test_nothing_about_a_person_is_in_a_comparison(world: World, full: Town) -> None:
    new = full.next_year()
    new.rekey(new.students("mid")[:60])
    new.lose("elm")
    said = str(world.look(new).as_json())
    for row in [*full.rows()["people"], *new.rows()["people"]]:
        for name in ("sourced_id", "username", "email", "identifier"):
            assert row[name] is None or f"'{row[name]}'" not in said
