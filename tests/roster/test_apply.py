"""From upload to live roster, against a real SFTP server and a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from rollover.database.session import tenant_session
from rollover.database.tables import metadata
from rollover.errors import Refused
from rollover.roster.imports.files import staged_file
from rollover.roster.imports.queue import pending, ready_import
from rollover.roster.imports.roster_version import roster_version
from rollover.roster.review.answers import Answer
from tests.roster.conftest import OTHER, District
from tests.support.roster.small_set import Rows, row_of, whole_set


def counts(**rows: int) -> dict[str, int]:
    """The counts of one table."""
    return {**dict.fromkeys(("added", "returned", "changed", "unchanged", "removed"), 0), **rows}


def everything_of(district: District) -> dict[str, Any]:
    """Every row of the roster and the product, to the version that PostgreSQL keeps of it."""
    names = [name for name in metadata.tables if name.split(".")[0] in ("roster", district.tenant_id.split("__")[0])]
    return {name: district.rows(f"SELECT t::text, xmin::text FROM {name} t ORDER BY 1") for name in names}


def version_of(district: District) -> int:
    with tenant_session(district.engine, district.tenant_id) as connection:
        return roster_version(connection)


PEOPLE = "SELECT sourced_id, status, grade, last_year_grade FROM roster.people ORDER BY 1"


def in_current_year(district: District) -> str:
    """The district's first set of 2025-26 is live."""
    taken = district.take_rows(whole_set())
    assert district.apply(taken["import_id"])["applied"] is True
    return str(taken["import_id"])


def test_a_first_set_becomes_the_live_roster(district: District) -> None:
    import_id = in_current_year(district)

    assert district.rows("SELECT count(*), min(import_id), max(status) FROM roster.enrollments") == [
        (4, import_id, "active")
    ]
    assert district.rows(
        "SELECT sourced_id, role, given_name, grade, birth_date::text, school_ids, enabled, tenant_id "
        "FROM roster.people WHERE role = 'student' ORDER BY 1"
    ) == [
        ("student-1", "student", "Zoë", "02", "2017-03-01", ["school-1"], True, district.tenant_id),
        (
            "student-2",
            "student",
            "Zoë",
            "05",
            "2017-03-02",
            ["springfield-district", "school-2"],
            True,
            district.tenant_id,
        ),
        ("student-3", "student", "Zoë", "05", None, ["school-2"], True, district.tenant_id),
    ]
    # parent-1 is named by the student; parent-2 names two students.
    assert district.rows("SELECT student_id, guardian_id FROM roster.guardians ORDER BY 1, 2") == [
        ("student-1", "parent-1"),
        ("student-1", "parent-2"),
        ("student-2", "parent-2"),
    ]
    assert district.rows("SELECT name FROM roster.orgs WHERE sourced_id = 'school-2'") == [
        ('Oak, Hill & "Vale" School',)
    ]
    assert district.rows("SELECT title, periods, grades, term_ids FROM roster.classes LIMIT 1") == [
        ('Math "A", period 1', ["1", "2"], [], ["fall-2025-26"])
    ]
    assert district.rows("SELECT DISTINCT school_year, end_date::text FROM roster.academic_sessions ORDER BY 2") == [
        ("2025-26", "2026-01-10"),
        ("2025-26", "2026-06-05"),
    ]
    assert district.rows("SELECT state, school_year FROM ledger.imports") == [("applied", "2025-26")]


def test_an_update_changes_what_differs_and_nothing_else(district: District) -> None:
    first = in_current_year(district)
    rows = whole_set()
    row_of(rows, "users", "student-3")["grades"] = "06"
    rows["users"] = [row for row in rows["users"] if row["sourcedId"] != "parent-1"]
    row_of(rows, "users", "student-1")["agentSourcedIds"] = ""
    rows["users"].append({**row_of(rows, "users", "student-3"), "sourcedId": "student-4"})

    second = district.take_rows(rows)
    changes = second["details"]["changes"]
    assert changes["people"] == counts(added=1, changed=1, unchanged=4, removed=1)
    assert changes["guardians"] == counts(unchanged=2, removed=1)
    assert changes["enrollments"] == counts(unchanged=4)

    assert district.apply(second["import_id"])["details"]["changes"] == changes
    assert district.rows("SELECT sourced_id, status, import_id FROM roster.people ORDER BY 1") == [
        ("parent-1", "tobedeleted", second["import_id"]),
        ("parent-2", "active", first),
        ("student-1", "active", first),
        ("student-2", "active", first),
        ("student-3", "active", second["import_id"]),
        ("student-4", "active", second["import_id"]),
        ("teacher-1", "active", first),
    ]
    # Within a year nobody was promoted.
    assert district.rows("SELECT DISTINCT last_year_grade FROM roster.people") == [(None,)]


