"""People whose ids are changed by a set that does not say everything of them: what it leaves out stays theirs."""

from __future__ import annotations

import pytest

from rollover.roster.review.answers import Answer
from tests.roster.conftest import District
from tests.roster.test_at_once import applied
from tests.support.roster.generated_sets import Row, Rows, as_csv, as_files, clever, header, manifest, oneroster
from tests.support.roster.processes import killed_at
from tests.support.sampling import cases

pytestmark = pytest.mark.slow

LINKS = "SELECT student_id, guardian_id FROM roster.guardians WHERE status = 'active' ORDER BY 1, 2"
BIRTH_DATES = "SELECT sourced_id, birth_date FROM roster.people WHERE role = 'student' AND status = 'active' ORDER BY 1"


@pytest.fixture
def strict(district: District) -> District:
    """A district in which a single person with another id is too many."""
    district.limits = district.limits.model_copy(update={"least_rows": 1})
    return district


def take_in(district: District, files: dict[str, bytes]) -> str:
    taken = district.take(files)
    assert taken["state"] == "ready", taken
    assert district.apply(taken["import_id"])["applied"] is True
    return str(taken["import_id"])


def approve(district: District, files: dict[str, bytes]) -> str:
    """The set is held for its ids, and a person approves the map."""
    held = district.take(files)
    assert held["state"] == "in_review" and "rekeyed" in held["reason"], held
    district.decide(held["import_id"], Answer.APPROVE_WITH_ID_MAP)
    return str(held["import_id"])


def renumbered(rows: Rows, ids: set[str]) -> Rows:
    """The rows with ``new-`` before these ids, wherever they stand."""

    def new(value: str) -> str:
        return ",".join(f"new-{each}" if each in ids else each for each in value.split(","))

    columns = ("sourcedId", "userSourcedId", "agentSourcedIds", "Student_id")
    return {
        name: [{column: new(value) if column in columns else value for column, value in row.items()} for row in content]
        for name, content in rows.items()
    }


def without(rows: list[Row], names: list[str], *left_out: str) -> bytes:
    """A file without some columns."""
    return as_csv([name for name in names if not name.startswith(left_out)], rows)


def new_id(person: str, ids: set[str]) -> str:
    return f"new-{person}" if person in ids else person


def oneroster_without_demographics(rows: Rows) -> dict[str, bytes]:
    return as_files("oneroster_1_1", {**rows, "demographics.csv": []})


def test_birth_dates_stay_where_there_are_no_demographics(strict: District) -> None:
    rows, ids = oneroster("1_1", students=12), {"student-0", "student-1", "student-2", "parent-0"}
    take_in(strict, as_files("oneroster_1_1", rows))
    dates, links = strict.rows(BIRTH_DATES), strict.rows(LINKS)
    assert all(birth_date for _, birth_date in dates)
    import_id = approve(strict, oneroster_without_demographics(renumbered(rows, ids)))
    assert strict.apply(import_id)["applied"] is True
    assert strict.rows(BIRTH_DATES) == sorted((new_id(person, ids), birth_date) for person, birth_date in dates)
    assert strict.rows(LINKS) == sorted((new_id(student, ids), new_id(guardian, ids)) for student, guardian in links)
    strict.undo(import_id)
    assert (strict.rows(BIRTH_DATES), strict.rows(LINKS)) == (dates, links)


def test_guardians_stay_where_no_column_names_them(strict: District) -> None:
    rows, ids = oneroster("1_1", students=12), {"student-0", "student-1", "parent-0"}
    take_in(strict, as_files("oneroster_1_1", rows))
    links = strict.rows(LINKS)
    again = renumbered(rows, ids)
    files = as_files("oneroster_1_1", again)
    files["users.csv"] = without(again["users.csv"], header("oneroster_1_1", "users.csv"), "agentSourcedIds")
    import_id = approve(strict, files)
    strict.apply(import_id)
    assert strict.rows(LINKS) == sorted((new_id(student, ids), new_id(guardian, ids)) for student, guardian in links)
    strict.undo(import_id)
    assert strict.rows(LINKS) == links


def test_clevers_guardians_stay_where_there_are_no_contacts(strict: District) -> None:
    rows, ids = clever(students=12), {"000", "001", "002"}
    take_in(strict, as_files("clever", rows))
    links = strict.rows(LINKS)
    contacts = "SELECT * FROM roster.people WHERE sourced_id LIKE 'contact.%' AND status = 'active' ORDER BY sourced_id"
    before = strict.rows(contacts)
    assert len({student for student, _ in links} & ids) > 1 and before
    again = renumbered(rows, ids)
    students = {row["Student_id"]: row for row in again["students.csv"]}  # one row each, not one per contact
    files = as_files("clever", again)
    files["students.csv"] = without(list(students.values()), header("clever", "students.csv"), "Contact_")
    import_id = approve(strict, files)
    assert strict.apply(import_id)["applied"] is True
    assert strict.rows(LINKS) == sorted((new_id(student, ids), guardian) for student, guardian in links)
    assert strict.rows(contacts) == before
    strict.undo(import_id)
    assert (strict.rows(LINKS), strict.rows(contacts)) == (links, before)


def test_a_delta_that_renumbers_people_leaves_them_their_enrollments(strict: District) -> None:
    rows, ids = oneroster("1_1", students=12), {"student-0", "student-1"}
    take_in(strict, as_files("oneroster_1_1", rows))
    enrolled = "SELECT sourced_id, person_id FROM roster.enrollments WHERE status = 'active' ORDER BY 1"
    before = strict.rows(enrolled)
    changed = {"status": "active", "dateLastModified": "2026-01-05T08:00:00Z"}
    old = [{**row, **changed} for row in rows["users.csv"] if row["sourcedId"] in ids]
    users = [*({**row, "status": "tobedeleted"} for row in old), *renumbered({"users.csv": old}, ids)["users.csv"]]
    files = {
        "manifest.csv": manifest("oneroster_1_1", {"users": "delta"}),
        "users.csv": as_csv(header("oneroster_1_1", "users.csv"), users),
    }
    import_id = approve(strict, files)
    assert strict.apply(import_id)["applied"] is True
    assert strict.rows(enrolled) == [(enrollment, new_id(person, ids)) for enrollment, person in before]


def test_an_apply_that_is_killed_leaves_them_as_they_were(strict: District) -> None:
    rows, ids = oneroster("1_1", students=12), {"student-0", "student-1", "student-2"}
    take_in(strict, as_files("oneroster_1_1", rows))
    dates = strict.rows(BIRTH_DATES)
    import_id = approve(strict, oneroster_without_demographics(renumbered(rows, ids)))
    url, statement = strict.engine.url.render_as_string(hide_password=False), 20
    while killed_at(statement, applied, url, strict.tenant_id, import_id, str(strict.storage)):
        assert strict.rows(BIRTH_DATES) == dates
        statement += cases(12, 1)
    assert strict.rows(BIRTH_DATES) == sorted((new_id(person, ids), birth_date) for person, birth_date in dates)
