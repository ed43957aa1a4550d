"""Deltas, laid over the live roster: what they add, change and delete, and what they leave as it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.roster.conftest import District
from tests.support.roster.generated_sets import DISTRICT_ORG, Row, Rows, as_files, header, oneroster

NOW = "2026-01-05T08:00:00Z"


def said(spec: str, file: str, status: str = "active", **values: str) -> Row:
    """One row of a delta."""
    row = dict.fromkeys(header(spec, f"{file}.csv"), "")
    assert set(values) <= set(row)
    return {**row, "status": status, "dateLastModified": NOW, **values}


class Sync:
    """A district that has sent everything once, and sends deltas from then on."""

    def __init__(self, district: District, version: str = "1_1") -> None:
        self.district = district
        self.spec = f"oneroster_{version}"
        self.bulk = oneroster(version, students=4)
        first = district.take(as_files(self.spec, self.bulk))
        assert first["details"]["errors"] == {}
        assert district.apply(first["import_id"])["applied"] is True
        self.live = self.tables()

    def send(self, rows: Rows, **modes: str) -> dict[str, Any]:
        """A delta of `rows`, but for files that `modes` says are bulk."""
        modes = {**{file.removesuffix(".csv"): "delta" for file, content in rows.items() if content}, **modes}
        return self.district.take(as_files(self.spec, rows, modes))

    def apply(self, rows: Rows, **modes: str) -> dict[str, Any]:
        result = self.send(rows, **modes)
        assert result["state"] == "ready", result
        assert self.district.apply(result["import_id"])["applied"] is True
        return result

    def row(self, file: str, sourced_id: str, **values: str) -> Row:
        """The bulk set's row, changed, as a delta sends it."""
        found = next(row for row in self.bulk[f"{file}.csv"] if row["sourcedId"] == sourced_id)
        return {**found, "status": "active", "dateLastModified": NOW, **values}

    def tables(self) -> dict[str, dict[str, tuple[Any, ...]]]:
        """Every active row of the live roster, by table and key."""
        found: dict[str, dict[str, tuple[Any, ...]]] = {}
        for table in ("orgs", "academic_sessions", "courses", "classes", "people", "enrollments"):
            rows = self.district.rows(f"SELECT sourced_id, t::text FROM roster.{table} t WHERE status = 'active'")
            # Without what changes with every import that touches a row.
            found[table] = {sourced_id: tuple(text.split(",active,")[0].split(",")) for sourced_id, text in rows}
        links = "SELECT student_id, guardian_id FROM roster.guardians WHERE status = 'active'"
        found["guardians"] = {f"{student} {guardian}": () for student, guardian in self.district.rows(links)}
        return found

    def changed(self) -> dict[str, set[str]]:
        """The keys whose rows are not as they were first, by table."""
        now = self.tables()
        keys = {t: {k for k in {*now[t], *self.live[t]} if now[t].get(k) != self.live[t].get(k)} for t in now}
        return {table: changed for table, changed in keys.items() if changed}


@pytest.fixture
def sync(district: District) -> Sync:
    return Sync(district)


def test_a_delta_adds_changes_and_deletes_and_leaves_the_rest(sync: Sync) -> None:
    new = {"givenName": "New", "familyName": "Student", "username": "new", "enabledUser": "true", "grades": "03"}
    result = sync.apply(
        {
            "users.csv": [
                said(sync.spec, "users", sourcedId="student-9", role="student", orgSourcedIds="school-1", **new),
                sync.row("users", "student-0", givenName="Other"),
            ],
            "enrollments.csv": [
                said(
                    sync.spec,
                    "enrollments",
                    sourcedId="e9",
                    classSourcedId="class-1-fall",
                    schoolSourcedId="school-1",
                    userSourcedId="student-9",
                    role="student",
                ),
                sync.row("enrollments", "student-1-fall", status="tobedeleted"),
            ],
        }
    )
    assert (result["details"]["errors"], result["details"]["warnings"]) == ({}, {})
    assert sync.changed() == {"people": {"student-9", "student-0"}, "enrollments": {"e9", "student-1-fall"}}
    assert "student-1-fall" not in sync.tables()["enrollments"]
    assert sync.district.rows("SELECT status FROM roster.enrollments WHERE sourced_id = 'student-1-fall'") == [
        ("tobedeleted",)
    ]


