"""The last look at the new year's roster: what passes, what is refused, and what is only reported, school by school."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, text, update
from upath import UPath

from rollover.calendar import JULY, MonthDay
from rollover.config import RosterLimits
from rollover.config.limits import NewYear
from rollover.database.session import tenant_session
from rollover.database.tables import hero, ledger, roster
from rollover.errors import ProofFailed
from rollover.roster.comparing.breaches import Breach, Code, Season
from rollover.roster.comparing.comparison import Comparison
from rollover.roster.imports.files import staged_file
from rollover.roster.verifying.checks import MEASURES, SAMPLE
from rollover.roster.verifying.verify import Files, verify_roster
from tests.roster.conftest import District
from tests.support.roster.school_years import (
    ELM,
    MID,
    OAK,
    SCHOOLS,
    STUDENTS,
    TENANT,
    YEAR,
    Person,
    Rows,
    School,
    Town,
    add_tenant,
    go_live,
    stage,
)
from tests.support.roster.small_set import whole_set
from tests.support.sampling import others_slow
from tests.support.small_district import unguarded

NEW_YEAR = YEAR.next.key
LIMITS = RosterLimits()
EIGHT = (School("lower", "KG", "04", 20, feeds="upper"), School("upper", "05", "08", 40))


@dataclass
class Season_:
    """A tenant whose new year's roster is live, and the set that brought it."""

    owner: Engine
    engine: Engine
    storage: UPath
    tenant_id: str = TENANT
    import_id: str = ""
    files: dict[str, bytes] = field(default_factory=dict)

    def begins(self, before: Town, after: Town | None = None, rows: Rows | None = None) -> None:
        """`after` (or `rows`) is live, and everybody has the grade that they had in `before`."""
        after = after or before.next_year()
        rows = rows or after.rows()
        add_tenant(self.owner, after.year, [school.id for school in before.schools], self.tenant_id)
        go_live(self.owner, rows, self.tenant_id)
        nothing: Rows = {table.name: [] for table in roster.ROSTER_TABLES}
        there = {row["sourced_id"] for row in rows["people"]}
        gone = [row for row in before.rows()["people"] if row["sourced_id"] not in there]
        go_live(self.owner, {**nothing, "people": gone}, self.tenant_id, status="tobedeleted")
        self.run(
            "UPDATE roster.people p SET last_year_grade = old.grade "
            "FROM unnest(CAST(:ids AS text[]), CAST(:grades AS text[])) AS old (id, grade) WHERE p.sourced_id = old.id",
            ids=before.students(),
            grades=[before.people[key].grade for key in before.students()],
        )
        self.import_id = stage(
            self.owner, self.storage, rows, after.year.key, state="applied", tenant_id=self.tenant_id
        )

    def ledger_says(self, **values: Any) -> None:
        if values.get("decision"):
            values |= {"decided_by": "dana", "decided_at": func.now()}
        with self.owner.begin() as connection:
            unguarded(connection, "imports")
        self.run(update(ledger.imports).where(ledger.imports.c.import_id == self.import_id).values(**values))

    def run(self, statement: Any, **parameters: Any) -> None:
        with self.owner.begin() as connection:
            connection.execute(text(statement) if isinstance(statement, str) else statement, parameters)

    def verify(self, limits: RosterLimits = LIMITS, begins: MonthDay = JULY) -> dict[str, Any]:
        files = Files(self.storage / "exports", "/springfield-il/hero/outbox/2026-27", self.deliver)
        product = self.tenant_id.split("__")[0]
        with tenant_session(self.engine, self.tenant_id, isolation="REPEATABLE READ") as connection:
            verified = verify_roster(
                connection,
                self.import_id,
                NEW_YEAR,
                self.storage,
                product=product,
                limits=limits,
                files=files,
                begins=begins,
            )
        return verified.as_json()

    def deliver(self, file: UPath, remote_path: str) -> None:
        self.files[remote_path.rpartition("/")[2]] = file.read_bytes()

    def sheet(self, name: str) -> list[dict[str, str]]:
        lines = self.files[name].decode("utf-8-sig").splitlines()
        return list(csv.DictReader(lines))


