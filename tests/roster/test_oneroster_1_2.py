"""OneRoster 1.2: roles in a file of their own; and what a district file says about the format of its feed."""

from __future__ import annotations

import pytest

from tests.roster.conftest import CONFIG, District
from tests.support.roster import small_set
from tests.support.roster.generated_sets import Row, Rows, as_csv, as_files, header, made
from tests.support.roster.read_set import Taken, take

SPEC = "oneroster_1_2"


def whole() -> Rows:
    return made(SPEC, students=4)


def of(rows: Rows, file: str, sourced_id: str) -> Row:
    return next(row for row in rows[f"{file}.csv"] if row["sourcedId"] == sourced_id)


def role(rows: Rows, sourced_id: str, **values: str) -> None:
    rows["roles.csv"].append({**dict.fromkeys(header(SPEC, "roles.csv"), ""), "sourcedId": sourced_id, **values})


def taken(rows: Rows) -> Taken:
    return take(as_files(SPEC, rows))


def test_the_same_district_in_1_1_and_1_2_is_the_same_roster() -> None:
    one, two = (take(as_files(spec, made(spec, students=8))) for spec in ("oneroster_1_1", SPEC))
    assert one.codes == two.codes == {}
    assert one.tables and two.tables
    for table, rows in one.tables.items():
        assert rows.equals(two.tables[table]), table


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("districtAdministrator", "administrator"),
        ("siteAdministrator", "administrator"),
        ("systemAdministrator", "administrator"),
        ("principal", "administrator"),
        ("counselor", "counselor"),
        ("ext:nurse", "ext:nurse"),
    ],
)
def test_roles_become_those_of_the_roster(said: str, meant: str) -> None:
    rows = whole()
    of(rows, "roles", "role-admin-1")["role"] = said
    assert taken(rows).row("people", "admin-1")["role"] == meant


def test_a_person_with_several_roles_is_what_the_primary_one_says_where_they_belong() -> None:
    rows = whole()
    role(rows, "r1", userSourcedId="teacher-0", roleType="secondary", role="guardian", orgSourcedId="school-0")
    role(rows, "r2", userSourcedId="teacher-0", roleType="primary", role="aide", orgSourcedId="school-1")
    result = taken(rows)
    assert result.codes == {}
    assert result.row("people", "teacher-0")["role"] == "teacher"
    assert result.row("people", "teacher-0")["school_ids"] == ["school-0", "school-1"]
    of(rows, "users", "teacher-0")["primaryOrgSourcedId"] = "school-1"
    assert taken(rows).row("people", "teacher-0")["school_ids"] == ["school-1", "school-0"]
    assert taken(rows).row("people", "teacher-0")["role"] == "aide"


def test_a_role_in_error_takes_the_person_with_it_only_where_it_is_the_last() -> None:
    rows = whole()
    role(rows, "r1", userSourcedId="teacher-0", roleType="secondary", role="aide", orgSourcedId="nowhere")
    of(rows, "roles", "role-student-0")["role"] = "pupil"
    result = taken(rows)
    assert "teacher-0" in result.ids("people")
    assert "student-0" not in result.ids("people")
    assert result.found == {
        ("reference", "error", "roles.csv", 11, "orgSourcedId"),
        ("bad_value", "error", "roles.csv", 5, "role"),
        ("depends_on_rejected", "error", "users.csv", 5, "sourcedId"),
        ("depends_on_rejected", "error", "demographics.csv", 2, "sourcedId"),
        ("depends_on_rejected", "error", "enrollments.csv", 6, "userSourcedId"),
        ("depends_on_rejected", "error", "enrollments.csv", 7, "userSourcedId"),
    }


def test_who_links_to_a_person_without_a_role_is_reported() -> None:
    rows = whole()
    rows["roles.csv"].remove(of(rows, "roles", "role-parent-0"))
    result = taken(rows)
    assert "parent-0" not in result.ids("people")
    assert result.found == {
        ("role_missing", "error", "users.csv", 6, "sourcedId"),
        ("optional_reference", "warning", "users.csv", 5, "agentSourcedIds"),
        ("optional_reference", "warning", "users.csv", 7, "agentSourcedIds"),
    }


def test_a_set_without_roles_is_refused() -> None:
    files = as_files(SPEC, whole())
    del files["roles.csv"]
    assert take(files).refused == {"file_missing"}


@pytest.mark.parametrize("sex", ["male", "female", "unspecified", "other", "ext:x"])
def test_words_that_1_1_does_not_have(sex: str) -> None:
    rows = whole()
    of(rows, "demographics", "student-0")["sex"] = sex
    assert taken(rows).codes == {}