def test_what_was_deleted_comes_back(sync: Sync) -> None:
    sync.apply({"enrollments.csv": [sync.row("enrollments", "student-1-fall", status="tobedeleted")]})
    sync.apply({"enrollments.csv": [sync.row("enrollments", "student-1-fall")]})
    assert sync.changed() == {}


def test_a_deleted_row_needs_nothing_but_its_identity(sync: Sync) -> None:
    result = sync.apply(
        {"enrollments.csv": [said(sync.spec, "enrollments", "tobedeleted", sourcedId="student-1-fall")]}
    )
    assert result["details"]["errors"] == {}
    assert sync.changed() == {"enrollments": {"student-1-fall"}}


def test_a_row_in_error_leaves_the_live_row_as_it_is(sync: Sync) -> None:
    result = sync.apply(
        {
            "users.csv": [
                sync.row("users", "student-0", givenName=""),
                sync.row("users", "student-1", givenName="Good"),
                sync.row("users", "student-2", status="inactive"),
                sync.row("users", "student-3", status=""),
            ],
            "enrollments.csv": [sync.row("enrollments", "student-0-fall", classSourcedId="nowhere")],
        }
    )
    assert sync.changed() == {"people": {"student-1"}}
    assert sync.district.findings(result["import_id"]) == {
        ("value_missing", "error", "users.csv", 2, "givenName"),
        ("bad_value", "error", "users.csv", 4, "status"),
        ("value_missing", "error", "users.csv", 5, "status"),
        ("reference", "error", "enrollments.csv", 2, "classSourcedId"),
    }


def test_what_is_new_and_in_error_takes_what_depends_on_it_with_it(sync: Sync) -> None:
    enrolled = {"classSourcedId": "class-1-fall", "schoolSourcedId": "school-1", "userSourcedId": "student-9"}
    result = sync.apply(
        {
            "users.csv": [
                said(sync.spec, "users", sourcedId="student-9", role="student", orgSourcedIds="school-1"),
                sync.row("users", "student-0", givenName="Other"),
            ],
            "enrollments.csv": [said(sync.spec, "enrollments", sourcedId="e9", role="student", **enrolled)],
        }
    )
    assert sync.changed() == {"people": {"student-0"}}
    assert ("depends_on_rejected", "error", "enrollments.csv", 2, "userSourcedId") in sync.district.findings(
        result["import_id"]
    )


def test_what_refers_to_a_deleted_row_goes_with_it(sync: Sync) -> None:
    result = sync.apply({"classes.csv": [sync.row("classes", "class-1-fall", status="tobedeleted")]})
    enrolled = {f"{person}-fall" for person in ("teacher-1", "student-1", "student-3")}
    assert sync.changed() == {"classes": {"class-1-fall"}, "enrollments": enrolled}
    assert result["details"]["errors"] == {}
    assert sync.district.findings(result["import_id"]) == {
        ("depends_on_deleted", "warning", "enrollments.csv", None, None)
    }


def test_a_deleted_person_goes_with_links_and_enrollments(sync: Sync) -> None:
    person = sync.row("users", "student-1", status="tobedeleted")
    gone = [sync.row("enrollments", f"student-1-{term}", status="tobedeleted") for term in ("fall", "spring")]
    result = sync.apply({"users.csv": [person], "enrollments.csv": gone})
    assert sync.changed() == {
        "people": {"student-1"},
        "guardians": {"student-1 parent-0"},
        "enrollments": {"student-1-fall", "student-1-spring"},
    }
    assert result["details"]["errors"] == {}


def test_a_deleted_term_stays_out_of_the_classes_that_have_another(sync: Sync) -> None:
    sync.apply({"classes.csv": [sync.row("classes", "class-0-fall", termSourcedIds="fall,spring")]})
    sync.apply({"academicSessions.csv": [sync.row("academicSessions", "fall", status="tobedeleted")]})
    terms = sync.district.rows("SELECT sourced_id, term_ids FROM roster.classes WHERE status = 'active' ORDER BY 1")
    assert terms == [("class-0-fall", ["spring"]), ("class-0-spring", ["spring"]), ("class-1-spring", ["spring"])]