@pytest.fixture
def season(owner: Engine, engine: Engine, storage: UPath) -> Season_:
    return Season_(owner, engine, storage)


# As it should be


def test_a_roster_as_it_should_be(season: Season_) -> None:
    season.begins(Town.in_full())
    result = season.verify()
    counted = {name: result[name] for name in MEASURES}
    assert counted == {
        "students": STUDENTS,
        "returning": STUDENTS - 20 - 30,
        "without_grade": 0,
        "in_the_same_grade": 0,
        "graduates_still_there": 0,
        "without_birth_date": 0,
        "without_guardian_email": 0,
        "without_classes": 0,
        "classes": 6 + 6 + 3 + 4,
        "classes_without_students": 0,
        "classes_without_teacher": 0,
        "classes_of_other_terms": 0,
        "enrollments": STUDENTS + 19,
        "educators": STUDENTS // 20 - 1,
        "educators_to_remove": 0,
        "educators_to_add": counted["educators"],
        "shared_usernames": 0,
    } | {"educators": counted["educators"]}
    assert (result["graduating_grade"], result["graduates"]) == ("12", 50)
    assert result["shares"] == {"birth_date": 1.0, "guardian_email": 1.0}
    assert result["first_period"] == "2026-08-20"
    assert result["sessions"] == {"schoolYear": {"sessions": 1, "from": "2026-08-20", "to": "2027-06-06"}}
    assert result["compared_with_files"] == "every row"


def test_every_number_is_there_for_every_school_and_adds_up(season: Season_) -> None:
    season.begins(Town.in_full())
    result = season.verify()
    schools = result["schools"]
    assert set(schools) == {school.id for school in SCHOOLS}
    assert schools["elm"]["grades"] == dict.fromkeys(ELM.grades, ELM.size)
    assert schools["mid"]["grades"] == {"06": ELM.size + OAK.size, "07": MID.size, "08": MID.size}
    for name in MEASURES:
        assert sum(school[name] for school in schools.values()) == result[name]
    sheet = {line["school id"]: line for line in season.sheet("roster_check.csv")}
    assert list(sheet) == ["elm", "high", "mid", "oak", ""]
    for school_id, counted in schools.items():
        assert {name: int(sheet[school_id][name.replace("_", " ")]) for name in MEASURES} == {
            name: counted[name] for name in MEASURES
        }
        assert sheet[school_id]["schedules as in the files"] == "yes"
    assert sheet[""]["school"] == "all schools" and sheet[""]["students"] == str(STUDENTS)
    assert [name for name in sheet["elm"] if name.startswith("students in grade")] == [
        f"students in grade {grade}" for grade in ("KG", *(f"{n:02}" for n in range(1, 13)))
    ]


# Schedules are as in the files


@pytest.mark.parametrize("table", others_slow((table.name for table in roster.ROSTER_TABLES), 3))
def test_a_live_row_that_is_not_the_one_of_the_files(season: Season_, table: str) -> None:
    season.begins(Town.in_full())
    season.run(f"UPDATE roster.{table} SET row_hash = row_hash + 1 WHERE ctid = (SELECT max(ctid) FROM roster.{table})")
    if table == "people":  # the last one has left
        assert season.verify()["students"] == STUDENTS
        season.run(
            "UPDATE roster.people SET row_hash = row_hash + 1 WHERE sourced_id = "
            "(SELECT max(sourced_id) FROM roster.people WHERE status = 'active')"
        )
    with pytest.raises(ProofFailed, match=rf"{table} has (\d+) active rows that are not the \1 of the files"):
        season.verify()


