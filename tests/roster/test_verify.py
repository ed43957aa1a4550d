"""The last look at the new year's roster: what passes, what is refused, and what is only told."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from rollover.database.session import tenant_session
from rollover.errors import ProofFailed
from rollover.roster.verify import verify_roster
from tests.roster.conftest import District
from tests.roster.sets import Rows, row_of, whole_set

NEW_YEAR = "2026-27"
EIGHTH_GRADERS, SEVENTH_GRADERS = 20, 10


def add_students(rows: Rows, kind: str, count: int, grade: str) -> None:
    model = row_of(rows, "users", "student-3")
    rows["users"] += [{**model, "sourcedId": f"{kind}-{n}", "grades": grade} for n in range(count)]


def this_year() -> Rows:
    """A district whose highest grade is 8."""
    rows = whole_set()
    add_students(rows, "seventh", SEVENTH_GRADERS, "07")
    add_students(rows, "eighth", EIGHTH_GRADERS, "08")
    return rows


def next_year(*, eighth_graders: int = 0, grade: str = "08") -> Rows:
    """Everybody is promoted, and last year's eighth graders have left, but for some."""
    rows = whole_set(ends=2027)
    add_students(rows, "seventh", SEVENTH_GRADERS, "08")
    add_students(rows, "eighth", eighth_graders, grade)
    return rows


def in_new_year(district: District, before: Rows, after: Rows) -> str:
    """Both years' sets are applied; returns the second one's import."""
    assert district.apply(district.take_rows(before)["import_id"])["applied"] is True
    district.run("UPDATE directory.tenants SET current_school_year = :year", year=NEW_YEAR)
    taken = district.take_rows(after)
    assert district.apply(taken["import_id"])["applied"] is True, taken
    return str(taken["import_id"])


def verify(district: District, import_id: str) -> dict[str, Any]:
    product = district.tenant_id.split("__")[0]
    with tenant_session(district.engine, district.tenant_id) as connection:
        return verify_roster(connection, import_id, NEW_YEAR, district.storage, product=product)


def test_a_roster_as_it_should_be(district: District) -> None:
    counts = verify(district, in_new_year(district, this_year(), next_year()))
    assert counts == {
        "students": 13,
        "without_grade": 0,
        "without_birth_date": 11,
        "graduates_still_there": 0,
        "in_the_same_grade": 0,
        "returning": 13,
        "without_classes": 10,
        "without_guardian_email": 11,
        "first_period": "2026-08-15",
        "educators_who_left": {},
        "schools_with_old_bell_schedules": 0,
    }


def test_a_row_that_the_files_hold_twice_does_no_harm(district: District) -> None:
    rows = next_year()
    for file in ("users", "enrollments", "classes"):
        rows[file].append(dict(rows[file][-1]))
    import_id = in_new_year(district, this_year(), rows)
    assert verify(district, import_id)["students"] == 13
    district.run("UPDATE roster.enrollments SET row_hash = row_hash + 1 WHERE sourced_id = 'e2-2026-27'")
    with pytest.raises(ProofFailed, match="enrollments has 4 active rows that are not the 4 of the files"):
        verify(district, import_id)


@pytest.mark.parametrize("grade", ["08", "09"])
def test_the_highest_grade_of_last_year_has_left_but_for_a_few(district: District, grade: str) -> None:
    import_id = in_new_year(district, this_year(), next_year(eighth_graders=2, grade=grade))
    assert verify(district, import_id)["graduates_still_there"] == 2

    one_more = district.take_rows(next_year(eighth_graders=3, grade=grade))["import_id"]
    district.apply(one_more)
    with pytest.raises(ProofFailed, match="3 of the 20 who were in grade 08, last year's highest, are still there"):
        verify(district, one_more)


def test_who_left_in_earlier_years_does_not_make_the_class_larger(district: District) -> None:
    before = this_year()
    with_alumni = this_year()
    add_students(with_alumni, "alumna", 100, "08")
    district.apply(district.take_rows(with_alumni)["import_id"])
    district.run("UPDATE roster.people SET last_year_grade = '08' WHERE sourced_id LIKE 'alumna-%'")
    import_id = in_new_year(district, before, next_year(eighth_graders=3))
    with pytest.raises(ProofFailed, match="3 of the 20 "):
        verify(district, import_id)