def test_an_enrollment_may_be_in_another_role_than_the_persons() -> None:
    """OneRoster 1.2.1 allows it, as it does other terms of a class than its course has, and ids of users by type."""
    rows = whole()
    enrolled = {**of(rows, "enrollments", "teacher-0-fall"), "primary": "", "userSourcedId": "admin-1"}
    rows["enrollments.csv"] += [{**enrolled, "sourcedId": f"e-{said}", "role": said} for said in ("teacher", "student")]
    for user in rows["users.csv"]:
        user["userIds"] = "{LDAP:12},{StateId:34}"
    assert taken(rows).found == set()
    files = as_files(SPEC, rows)
    files["manifest.csv"] = files["manifest.csv"].replace(b"oneroster.version,1.2", b"oneroster.version,1.2.1")
    assert take(files).found == set()


def test_the_district_file_maps_the_columns_of_a_feed_that_deviates() -> None:
    rows = whole()
    names = [{"identifier": "metadata.stateId", "givenName": "First Name"}.get(n, n) for n in header(SPEC, "users.csv")]
    files = as_files(SPEC, rows)
    files["users.csv"] = files["users.csv"].replace(
        ",".join(header(SPEC, "users.csv")).encode(), ",".join(names).encode()
    )
    columns = {"users.csv": {"identifier": "metadata.stateId", "givenName": "First Name"}}
    result = take(files, columns)
    plain = taken(rows)
    assert result.tables and plain.tables
    assert result.tables["people"].equals(plain.tables["people"])
    assert result.codes.keys() <= {"column_order"}
    assert "column_missing" in take(files).refused
    both = take(as_files(SPEC, rows), {"users.csv": {"username": "email"}})
    assert both.row("people", "student-0")["username"] == both.row("people", "student-0")["email"]


def test_a_mapped_column_that_is_not_there_is_named_by_its_header_and_place() -> None:
    result = take(as_files(SPEC, whole()), {"users.csv": {"givenName": "First Name"}})
    (finding,) = [finding for finding in result.findings.kept if finding.severity == "error"]
    assert (finding.code, finding.column) == ("column_missing", "givenName")
    assert "First Name" in finding.message


def test_a_set_in_another_format_than_the_district_file_says_is_refused(district: District) -> None:
    district.config = CONFIG.model_copy(update={"roster_format": SPEC})
    result = district.take(small_set.as_files(small_set.whole_set()))
    assert (result["state"], result["reason"]) == ("rejected", "refused for other_format")
    assert ("other_format", "error", "manifest.csv", None, None) in district.findings(result["import_id"])
    result = district.take(as_files(SPEC, made(SPEC)))
    assert result["state"] == "ready"


def test_a_year_that_came_in_1_1_goes_on_in_1_2(district: District) -> None:
    first = district.take(as_files("oneroster_1_1", made("oneroster_1_1")))
    assert district.apply(first["import_id"])["applied"] is True
    second = district.take(as_files(SPEC, made(SPEC)))
    changes = district.rows("SELECT count(*) FROM roster.people WHERE status = 'active'")
    assert district.apply(second["import_id"])["state"] == "applied"
    assert district.rows("SELECT count(*) FROM roster.people WHERE status = 'active'") == changes
    touched = district.rows("SELECT count(*) FROM roster.people WHERE import_id = :id", id=second["import_id"])
    assert touched == [(0,)]


def test_columns_that_are_not_there_keep_what_is_live(district: District) -> None:
    first = district.take(as_files(SPEC, made(SPEC)))
    assert district.apply(first["import_id"])["applied"] is True
    rows = made(SPEC)
    files = as_files(SPEC, rows)
    del files["demographics.csv"]
    files["manifest.csv"] = files["manifest.csv"].replace(b"file.demographics,bulk", b"file.demographics,absent")
    gone = {"email", "identifier", "agentSourcedIds"}
    files["users.csv"] = as_csv([name for name in header(SPEC, "users.csv") if name not in gone], rows["users.csv"])
    second = district.take(files)
    assert second["state"] == "ready"
    assert second["details"]["warnings"] == {"column_missing": 3}
    assert district.apply(second["import_id"])["state"] == "applied"
    for table in ("people", "guardians"):
        touched = district.rows(f"SELECT count(*) FROM roster.{table} WHERE import_id <> :id", id=first["import_id"])
        assert touched == [(0,)]
        assert district.rows(f"SELECT count(*) FROM roster.{table} WHERE status <> 'active'") == [(0,)]


def test_next_years_sessions_do_not_make_the_year(district: District) -> None:
    """In April they are there, whole; the classes are this year's."""
    rows = made(SPEC)
    for row in list(rows["academicSessions.csv"]):
        dates = {name: row[name].replace("2026", "2027").replace("2025", "2026") for name in ("startDate", "endDate")}
        parent = row["parentSourcedId"] and "next-y26"
        to_come = {"sourcedId": f"next-{row['sourcedId']}", "schoolYear": "2027", "parentSourcedId": parent}
        rows["academicSessions.csv"].append({**row, **dates, **to_come})
    result = district.take(as_files(SPEC, rows))
    assert (result["details"]["warnings"], result["school_year"]) == ({}, "2025-26")