def test_a_schedule_that_differs_is_named_by_school(season: Season_) -> None:
    season.begins(Town.in_full())
    season.run(
        "DELETE FROM roster.enrollments WHERE ctid = (SELECT min(ctid) FROM roster.enrollments WHERE school_id = 'oak')"
    )
    season.run(
        "UPDATE roster.enrollments SET status = 'tobedeleted' WHERE class_id = 'mid-07-2026-27' AND role = 'teacher'"
    )
    with pytest.raises(
        ProofFailed, match=r"enrollments has 667 active rows that are not the 669 of the files \(in mid, oak\)"
    ):
        season.verify()
    sheet = {line["school id"]: line["schedules as in the files"] for line in season.sheet("roster_check.csv")}
    assert sheet == {"elm": "yes", "high": "yes", "mid": "no", "oak": "no", "": "no"}


def test_rows_that_are_to_be_deleted_do_not_count(season: Season_) -> None:
    season.begins(Town.in_full())
    closed = Town(year=YEAR.next, schools=(School("closed", "KG", "01", 20),), last_number=5_000)
    closed.arrive("closed", "KG", 20)
    closed.hire("closed")
    rows = closed.rows()
    orgs = [row for row in rows["orgs"] if row["sourced_id"] == "closed"]
    go_live(season.owner, {**rows, "orgs": orgs, "academic_sessions": [], "courses": []}, status="tobedeleted")
    result = season.verify()
    assert (result["students"], result["classes"], set(result["schools"])) == (STUDENTS, 19, {s.id for s in SCHOOLS})


def test_when_the_files_are_gone_the_numbers_of_the_ledger_count(season: Season_) -> None:
    """The sync was resumed by hand, and the nightly sync removed the set that was applied."""
    town = Town.in_full()
    season.begins(town)
    rows = town.next_year().rows()
    accepted = {name: len(each) for name, each in rows.items()}
    season.ledger_says(details={"schema_version": 1, "validation": {"accepted": accepted}})
    staged_file(season.storage, season.import_id, "enrollments").unlink()
    assert season.verify()["compared_with_files"] == "number of rows"
    season.run("UPDATE roster.classes SET status = 'tobedeleted' WHERE sourced_id = 'oak-KG-2026-27'")
    with pytest.raises(ProofFailed, match="classes has 18 active rows, and the files had 19"):
        season.verify()


def test_the_same_files_again_are_held_against_the_set_that_was_staged(season: Season_) -> None:
    season.begins(Town.in_full())
    first, season.import_id = season.import_id, f"{TENANT}__00000000000b"
    again = {"tenant_id": TENANT, "import_id": season.import_id, "state": "applied", "school_year": NEW_YEAR}
    details = {"schema_version": 1, "unchanged": True, "applied": {"same_as": first}}
    season.run(insert(ledger.imports).values(**again, details=details))
    assert season.verify()["compared_with_files"] == "every row"
    season.run("DELETE FROM roster.guardians WHERE student_id = 's100'")
    with pytest.raises(ProofFailed, match="guardians has"):
        season.verify()


def test_where_only_additions_were_let_in_the_roster_may_hold_more(season: Season_) -> None:
    """People that the set has otherwise, or not at all, are as they were; what it added is as in the files."""
    town = Town.in_full()
    season.begins(town)
    more = town.next_year()
    more.arrive("oak", "03", 2)
    rows = more.rows()
    fewer = [row for row in rows["enrollments"] if row["person_id"] not in more.students("elm", "02")[:3]]
    season.run("DELETE FROM ledger.imports")
    season.import_id = stage(season.owner, season.storage, {**rows, "enrollments": fewer}, NEW_YEAR, state="applied")
    added = Town(year=YEAR.next, schools=more.schools, people={k: more.people[k] for k in list(more.people)[-4:]})
    of_added = added.rows()
    go_live(
        season.owner,
        {**{name: [] for name in rows}, **{n: of_added[n] for n in ("people", "guardians", "enrollments")}},
    )
    season.run(
        "UPDATE roster.people SET import_id = :id WHERE sourced_id = ANY(:added)",
        id=season.import_id,
        added=list(added.people),
    )
    season.run("UPDATE roster.people SET row_hash = 5 WHERE sourced_id = 's100'")
    season.ledger_says(decision="additions_only")
    result = season.verify()
    assert result["compared_with_files"] == "additions"
    assert result["left_out_by_decision"] == {
        "people": {"not_changed": 1, "not_removed": 0},
        "enrollments": {"not_changed": 0, "not_removed": 3},
    }
    student = added.students()[0]
    season.run("UPDATE roster.people SET row_hash = 6 WHERE sourced_id = :id", id=student)
    season.run("UPDATE roster.guardians SET status = 'tobedeleted' WHERE student_id = :id", id=student)
    with pytest.raises(ProofFailed) as refused:
        season.verify()
    assert "people has 1 rows that the import added, and that are not as in the files" in str(refused.value)
    assert "guardians lacks 1 rows of the files" in str(refused.value)