@pytest.mark.parametrize("stray", ["13", "UG", "PS"])
def test_one_student_in_another_grade_does_not_hide_the_class(district: District, stray: str) -> None:
    before, after = this_year(), next_year(eighth_graders=EIGHTH_GRADERS, grade="09")
    add_students(before, "filler", 20, "03")
    add_students(before, "stray", 1, stray)
    import_id = in_new_year(district, before, after)
    with pytest.raises(ProofFailed, match="20 of the 20 who were in grade 08"):
        verify(district, import_id)


@pytest.mark.parametrize(("without", "passes"), [(6, True), (7, False)])
def test_most_students_have_a_grade(district: District, without: int, passes: bool) -> None:
    rows = next_year()
    for row in [row for row in rows["users"] if row["sourcedId"].startswith("seventh")][:without]:
        row["grades"] = ""
    import_id = in_new_year(district, this_year(), rows)
    if passes:
        assert verify(district, import_id)["without_grade"] == 6
    else:
        with pytest.raises(ProofFailed, match="7 of 13 students have no grade"):
            verify(district, import_id)


def test_nobody_was_promoted(district: District) -> None:
    rows = next_year()
    for student, grade in (("student-1", "02"), ("student-2", "05"), ("student-3", "05")):
        row_of(rows, "users", student)["grades"] = grade
    for n in range(4):
        row_of(rows, "users", f"seventh-{n}")["grades"] = "07"
    import_id = in_new_year(district, this_year(), rows)
    with pytest.raises(ProofFailed, match="7 of 13 returning students are not promoted"):
        verify(district, import_id)


def test_a_class_of_last_years_term_is_refused(district: District) -> None:
    rows = next_year()
    rows["academicSessions"] += [row for row in whole_set()["academicSessions"] if row["type"] == "semester"]
    row_of(rows, "academicSessions", "fall-2025-26")["parentSourcedId"] = ""
    row_of(rows, "classes", "class-1-2026-27")["termSourcedIds"] = "fall-2026-27,fall-2025-26"
    import_id = in_new_year(district, this_year(), rows)
    with pytest.raises(ProofFailed, match=r"1 classes are of terms that are not of 2026-27\."):
        verify(district, import_id)


@pytest.mark.parametrize(
    ("starts", "passes"), [("2026-06-30", False), ("2026-07-01", True), ("2027-06-30", True), ("2027-07-01", False)]
)
def test_the_first_grading_period_begins_in_the_new_year(district: District, starts: str, passes: bool) -> None:
    rows = next_year()
    fall = row_of(rows, "academicSessions", "fall-2026-27")
    period = {**fall, "sourcedId": "period-1", "type": "gradingPeriod", "startDate": starts, "endDate": "2027-08-01"}
    rows["academicSessions"].append(period)
    import_id = in_new_year(district, this_year(), rows)
    if passes:
        assert verify(district, import_id)["first_period"] == starts
    else:
        with pytest.raises(ProofFailed, match=f"begins on {starts}, which is not in 2026-27"):
            verify(district, import_id)


ACCOUNTS = {
    "hero": "hero.employee_logins (tenant_id, school_id, person_id, login_id, username, created_at, password_hash)",
    **{
        product: f"{product}.educator_accounts (tenant_id, school_id, person_id, account_id, username, created_at)"
        for product in ("imagine_math", "imagine_math_facts")
    },
}


@pytest.mark.parametrize("tenant_id", list(ACCOUNTS), indirect=True)
def test_educators_who_left_are_counted_and_not_named(district: District, caplog: pytest.LogCaptureFixture) -> None:
    before = this_year()
    before["users"].append({**row_of(before, "users", "teacher-1"), "sourcedId": "teacher-2"})
    import_id = in_new_year(district, before, next_year())
    product = district.tenant_id.split("__")[0]
    district.run(f"DELETE FROM {ACCOUNTS[product].split()[0]}")
    values = ":tenant, :school, :who, :who || '-a', :who || '-login', now()" + (", 'hash'" if product == "hero" else "")
    for who, school in (("teacher-1", "school-1"), ("teacher-2", "school-1"), ("never-there", "school-2")):
        statement = f"INSERT INTO {ACCOUNTS[product]} VALUES ({values})"
        district.run(statement, tenant=district.tenant_id, school=school, who=who)

    with caplog.at_level(logging.INFO):
        counts = verify(district, import_id)
    assert counts["educators_who_left"] == {"school-1": 1, "school-2": 1}
    assert "2 educator accounts belong to people who are no longer in the roster" in caplog.text
    for said in (caplog.text, json.dumps(counts)):
        assert "teacher-" not in said and "never-there" not in said