def test_a_row_that_reappears_is_active_again(district: District) -> None:
    in_current_year(district)
    without = whole_set()
    without["enrollments"] = without["enrollments"][:3]
    district.apply(district.take_rows(without)["import_id"])
    gone = "SELECT sourced_id FROM roster.enrollments WHERE status = 'tobedeleted'"
    assert district.rows(gone) == [("e4-2025-26",)]

    again = district.take_rows({**whole_set(), "orgs": whole_set()["orgs"][::-1]})
    assert again["details"]["changes"]["enrollments"] == counts(returned=1, unchanged=3)
    district.apply(again["import_id"])
    assert district.rows(gone) == []


def test_the_same_files_again_are_not_even_staged(district: District) -> None:
    first = in_current_year(district)
    version, before = version_of(district), everything_of(district)
    second = district.take_rows(whole_set())
    assert second["state"] == "ready" and second["details"]["unchanged"] is True
    assert not staged_file(district.storage, second["import_id"], "people").exists()

    applied = district.apply(second["import_id"])
    assert applied["applied"] is True and applied["details"]["applied"]["same_as"] == first
    assert applied["details"]["changes"]["people"] == counts(unchanged=6)
    assert (version_of(district), everything_of(district)) == (version, before)
    third = district.apply(district.take_rows(whole_set())["import_id"])
    assert third["details"]["applied"]["same_as"] == first, "the one that has staged files"


def test_the_same_rows_in_other_files_touch_no_row(district: District) -> None:
    in_current_year(district)
    version, before = version_of(district), everything_of(district)
    rows = whole_set()
    rows["users"].reverse()
    second = district.take_rows(rows)
    assert "unchanged" not in second["details"]
    assert district.apply(second["import_id"])["applied"] is True
    assert (version_of(district), everything_of(district)) == (version, before)
    assert all(each == counts(unchanged=each["unchanged"]) for each in second["details"]["changes"].values())


def test_files_that_were_live_are_staged_after_all_once_others_are(district: District) -> None:
    in_current_year(district)
    same = district.take_rows(whole_set())
    rows = whole_set()
    row_of(rows, "users", "student-1")["grades"] = "03"
    other = district.take_rows(rows)
    assert district.apply(other["import_id"], rollover_id="r")["applied"] is True
    # Of two that are ready, the newer is live; so the older is out of the question.
    assert district.apply(same["import_id"])["state"] == "superseded"

    again = district.take_rows(rows)
    assert again["details"]["unchanged"] is True
    district.undo(other["import_id"])
    sent_back = district.apply(again["import_id"])
    assert (sent_back["applied"], sent_back["state"]) == (False, "fetched")
    assert district.go_on(again["import_id"])["reason"] == "over its limits: seen_before (1)"
    district.decide(again["import_id"], Answer.APPROVE)
    assert district.apply(again["import_id"])["applied"] is True
    assert ("student-1", "active", "03", None) in district.rows(PEOPLE)


def test_a_set_without_demographics_keeps_the_birth_dates(district: District) -> None:
    in_current_year(district)
    rows = whole_set()
    rows["demographics"] = []
    taken = district.take_rows(rows)
    assert taken["details"]["changes"]["people"]["unchanged"] == 6
    district.apply(taken["import_id"])
    assert district.rows("SELECT birth_date::text FROM roster.people WHERE sourced_id = 'student-1'") == [
        ("2017-03-01",)
    ]


def test_a_set_of_the_next_year_waits_for_the_rollover(district: District) -> None:
    in_current_year(district)
    taken = district.take_rows(whole_set(ends=2027))
    import_id = taken["import_id"]
    assert (taken["state"], taken["school_year"]) == ("ready", "2026-27")

    kept = district.apply(import_id, rollover_id="r")
    assert kept["applied"] is False
    assert kept["reason"] == "kept for the rollover: the set is of 2026-27, the tenant is in 2025-26"
    assert pending(district.engine, district.tenant_id) == [import_id]
    with tenant_session(district.engine, district.tenant_id) as connection:
        assert ready_import(connection, "2026-27") == import_id
        assert ready_import(connection, "2025-26") is None

    district.run("UPDATE directory.tenants SET current_school_year = '2026-27'")
    assert district.apply(import_id, rollover_id="r")["applied"] is True
    assert district.rows(PEOPLE) == [
        ("parent-1", "active", None, None),
        ("parent-2", "active", None, None),
        ("student-1", "active", "03", "02"),
        ("student-2", "active", "06", "05"),
        ("student-3", "active", "06", "05"),
        ("teacher-1", "active", None, None),
    ]
    assert pending(district.engine, district.tenant_id) == []


def test_grades_are_remembered_once_a_year(district: District) -> None:
    in_current_year(district)
    district.run("UPDATE directory.tenants SET current_school_year = '2026-27'")
    for grade in ("03", "04"):
        rows = whole_set(ends=2027)
        row_of(rows, "users", "student-1")["grades"] = grade
        assert district.apply(district.take_rows(rows)["import_id"])["applied"] is True
    assert district.rows("SELECT grade, last_year_grade FROM roster.people WHERE sourced_id = 'student-1'") == [
        ("04", "02")
    ]