# Grades


@pytest.mark.parametrize(("stay", "passes"), [(4, True), (5, False)])
def test_last_years_highest_grade_has_left_but_for_a_few(season: Season_, stay: int, passes: bool) -> None:
    before = Town.in_full(EIGHT)
    after = before.next_year()
    graduates = before.students("upper", "08")[:stay]
    for key in graduates:
        after.people[key] = before.people[key]
        after.people[str(before.people[key].guardian)] = before.people[str(before.people[key].guardian)]
    season.begins(before, after)
    if passes:
        assert season.verify()["schools"]["upper"]["graduates_still_there"] == stay
        return
    message = r"5 of the 40 who were in grade 08, last year's highest, are still there \(5 in upper\)"
    with pytest.raises(ProofFailed, match=message):
        season.verify()
    assert season.sheet("roster_check.csv")[1]["graduates still there"] == "5", "the files are there to look at"


def grown_by_a_grade() -> tuple[Town, Town]:
    """The eighth graders stay: the district has a ninth grade now."""
    before = Town.in_full(EIGHT)
    after = before.copy()
    after.schools = (EIGHT[0], replace(EIGHT[1], high="09"))
    return before, after.next_year()


def comparison(*codes: Code) -> dict[str, Any]:
    """A comparison that named these."""
    breaches = tuple(Breach(code, "students", 40, 40, 0.1, grade="08") for code in codes)
    return Comparison(Season.NEW_YEAR, NEW_YEAR, YEAR.key, 1, {}, (), {}, (), breaches, ()).as_json()


@pytest.mark.parametrize(
    ("decision", "codes", "passes"),
    [
        ("approve", [Code.GRADUATES], True),
        ("approve_with_id_map", [Code.GROWN, Code.GRADUATES], True),
        ("approve", [Code.GROWN], False),
        (None, [Code.GRADUATES], False),
        ("additions_only", [Code.GRADUATES], False),
    ],
)
def test_a_further_grade_is_reported_where_a_person_approved_it(
    season: Season_, decision: str | None, codes: list[Code], passes: bool
) -> None:
    season.begins(*grown_by_a_grade())
    season.ledger_says(decision=decision, comparison=comparison(*codes))
    if passes:
        result = season.verify()
        assert (result["graduates_still_there"], result["graduates"]) == (40, 40)
    else:
        with pytest.raises(ProofFailed, match="40 of the 40 who were in grade 08"):
            season.verify()


def test_a_further_grade_is_reported_where_the_district_file_says_so(season: Season_) -> None:
    season.begins(*grown_by_a_grade())
    with pytest.raises(ProofFailed, match="raise their limit"):
        season.verify()
    assert season.verify(RosterLimits(new_year=NewYear(graduates=1.0)))["graduates_still_there"] == 40


def test_who_left_in_earlier_years_does_not_make_the_class_larger(season: Season_) -> None:
    """Rows of former students stay for a while; only those of last year's class have a grade of last year."""
    before = Town.in_full(EIGHT)
    after = before.next_year()
    for key in before.students("upper", "08")[:5]:
        after.people[key] = before.people[key]
    season.begins(before, after)
    alumni = [replace(before.people["s1"], id=f"alumna-{n}", guardian=None) for n in range(100)]
    nothing: Rows = {table.name: [] for table in roster.ROSTER_TABLES}
    people = Town(schools=EIGHT, people={person.id: person for person in alumni}).rows()["people"]
    go_live(season.owner, {**nothing, "people": people}, status="tobedeleted")
    with pytest.raises(ProofFailed, match="5 of the 40 "):
        season.verify()