def test_demographics_only(sync: Sync) -> None:
    result = sync.apply({"demographics.csv": [sync.row("demographics", "student-0", birthDate="2013-01-02")]})
    assert result["details"]["warnings"] == {}
    assert sync.changed() == {"people": {"student-0"}}
    assert sync.district.rows("SELECT birth_date::text FROM roster.people WHERE sourced_id = 'student-0'") == [
        ("2013-01-02",)
    ]
    sync.apply({"demographics.csv": [sync.row("demographics", "student-0", status="tobedeleted")]})
    assert sync.district.rows("SELECT birth_date FROM roster.people WHERE sourced_id = 'student-0'") == [(None,)]


def test_a_guardian_who_is_not_named_any_more_on_both_sides_is_unlinked(sync: Sync) -> None:
    sync.apply({"users.csv": [sync.row("users", "student-0", agentSourcedIds="")]})
    assert sync.changed() == {}, "the guardian's side still names the student"
    sync.apply({"users.csv": [sync.row("users", "student-0", agentSourcedIds=""), sync.row("users", "parent-0")]})
    assert sync.changed() == {"guardians": {"student-0 parent-0"}}


def test_a_column_that_is_not_there_keeps_what_is_live(sync: Sync) -> None:
    row = sync.row("users", "student-0", givenName="Other")
    rows: Rows = {"users.csv": [row]}
    files = as_files(sync.spec, rows, {"users": "delta"})
    names = [name for name in header(sync.spec, "users.csv") if name not in ("grades", "email", "agentSourcedIds")]
    lines = [names, [row[name] for name in names]]
    files["users.csv"] = "".join(",".join(line) + "\r\n" for line in lines).encode()
    result = sync.district.take(files)
    assert sync.district.apply(result["import_id"])["applied"] is True
    assert sync.changed() == {"people": {"student-0"}}
    person = "SELECT given_name, grade, email FROM roster.people WHERE sourced_id = 'student-0'"
    assert sync.district.rows(person) == [("Other", "01", "student-0@example.org")]


def test_a_file_that_is_bulk_among_deltas_is_the_whole_truth(sync: Sync) -> None:
    enrolled = [row for row in sync.bulk["enrollments.csv"] if row["sourcedId"] != "student-1-fall"]
    person = sync.row("users", "student-0", givenName="Other")
    sync.apply({"users.csv": [person], "enrollments.csv": enrolled}, enrollments="bulk")
    assert sync.changed() == {"people": {"student-0"}, "enrollments": {"student-1-fall"}}


def test_a_bulk_row_may_refer_to_what_is_live(sync: Sync) -> None:
    enrolled = [*sync.bulk["enrollments.csv"], {**sync.bulk["enrollments.csv"][-1], "sourcedId": "e9"}]
    course = sync.row("courses", "course-0", title="Algebra")
    result = sync.apply({"courses.csv": [course], "enrollments.csv": enrolled}, enrollments="bulk")
    assert result["details"]["errors"] == {}
    assert sync.changed() == {"courses": {"course-0"}, "enrollments": {"e9"}}


def test_status_and_date_are_filled_in_a_delta(sync: Sync) -> None:
    dates = ("", "2026-01-05", "2026-01-05T08:00:00.123Z")
    rows = [sync.row("users", f"student-{n}", dateLastModified=when) for n, when in enumerate(dates)]
    result = sync.send({"users.csv": rows})
    assert sync.district.findings(result["import_id"]) == {
        ("value_missing", "warning", "users.csv", 2, "dateLastModified"),
        ("bad_datetime", "warning", "users.csv", 3, "dateLastModified"),
    }


def test_a_delta_without_a_status_column_is_refused(sync: Sync) -> None:
    files = as_files(sync.spec, {"users.csv": [sync.row("users", "student-0")]}, {"users": "delta"})
    files["users.csv"] = files["users.csv"].replace(b"status", b"metadata.s")
    result = sync.district.take(files)
    assert result["state"] == "rejected"
    assert ("column_missing", "error", "users.csv", 1, "status") in sync.district.findings(result["import_id"])


def test_an_empty_delta_says_nothing(sync: Sync) -> None:
    files = as_files(sync.spec, {"users.csv": [sync.row("users", "student-0", givenName="Other")]}, {"users": "delta"})
    files["enrollments.csv"] = ",".join(header(sync.spec, "enrollments.csv")).encode() + b"\r\n"
    files["manifest.csv"] = files["manifest.csv"].replace(b"file.enrollments,absent", b"file.enrollments,delta")
    result = sync.district.take(files)
    assert sync.district.apply(result["import_id"])["applied"] is True
    assert sync.changed() == {"people": {"student-0"}}
    assert ("empty_file", "warning", "enrollments.csv", None, None) in sync.district.findings(result["import_id"])