def test_only_students_who_were_there_have_a_grade_of_last_year(district: District) -> None:
    rows = whole_set()
    row_of(rows, "users", "teacher-1")["grades"] = "05"
    district.apply(district.take_rows(rows)["import_id"])
    district.run("UPDATE roster.people SET last_year_grade = '04'")
    left = "UPDATE roster.people SET status = 'tobedeleted' WHERE sourced_id = 'student-3'"
    district.run(left)
    district.run("UPDATE directory.tenants SET current_school_year = '2026-27'")
    next_year = whole_set(ends=2027)
    next_year["users"] = [row for row in next_year["users"] if row["sourcedId"] != "student-3"]
    next_year["enrollments"] = next_year["enrollments"][:3]
    assert district.apply(district.take_rows(next_year)["import_id"])["applied"] is True
    assert {who: before for who, _, _, before in district.rows(PEOPLE) if before} == {
        "student-1": "02",
        "student-2": "05",
    }


def test_a_paused_tenant_keeps_its_drops(district: District) -> None:
    district.run(
        "INSERT INTO ledger.pauses (tenant_id, paused_by, reason) VALUES (:tenant, 'the rollover', 'reset day')",
        tenant=district.tenant_id,
    )
    import_id = district.take_rows(whole_set())["import_id"]
    assert district.apply(import_id) | {"details": None} == {
        "import_id": import_id,
        "state": "ready",
        "school_year": "2025-26",
        "reason": "paused by the rollover: reset day",
        "details": None,
        "applied": False,
    }
    assert district.rows("SELECT count(*) FROM roster.people") == [(0,)]
    # The rollover that holds the pause may import.
    assert district.apply(import_id, rollover_id="r")["applied"] is True


def test_a_pause_of_another_tenant_does_not_matter(district: District) -> None:
    district.run("INSERT INTO ledger.pauses (tenant_id, paused_by, reason) VALUES (:t, 'x', 'y')", t=OTHER)
    assert in_current_year(district)


def test_a_newer_set_makes_the_older_one_superfluous(district: District) -> None:
    old = district.take_rows(whole_set())["import_id"]
    new = district.take_rows(whole_set())["import_id"]
    assert pending(district.engine, district.tenant_id) == [old, new]

    overtaken = district.apply(old)
    assert (overtaken["state"], overtaken["applied"]) == ("superseded", False)
    assert overtaken["reason"] == f"import {new} of the same school year is newer"
    assert district.apply(new)["applied"] is True


def test_a_rollover_takes_the_set_it_waited_for(district: District) -> None:
    awaited = district.take_rows(whole_set())["import_id"]
    later = district.take_rows(whole_set())["import_id"]
    assert district.apply(awaited, rollover_id="r")["applied"] is True
    assert district.apply(later)["applied"] is True


def test_applying_supersedes_older_ready_sets_but_not_those_of_the_next_year(district: District) -> None:
    next_year = district.take_rows(whole_set(ends=2027))["import_id"]
    old = district.take_rows(whole_set())["import_id"]
    in_current_year(district)
    states = dict(district.rows("SELECT import_id, state FROM ledger.imports"))
    assert (states[old], states[next_year]) == ("superseded", "ready")


def test_a_set_of_a_year_that_is_over_is_superseded(district: District) -> None:
    import_id = district.take_rows(whole_set())["import_id"]
    district.run("UPDATE directory.tenants SET current_school_year = '2026-27'")
    result = district.apply(import_id)
    assert (result["state"], result["applied"]) == ("superseded", False)
    assert district.rows("SELECT count(*) FROM roster.people") == [(0,)]


def test_applying_again_says_so_and_changes_nothing(district: District) -> None:
    import_id = in_current_year(district)
    before = district.rows("SELECT *, xmin::text FROM roster.people ORDER BY sourced_id")
    assert district.apply(import_id)["applied"] is True
    assert district.rows("SELECT *, xmin::text FROM roster.people ORDER BY sourced_id") == before


def test_an_import_that_is_not_ready_is_refused(district: District) -> None:
    import_id = district.upload({"users.csv": b"sourcedId\n"})
    with pytest.raises(Refused, match="is found, not ready"):
        district.apply(import_id)


def test_an_import_of_another_tenant_does_not_exist(district: District) -> None:
    import_id = district.take_rows(whole_set())["import_id"]
    district.tenant_id = OTHER
    with pytest.raises(Refused, match="no import"):
        district.apply(import_id)


def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_current_year(district)
    rows: Rows = whole_set()
    row_of(rows, "users", "student-1")["grades"] = "03"
    import_id = district.take_rows(rows)["import_id"]
    before = district.rows(PEOPLE)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("rollover.roster.applying.merge.provision", killed)
        with pytest.raises(KeyboardInterrupt):
            district.apply(import_id)
    assert district.rows(PEOPLE) == before
    assert district.rows("SELECT state FROM ledger.imports WHERE import_id = :id", id=import_id) == [("ready",)]

    assert district.apply(import_id)["applied"] is True
    assert ("student-1", "active", "03", None) in district.rows(PEOPLE)