@pytest.mark.parametrize("stray", ["13", "UG", "PS"])
def test_one_student_in_another_grade_does_not_hide_the_class(season: Season_, stray: str) -> None:
    before, after = grown_by_a_grade()
    for town in (before, after):
        town.people["stray"] = Person("stray", "student", "upper", stray, 9_999)
    season.begins(before, after)
    with pytest.raises(ProofFailed, match="40 of the 40 who were in grade 08"):
        season.verify()


@pytest.mark.parametrize(("share", "passes"), [(0.5, True), (0.51, False)])
def test_most_students_have_a_grade(season: Season_, share: float, passes: bool) -> None:
    before = Town.in_full()
    after = before.next_year()
    after.change(after.students()[: int(STUDENTS * share)], lambda person: replace(person, grade=None))
    season.begins(before, after)
    if passes:
        assert season.verify()["without_grade"] == STUDENTS // 2
    else:
        with pytest.raises(ProofFailed, match=r"331 of 650 students \(.* in oak, .*\) have no grade"):
            season.verify()


def test_nobody_was_promoted(season: Season_) -> None:
    before = Town.in_full()
    season.begins(before, replace(before.copy(), year=YEAR.next))
    with pytest.raises(ProofFailed) as refused:
        season.verify()
    assert "650 of 650 returning students (200 in high, 180 in oak, 150 in mid, …) are not promoted" in str(
        refused.value
    )
    assert "50 of the 50 who were in grade 12" in str(refused.value)


def test_ungraded_students_stay_ungraded(season: Season_) -> None:
    before = Town.in_full()
    before.change(before.students()[:400], lambda person: replace(person, grade="UG"))
    after = replace(before.copy(), year=YEAR.next)
    after.leave(before.students("high", "12"))
    moved = {"06": "07", "07": "08", "08": "09", "09": "10", "10": "11", "11": "12", "05": "06"}
    after.change(after.students(), lambda person: replace(person, grade=moved.get(str(person.grade), person.grade)))
    season.begins(before, after)
    assert season.verify()["in_the_same_grade"] == 0


def test_a_roster_without_students(season: Season_) -> None:
    before = Town.in_full()
    after = replace(before.copy(), year=YEAR.next)
    after.leave(after.students())
    season.begins(before, after)
    with pytest.raises(ProofFailed, match="there is no student"):
        season.verify()


# Terms and bell schedules


@pytest.mark.parametrize(
    ("starts", "passes"), [("2026-06-30", False), ("2026-07-01", True), ("2027-06-30", True), ("2027-07-01", False)]
)
def test_the_first_grading_period_begins_in_the_new_year(season: Season_, starts: str, passes: bool) -> None:
    town = Town.in_full()
    rows = town.next_year().rows()
    period = {**rows["academic_sessions"][0], "sourced_id": "q1", "type": "gradingPeriod"}
    rows["academic_sessions"].append(period | {"start_date": date.fromisoformat(starts), "end_date": date(2028, 1, 1)})
    season.begins(town, rows=rows)
    if passes:
        result = season.verify()
        assert result["first_period"] == starts
        assert list(result["sessions"]) == ["gradingPeriod", "schoolYear"]
    else:
        with pytest.raises(ProofFailed, match=f"begins on {starts}, which is not in 2026-27"):
            season.verify()


def test_a_class_of_last_years_term_is_refused(season: Season_) -> None:
    town = Town.in_full()
    rows = town.next_year().rows()
    rows["academic_sessions"] += town.rows()["academic_sessions"]
    rows["classes"][0]["term_ids"] = ["year-2026-27", "year-2025-26"]
    season.begins(town, rows=rows)
    with pytest.raises(ProofFailed, match=r"1 of 19 classes \(1 in elm\) are of terms that are not of 2026-27"):
        season.verify()
    generous = RosterLimits(new_year=NewYear(classes_of_other_terms=0.06))
    assert season.verify(generous)["classes_of_other_terms"] == 1


