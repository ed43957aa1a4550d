"""Every rule: what breaks it, whether the set gets in, and where the finding points. Never a value."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollover.roster.model import FILES
from tests.roster.conftest import District
from tests.roster.sets import Rows, as_csv, as_files, manifest, row_of, whole_set

Where = tuple[str, str, int | None, str | None]  # code, file, row, column


def set_value(file: str, sourced_id: str, column: str, value: str) -> Callable[[Rows], object]:
    return lambda rows: row_of(rows, file, sourced_id).update({column: value})


def repeat(file: str, sourced_id: str, **changed: str) -> Callable[[Rows], object]:
    return lambda rows: rows[file].append({**row_of(rows, file, sourced_id), **changed})


def without_column(file: str, column: str) -> Callable[[Rows], object]:
    return lambda rows: [row.pop(column) for row in rows[file]]


YEAR, FALL, CLASS = "year-2025-26", "fall-2025-26", "class-1-2025-26"

ERRORS: dict[str, tuple[Callable[[Rows], object], Where]] = {
    "bad date": (
        set_value("academicSessions", FALL, "endDate", "10 Jan 26"),
        ("bad_date", "academicSessions.csv", 3, "endDate"),
    ),
    "a day that is none": (
        set_value("demographics", "student-2", "birthDate", "2017-02-30"),
        ("bad_date", "demographics.csv", 3, "birthDate"),
    ),
    "a year out of all reason": (
        set_value("demographics", "student-1", "birthDate", "0217-02-03"),
        ("bad_date", "demographics.csv", 2, "birthDate"),
    ),
    "missing date": (
        set_value("academicSessions", FALL, "startDate", ""),
        ("value_missing", "academicSessions.csv", 3, "startDate"),
    ),
    "bad year": (
        set_value("academicSessions", FALL, "schoolYear", "25-26"),
        ("bad_year", "academicSessions.csv", 3, "schoolYear"),
    ),
    "session that ends before it starts": (
        set_value("academicSessions", FALL, "endDate", "2025-08-15"),
        ("session_dates", "academicSessions.csv", 3, "endDate"),
    ),
    "missing id": (set_value("users", "student-3", "sourcedId", ""), ("value_missing", "users.csv", 5, "sourcedId")),
    "long id": (set_value("users", "parent-1", "sourcedId", "x" * 256), ("id_length", "users.csv", 6, "sourcedId")),
    "missing name": (
        set_value("users", "parent-1", "familyName", " "),
        ("value_missing", "users.csv", 6, "familyName"),
    ),
    "unknown role": (set_value("users", "parent-1", "role", "pupil"), ("bad_value", "users.csv", 6, "role")),
    "bad boolean": (set_value("users", "parent-1", "enabledUser", "yes"), ("bad_value", "users.csv", 6, "enabledUser")),
    "unknown status": (set_value("users", "parent-1", "status", "gone"), ("status_unknown", "users.csv", 6, "status")),
    "two people of one id": (
        repeat("users", "parent-2", givenName="Ann"),
        ("duplicate", "users.csv", 8, "sourcedId"),
    ),
    "two birth dates": (repeat("demographics", "student-1"), ("duplicate", "demographics.csv", 4, "sourcedId")),
    "enrollment in a class that is not there": (
        set_value("enrollments", "e3-2025-26", "classSourcedId", "class-9"),
        ("reference", "enrollments.csv", 4, "classSourcedId"),
    ),
    "class in a term that is not there": (
        set_value("classes", CLASS, "termSourcedIds", f"{FALL},spring"),
        ("reference", "classes.csv", 2, "termSourcedIds"),
    ),
    "class without a term": (
        set_value("classes", CLASS, "termSourcedIds", ""),
        ("value_missing", "classes.csv", 2, "termSourcedIds"),
    ),
    "person of a school that is not there": (
        set_value("users", "student-2", "orgSourcedIds", "school-2,school-9"),
        ("reference", "users.csv", 4, "orgSourcedIds"),
    ),
    "NUL": (set_value("orgs", "school-1", "name", "Elm\0Street"), ("nul", "orgs.csv", 3, None)),
    "another district": (
        lambda rows: [
            row.update({k: v.replace("springfield-d", "other-d") for k, v in row.items()})
            for file in rows.values()
            for row in file
        ],
        ("other_district", "orgs.csv", None, "sourcedId"),
    ),
    "year that is over": (
        lambda rows: rows.update(whole_set(ends=2025)),
        ("wrong_year", "academicSessions.csv", None, "schoolYear"),
    ),
    "no student": (
        lambda rows: [row.update(role="aide") for row in rows["users"] if row["role"] == "student"],
        ("no_students", "users.csv", None, None),
    ),
    "missing column": (without_column("users", "role"), ("column_missing", "users.csv", 1, "role")),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_rejects_the_whole_set(district: District, name: str) -> None:
    change, (code, file, row, column) = ERRORS[name]
    rows = whole_set()
    change(rows)
    result = district.take_rows(rows)
    assert result["state"] == "rejected"
    assert code in result["reason"]
    assert result["counts"]["errors"][code] == 1
    assert (code, "error", file, row, column) in district.findings(result["import_id"])
    assert district.apply(result["import_id"])["applied"] is False
    assert district.rows("SELECT count(*) FROM roster.people") == [(0,)]


WARNINGS: dict[str, tuple[Callable[[Rows], object], Where]] = {
    "date of another country": (
        set_value("demographics", "student-2", "birthDate", "3/2/2017"),
        ("date_format", "demographics.csv", 3, "birthDate"),
    ),
    "role in capitals": (set_value("users", "parent-1", "role", "Parent"), ("value_spelling", "users.csv", 6, "role")),
    "TRUE": (set_value("users", "parent-1", "enabledUser", "TRUE"), ("value_spelling", "users.csv", 6, "enabledUser")),
    "grade of one digit": (
        set_value("users", "student-3", "grades", "5"),
        ("grade_spelling", "users.csv", 5, "grades"),
    ),
    "two grades": (set_value("users", "student-3", "grades", "05,06"), ("grades_several", "users.csv", 5, "grades")),
    "unknown grade": (set_value("users", "student-3", "grades", "V"), ("grade_unknown", "users.csv", 5, "grades")),
    "status filled in": (
        set_value("users", "parent-1", "status", "active"),
        ("status_filled", "users.csv", 6, "status"),
    ),
    "odd id": (
        lambda rows: rows["users"].append({**row_of(rows, "users", "parent-2"), "sourcedId": "parent 3"}),
        ("id_characters", "users.csv", 8, "sourcedId"),
    ),
    "a row twice": (repeat("users", "parent-2"), ("repeated", "users.csv", 8, "sourcedId")),
    "parent org that is not there": (
        set_value("orgs", "school-1", "parentSourcedId", "region-1"),
        ("optional_reference", "orgs.csv", 3, "parentSourcedId"),
    ),
    "guardian who is not there": (
        set_value("users", "student-3", "agentSourcedIds", "parent-9"),
        ("agent_missing", "users.csv", 5, "agentSourcedIds"),
    ),
    "student as guardian": (
        set_value("users", "student-3", "agentSourcedIds", "student-2"),
        ("agent_role", "users.csv", 5, "agentSourcedIds"),
    ),
    "course of a year that is a semester": (
        set_value("courses", "course-1", "schoolYearSourcedId", FALL),
        ("course_year", "courses.csv", 2, "schoolYearSourcedId"),
    ),
    "teacher enrolled as student": (
        set_value("enrollments", "e1-2025-26", "role", "student"),
        ("enrollment_role", "enrollments.csv", 2, "role"),
    ),
    "enrollment in another school": (
        set_value("enrollments", "e2-2025-26", "schoolSourcedId", "school-2"),
        ("enrollment_school", "enrollments.csv", 3, "schoolSourcedId"),
    ),
    "enrollment out of term": (
        set_value("enrollments", "e2-2025-26", "beginDate", "2025-08-01"),
        ("enrollment_term", "enrollments.csv", 3, "beginDate"),
    ),
    "enrollment backwards": (
        lambda rows: row_of(rows, "enrollments", "e2-2025-26").update(beginDate="2025-12-01", endDate="2025-11-01"),
        ("enrollment_dates", "enrollments.csv", 3, "endDate"),
    ),
    "column of no one's": (
        lambda rows: [row.update(shoeSize="5") for row in rows["users"]],
        ("column_unknown", "users.csv", 1, None),
    ),
    "column in another case": (
        lambda rows: [row.update(Location=row.pop("location")) for row in rows["classes"]],
        ("column_spelling", "classes.csv", 1, "location"),
    ),
}


@pytest.mark.parametrize(
    ("file", "column"),
    [(file.name.removesuffix(".csv"), column.name) for file in FILES for column in file.columns],
)
def test_a_missing_column_rejects_the_set_and_clears_nothing(district: District, file: str, column: str) -> None:
    """A column is not there for every row: read as blank, it would clear what earlier sets brought."""
    rows = whole_set()
    without_column(file, column)(rows)
    result = district.take_rows(rows)
    assert (result["state"], result["reason"]) == ("rejected", "1 error: column_missing (1)")
    assert district.findings(result["import_id"]) == {("column_missing", "error", f"{file}.csv", 1, column)}


def test_a_column_that_is_not_read_may_be_missing(district: District) -> None:
    rows = whole_set()
    for file in rows:
        without_column(file, "status")(rows)
        without_column(file, "dateLastModified")(rows)
    for column in ("userIds", "sms", "phone", "password"):
        without_column("users", column)(rows)
    result = district.take_rows(rows)
    assert (result["state"], result["counts"]["warnings"]) == ("ready", {})


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_lets_the_set_in(district: District, name: str) -> None:
    change, (code, file, row, column) = WARNINGS[name]
    rows = whole_set()
    change(rows)
    result = district.take_rows(rows)
    assert result["state"] == "ready"
    assert result["counts"]["warnings"] == {code: 1}
    assert result["counts"]["errors"] == {}
    assert district.findings(result["import_id"]) == {(code, "warning", file, row, column)}
    assert district.apply(result["import_id"])["applied"] is True


def test_what_a_warning_mends(district: District) -> None:
    rows = whole_set()
    row_of(rows, "users", "student-1").update(grades="K", enabledUser="FALSE")
    row_of(rows, "users", "parent-1")["role"] = "ext:godparent"
    row_of(rows, "demographics", "student-2")["birthDate"] = "3/2/2017"
    rows["users"].append({**row_of(rows, "users", "student-3"), "sourcedId": "student-9", "status": "tobedeleted"})
    district.apply(district.take_rows(rows)["import_id"])
    assert district.rows("SELECT sourced_id, role, grade, enabled, birth_date::text FROM roster.people ORDER BY 1") == [
        ("parent-1", "ext:godparent", None, True, None),
        ("parent-2", "guardian", None, True, None),
        ("student-1", "student", "KG", False, "2017-03-01"),
        ("student-2", "student", "05", True, "2017-03-02"),
        ("student-3", "student", "05", True, None),
        ("teacher-1", "teacher", None, True, None),
    ]


BROKEN_FILES: dict[str, tuple[Callable[[dict[str, bytes]], object], Where]] = {
    "no manifest": (lambda files: files.pop("manifest.csv"), ("manifest_missing", "manifest.csv", None, None)),
    "manifest that is no text": (
        lambda files: files.update({"manifest.csv": b"\xff\xfe\x00"}),
        ("manifest_unreadable", "manifest.csv", None, None),
    ),
    "version 1.2": (
        lambda files: files.update({"manifest.csv": manifest().replace(b"1.1", b"1.2")}),
        ("version", "manifest.csv", None, None),
    ),
    "no version": (
        lambda files: files.update({"manifest.csv": manifest().replace(b"oneroster", b"other")}),
        ("version_missing", "manifest.csv", None, None),
    ),
    "delta": (
        lambda files: files.update({"manifest.csv": manifest(users="delta")}),
        ("delta", "users.csv", None, None),
    ),
    "unknown mode": (
        lambda files: files.update({"manifest.csv": manifest(users="full")}),
        ("manifest_mode", "users.csv", None, None),
    ),
    "required file left out": (lambda files: files.pop("courses.csv"), ("file_missing", "courses.csv", None, None)),
    "required file absent": (
        lambda files: [files.pop("courses.csv"), files.update({"manifest.csv": manifest(courses="absent")})],
        ("file_missing", "courses.csv", None, None),
    ),
    "file that the manifest does not know": (
        lambda files: files.update({"manifest.csv": manifest(demographics="absent")}),
        ("file_not_in_manifest", "demographics.csv", None, None),
    ),
    "empty file": (lambda files: files.update({"users.csv": b""}), ("empty_file", "users.csv", 1, None)),
    "header only": (
        lambda files: files.update({"enrollments.csv": files["enrollments.csv"].split(b"\r\n")[0] + b"\r\n"}),
        ("empty_file", "enrollments.csv", None, None),
    ),
    "Latin-1": (
        lambda files: files.update({"orgs.csv": files["orgs.csv"].replace(b"Oak", b"\xd6ak")}),
        ("not_utf8", "orgs.csv", 4, None),
    ),
    "short row": (
        lambda files: files.update({"orgs.csv": files["orgs.csv"] + b"school-3,,\r\n"}),
        ("field_count", "orgs.csv", 5, None),
    ),
    "column twice": (
        lambda files: files.update({"orgs.csv": files["orgs.csv"].replace(b"identifier", b"name")}),
        ("column_twice", "orgs.csv", 1, "name"),
    ),
    "open quote": (
        lambda files: files.update({"orgs.csv": files["orgs.csv"] + b'school-3,,,"Elm,school,,\r\n'}),
        ("field_count", "orgs.csv", 5, None),
    ),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_file_that_cannot_be_read_rejects_the_set(district: District, name: str) -> None:
    change, (code, file, row, column) = BROKEN_FILES[name]
    files = as_files(whole_set())
    change(files)
    result = district.take(files)
    assert result["state"] == "rejected"
    assert (code, "error", file, row, column) in district.findings(result["import_id"])


def test_all_errors_come_in_one_answer_and_none_shows_a_value(district: District) -> None:
    rows = whole_set()
    secret = "Zoë-Q-Secretname"
    for column in ("givenName", "familyName", "username", "email"):
        row_of(rows, "users", "student-1")[column] = secret
    row_of(rows, "users", "student-1").update(role=secret, grades=secret, enabledUser=secret, agentSourcedIds=secret)
    row_of(rows, "demographics", "student-1")["birthDate"] = secret
    row_of(rows, "enrollments", "e2-2025-26")["userSourcedId"] = secret
    result = district.take_rows(rows)
    assert result["counts"]["errors"] == {"bad_value": 2, "bad_date": 1, "reference": 1}
    assert result["reason"] == "4 errors: bad_date (1), bad_value (2), reference (1)"
    told = district.rows("SELECT f::text FROM ledger.findings f UNION ALL SELECT i::text FROM ledger.imports i")
    assert len(told) >= 5
    assert not any(secret in line for (line,) in told)


def test_every_error_is_counted_and_a_thousand_are_kept(district: District) -> None:
    rows = whole_set()
    model = row_of(rows, "enrollments", "e2-2025-26")
    rows["enrollments"] += [{**model, "sourcedId": f"extra-{n}", "classSourcedId": "nowhere"} for n in range(1500)]
    result = district.take_rows(rows)
    assert result["counts"]["errors"] == {"reference": 1500}
    kept = 'SELECT count(*), min("row"), max("row") FROM ledger.findings'
    assert district.rows(kept) == [(1000, 6, 1005)]


def test_every_step_run_twice_gives_the_same(district: District) -> None:
    rows = whole_set()
    row_of(rows, "users", "parent-1")["role"] = "Parent"
    import_id = district.upload(as_files(rows))
    for step, state in zip(district.steps(), ("fetched", "staged", "validated", "ready"), strict=True):
        first = step(import_id)
        assert first["state"] == state
        assert step(import_id) == first
    for step in district.steps():
        assert step(import_id)["state"] == "ready"
    assert district.rows("SELECT count(*) FROM ledger.findings") == [(1,)]


@pytest.mark.parametrize(
    "dialect",
    [
        pytest.param(lambda content: b"\xef\xbb\xbf" + content, id="byte order mark"),
        pytest.param(lambda content: content.replace(b"\r\n", b"\n"), id="LF"),
        pytest.param(lambda content: content.replace(b"\r\n", b"\r"), id="CR"),
        pytest.param(lambda content: content.replace(b"\r\n", b"\r\n\r\n"), id="empty lines"),
        pytest.param(lambda content: content.removesuffix(b"\r\n"), id="no last line end"),
    ],
)
def test_dialects_of_csv_read_the_same(district: District, dialect: Callable[[bytes], bytes]) -> None:
    plain = district.take_rows(whole_set())
    district.apply(plain["import_id"])
    files = {
        name: content if name == "manifest.csv" else dialect(content) for name, content in as_files(whole_set()).items()
    }
    result = district.take(files)
    assert result["state"] == "ready", result
    assert {counts["unchanged"] for counts in result["counts"]["changes"].values()} >= {2, 3, 4, 6}
    assert not any(c["added"] + c["changed"] + c["removed"] for c in result["counts"]["changes"].values())


def test_rows_are_counted_right_behind_broken_ones(district: District) -> None:
    files = as_files(whole_set())
    lines = as_csv(whole_set()["users"]).split(b"\r\n")
    lines[1:1] = [b"short,row", b""]
    lines[5:5] = [b"short,row"]
    files["users.csv"] = b"\r\n".join(lines).replace(b"teacher,", b"wizard,").replace(b"guardian,", b"witch,")
    result = district.take(files)
    assert district.findings(result["import_id"]) >= {
        ("field_count", "error", "users.csv", 2, None),
        ("field_count", "error", "users.csv", 6, None),
        ("bad_value", "error", "users.csv", 4, "role"),
        ("bad_value", "error", "users.csv", 10, "role"),
    }