def test_a_manifest_alone_says_that_there_are_no_updates(sync: Sync) -> None:
    result = sync.district.take(as_files(sync.spec, {}))
    assert (result["state"], result["reason"]) == ("superseded", "the set says that there are no updates")
    assert sync.changed() == {}


def test_a_delta_that_comes_first_is_refused(district: District) -> None:
    row = next(row for row in oneroster("1_1")["users.csv"])
    row |= {"status": "active", "dateLastModified": NOW}
    result = district.take(as_files("oneroster_1_1", {"users.csv": [row]}, {"users": "delta"}))
    assert result["state"] == "rejected"
    assert "other_district" in result["reason"]


def test_roles_only(district: District) -> None:
    sync = Sync(district, "1_2")
    role = {"userSourcedId": "teacher-0", "roleType": "secondary", "role": "teacher", "orgSourcedId": "school-1"}
    sync.apply({"roles.csv": [said(sync.spec, "roles", sourcedId="r9", **role)]})
    assert sync.changed() == {"people": {"teacher-0"}}
    schools = "SELECT school_ids FROM roster.people WHERE sourced_id = 'teacher-0'"
    assert sync.district.rows(schools) == [(["school-0", "school-1"],)]
    sync.apply({"roles.csv": [said(sync.spec, "roles", "tobedeleted", sourcedId="r9", **role)]})
    assert sync.changed() == {}


def test_the_schools_of_a_person_keep_their_order(district: District) -> None:
    """Of many people, so that an order by chance would show."""
    bulk = oneroster("1_2", students=4, schools=4)
    people = [f"teacher-{n}" for n in range(4)]
    for n, person in enumerate(people):
        (own,) = [row for row in bulk["roles.csv"] if row["userSourcedId"] == person]
        others = [f"school-{school}" for school in (2, 0, 3, 1) if f"school-{school}" != own["orgSourcedId"]]
        bulk["roles.csv"] += [
            {**own, "sourcedId": f"further-{n}-{school}", "roleType": "secondary", "orgSourcedId": school}
            for school in others
        ]
    first = district.take(as_files("oneroster_1_2", bulk))
    assert district.apply(first["import_id"])["applied"] is True
    schools = "SELECT sourced_id, school_ids FROM roster.people WHERE sourced_id LIKE 'teacher-%' ORDER BY 1"
    before = district.rows(schools)
    assert dict(before)["teacher-0"] == ["school-0", "school-2", "school-3", "school-1"]

    (child,) = [row for row in bulk["users.csv"] if row["sourcedId"] == "student-0"]
    delta = {"users.csv": [{**child, "status": "active", "dateLastModified": NOW, "givenName": "Other"}]}
    second = district.take(as_files("oneroster_1_2", delta, {"users": "delta"}))
    assert second["details"]["changes"]["people"]["changed"] == 1
    assert district.apply(second["import_id"])["applied"] is True
    assert district.rows(schools) == before

    role = {"userSourcedId": "teacher-0", "roleType": "secondary", "role": "teacher", "orgSourcedId": DISTRICT_ORG}
    delta = {"roles.csv": [said("oneroster_1_2", "roles", sourcedId="r9", **role)]}
    third = district.take(as_files("oneroster_1_2", delta, {"roles": "delta"}))
    assert district.apply(third["import_id"])["applied"] is True
    assert dict(district.rows(schools))["teacher-0"] == [*dict(before)["teacher-0"], DISTRICT_ORG]


def test_a_person_of_a_delta_keeps_the_roles_that_are_live(district: District) -> None:
    sync = Sync(district, "1_2")
    result = sync.apply({"users.csv": [sync.row("users", "teacher-0", givenName="Other")]})
    assert sync.changed() == {"people": {"teacher-0"}}
    assert result["details"]["warnings"] == {}
    new = {"givenName": "N", "familyName": "N", "username": "n", "enabledUser": "true"}
    result = sync.apply(
        {
            "users.csv": [
                said(sync.spec, "users", sourcedId="student-9", **new),
                sync.row("users", "teacher-1", givenName="Other"),
            ]
        }
    )
    assert ("role_missing", "error", "users.csv", 2, "sourcedId") in sync.district.findings(result["import_id"])
    assert sync.changed() == {"people": {"teacher-0", "teacher-1"}}