@pytest.mark.parametrize(("left_over", "passes"), [(2, True), (3, False)])
def test_a_few_classes_that_are_left_over_are_reported(season: Season_, left_over: int, passes: bool) -> None:
    town = Town.in_full()
    rows = town.next_year().rows()
    rows["academic_sessions"] += town.rows()["academic_sessions"]
    rows["classes"] += [{**rows["classes"][0], "sourced_id": f"more-{n}"} for n in range(81)]
    for row in rows["classes"][:left_over]:
        row["term_ids"] = ["year-2025-26"]
    season.begins(town, rows=rows)
    if passes:
        assert season.verify()["classes_of_other_terms"] == 2
    else:
        with pytest.raises(ProofFailed, match="raise their limit"):
            season.verify()


def test_no_session_of_the_year(season: Season_) -> None:
    town = Town.in_full()
    rows = town.next_year().rows()
    rows["academic_sessions"][0]["school_year"] = "2025-26"
    season.begins(town, rows=rows)
    with pytest.raises(ProofFailed, match="no academic session is of 2026-27"):
        season.verify()


def test_bell_schedules_are_held_against_the_first_grading_period(season: Season_) -> None:
    season.begins(Town.in_full())
    with season.owner.begin() as connection:
        for school, effective in (
            ("elm", "2025-08-20"),
            ("elm", "2026-08-20"),
            ("oak", "2026-08-19"),
            ("mid", "2026-08-20"),
        ):
            bell = {
                "tenant_id": TENANT,
                "school_id": school,
                "schedule_id": f"{school} {effective}",
                "period": "1",
                "name": "Bell",
            }
            times = {"starts_at": "08:00", "ends_at": "09:00", "effective_from": date.fromisoformat(effective)}
            connection.execute(insert(hero.bell_schedules).values(**bell, **times))
    assert season.verify()["schools_with_old_bell_schedules"] == ["oak"]
    sheet = {line["school id"]: line["bell schedule"] for line in season.sheet("roster_check.csv")}
    assert sheet["elm"] == sheet["mid"] == "current" and sheet["high"] == "none" and sheet[""] == "1 to update"
    assert sheet["oak"] == "older than the first grading period: update it"


# Coverage and classes


def test_what_is_missing_is_counted_where_it_is(season: Season_) -> None:
    town = Town.in_full()
    after = town.next_year()
    elm, oak = after.students("elm"), after.students("oak")
    after.people.pop(str(after.people[elm[0]].guardian))
    after.people[elm[0]] = replace(after.people[elm[0]], guardian=None)
    after.change([str(after.people[key].guardian) for key in elm[1:3]], lambda person: replace(person, email=None))
    rows = after.rows()
    for row in rows["people"]:
        row["school_ids"] = ["district"] if row["sourced_id"] == elm[5] else row["school_ids"]
        row["birth_date"] = None if row["sourced_id"] in oak[:45] else row["birth_date"]
    rows["enrollments"] = [
        row
        for row in rows["enrollments"]
        if row["class_id"] != "mid-07-2026-27" and (row["class_id"], row["role"]) != ("high-10-2026-27", "teacher")
    ]
    season.begins(town, after, rows)
    result = season.verify()
    schools = result["schools"]
    assert (
        schools["elm"]["without_guardian_email"] == 3 and schools["elm"]["shares"]["guardian_email"] == 0.975
    )  # 3 of 119
    assert schools["oak"]["without_birth_date"] == 45 and schools["oak"]["shares"]["birth_date"] == 0.75
    assert schools["mid"]["without_classes"] == MID.size
    assert (schools["mid"]["classes_without_students"], schools["mid"]["classes_without_teacher"]) == (1, 1)
    assert (schools["high"]["classes_without_students"], schools["high"]["classes_without_teacher"]) == (0, 1)
    assert schools["no school"]["students"] == 1
    last = season.sheet("roster_check.csv")[0]
    assert (last["school id"], last["school"], last["students"]) == ("", "(no school)", "1")


# For people


def test_a_sample_is_spread_over_schools_and_grades_and_always_the_same(season: Season_) -> None:
    season.begins(Town.in_full())
    season.verify()
    sample = season.sheet("roster_sample.csv")
    assert len(sample) == SAMPLE
    places = [(line["school id"], line["grade"]) for line in sample]
    assert len(set(places)) == 6 + 6 + 3 + 4, "one of every school and grade, and one more"
    assert all(line["first name"] and line["birth date"] and line["classes"] for line in sample)
    before = season.files["roster_sample.csv"]
    season.verify()
    assert season.files["roster_sample.csv"] == before
    season.run("UPDATE ledger.imports SET import_id = :id", id=f"{TENANT}__00000000000c")
    for table in roster.ROSTER_TABLES:
        old = staged_file(season.storage, season.import_id, table.name)
        new = staged_file(season.storage, f"{TENANT}__00000000000c", table.name)
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(old.read_bytes())
    season.import_id = f"{TENANT}__00000000000c"
    season.verify()
    assert season.files["roster_sample.csv"] != before


def test_with_many_schools_every_grade_is_in_the_sample(season: Season_) -> None:
    schools = tuple(School(f"k{n}", "KG", "05", 3) for n in range(12)) + tuple(
        School(f"h{n}", "06", "12", 3) for n in range(12)
    )
    season.begins(Town.in_full(schools))
    season.verify()
    sample = season.sheet("roster_sample.csv")
    assert len({line["school id"] for line in sample}) == SAMPLE, "no school twice"
    assert len({line["grade"] for line in sample}) >= 10


@pytest.mark.parametrize(
    ("tenant_id", "accounts", "own"),
    [
        ("hero__springfield-il", "hero.employee_logins", ", login_id, password_hash"),
        ("imagine_math__springfield-il", "imagine_math.educator_accounts", ", account_id"),
        ("imagine_math_facts__springfield-il", "imagine_math_facts.educator_accounts", ", account_id"),
    ],
)
def test_educators_who_left_are_listed_and_only_there_named(
    season: Season_, tenant_id: str, accounts: str, own: str, caplog: pytest.LogCaptureFixture
) -> None:
    season.tenant_id = tenant_id
    before = Town.in_full()
    after = before.next_year()
    teachers = before.of_role("teacher")
    gone, parent, stays = teachers[0], teachers[-1], teachers[1]
    after.retire([gone])
    after.change([parent], lambda person: replace(person, role="guardian"))
    season.begins(before, after)
    values = ":tenant, :school, :who, :name, now()" + ", :who || :school" * own.count(",")
    for who, school, name in (
        (gone, "elm", "=Gone"),
        (parent, "high", "Parent"),
        (stays, "elm", "Stays"),
        ("never-there", "elm", "Never"),
    ):
        season.run(
            f"INSERT INTO {accounts} (tenant_id, school_id, person_id, username, created_at{own}) VALUES ({values})",
            tenant=tenant_id,
            school=school,
            who=who,
            name=name,
        )
    with caplog.at_level(logging.INFO):
        result = season.verify()
    assert result["educators_to_remove"] == 3
    assert {key: school["educators_to_remove"] for key, school in result["schools"].items()} == {
        **dict.fromkeys((school.id for school in SCHOOLS), 0),
        "elm": 2,
        "high": 1,
    }
    lines = season.sheet("educators_to_remove.csv")
    assert [(line["school id"], line["username"], line["person id"]) for line in lines] == [
        ("elm", "'=Gone", gone),
        ("elm", "Never", "never-there"),
        ("high", "Parent", parent),
    ]
    assert lines[0]["last name"] and all("remove the account" in line["recommendation"] for line in lines)
    assert "3 educator accounts belong to people who are no longer educators" in caplog.text
    new = season.sheet("educators_to_add.csv")
    listed = [line["person id"] for line in new]
    assert len(listed) == len(set(listed)) == result["educators_to_add"] == result["educators"] - 1
    assert set(teachers) & set(listed) == set(teachers) - {gone, parent, stays}
    assert result["schools"]["elm"]["educators_to_add"] == sum(line["school id"] == "elm" for line in new) > 0
    assert new[0]["last name"] and {line["role"] for line in new} >= {"teacher"}
    assert all("add an account" in line["recommendation"] for line in new)
    for personal in (gone, "never-there", "Stays", "Gone", lines[0]["last name"]):
        assert f'"{personal}"' not in json.dumps(result) and f" {personal} " not in caplog.text


@pytest.mark.parametrize(("begins", "moved"), [(MonthDay(4, 1), "-4 months -12 days"), (MonthDay(1, 1), "12 months")])
def test_a_year_may_begin_in_april_or_january_where_the_district_says_so(
    season: Season_, begins: MonthDay, moved: str
) -> None:
    season.begins(Town.in_full())
    season.run(
        f"UPDATE roster.academic_sessions SET start_date = (start_date + interval '{moved}')::date, "
        f"end_date = (end_date + interval '{moved}')::date WHERE school_year = '{NEW_YEAR}'"
    )
    with pytest.raises(ProofFailed, match=r"which is not in 2026-27 \(from 2026-07-01"):
        season.verify()
    assert season.verify(begins=begins)["students"] == STUDENTS


def test_a_file_is_reported_by_name_number_and_hash(season: Season_) -> None:
    season.begins(Town.in_full())
    files = season.verify()["files"]
    assert [(each["file"], each["rows"]) for each in files] == [
        ("roster_check.csv", 5),
        ("roster_sample.csv", SAMPLE),
        ("educators_to_remove.csv", 0),
        ("educators_to_add.csv", files[3]["rows"]),
    ]
    assert files[3]["rows"] == season.verify()["educators"] > 0
    assert files[0]["delivered_to"] == "/springfield-il/hero/outbox/2026-27/roster_check.csv"
    assert (season.storage / "exports" / "roster_check.csv").read_bytes() == season.files["roster_check.csv"]


def test_a_roster_is_not_verified_before_its_files_are_delivered(
    season: Season_, monkeypatch: pytest.MonkeyPatch
) -> None:
    season.begins(Town.in_full())

    def unreachable(file: UPath, remote_path: str) -> None:
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(season, "deliver", unreachable)
    with pytest.raises(ConnectionError):
        season.verify()


def test_nobody_is_named_but_in_the_files(season: Season_, caplog: pytest.LogCaptureFixture) -> None:
    season.begins(Town.in_full())
    with caplog.at_level(logging.INFO):
        said = json.dumps(season.verify()) + caplog.text
    for personal in ("Ana", "Brook", "example.org", "user1", "2010-", "000001", "s100"):
        assert personal not in said.replace("2010-01", "2010-")
    assert (
        "Brook" in season.files["roster_sample.csv"].decode("utf-8-sig")
        or "Abt" in season.files["roster_sample.csv"].decode()
    )


def test_a_set_that_went_through_every_step(district: District) -> None:
    """Two years of a real set, from SFTP to the live roster."""
    assert district.apply(district.take_rows(whole_set())["import_id"])["applied"] is True
    district.run("UPDATE directory.tenants SET current_school_year = :year", year=NEW_YEAR)
    rows = whole_set(ends=2027)
    for file in ("users", "enrollments", "classes"):
        rows[file].append(dict(rows[file][-1]))  # twice in the files, word for word
    taken = district.take_rows(rows)
    assert district.apply(taken["import_id"])["applied"] is True, taken
    season = Season_(district.owner, district.engine, district.storage, district.tenant_id, taken["import_id"])
    result = season.verify()
    assert (result["students"], result["returning"], result["without_birth_date"]) == (3, 3, 1)
    assert result["schools"]["school-2"]["grades"] == {"06": 2}
    assert result["compared_with_files"] == "every row"
    district.run("UPDATE roster.enrollments SET row_hash = row_hash + 1 WHERE sourced_id = 'e2-2026-27'")
    with pytest.raises(
        ProofFailed, match=r"enrollments has 4 active rows that are not the 4 of the files \(in school-1\)"
    ):
        season.verify()
