"""Every rule: what breaks it, where the finding points, what gets in all the same. Never a value."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rollover.roster.findings import KEPT_PER_CODE
from rollover.roster.formats import FORMATS, clever, enrollments, oneroster, oneroster_1_1, oneroster_1_2, people
from rollover.roster.intake import fetch, unpack
from rollover.roster.reading import clean, header, manifest, odd_rows, passwords, stage
from rollover.roster.reading import rows as file_rows
from rollover.roster.validating import rules, set_rules, validate
from tests.roster.conftest import CONFIG, District
from tests.support.roster import generated_sets
from tests.support.roster.invalid_sets import (
    CLASS,
    FILE_ERRORS,
    FILE_WARNINGS,
    OTHERS,
    REFUSED,
    ROW_ERRORS,
    ROW_WARNINGS,
    SETS,
    without_column,
    written,
)
from tests.support.roster.read_set import Taken, take
from tests.support.roster.small_set import Rows, as_files, as_zip, row_of, whole_set
from tests.support.roster.small_set import manifest as manifest_1_1
from tests.support.sampling import others_slow

READING = (
    manifest,
    header,
    file_rows,
    odd_rows,
    clean,
    rules,
    oneroster,
    oneroster_1_1,
    oneroster_1_2,
    enrollments,
    people,
    clever,
)
JUDGING = (stage, set_rules, validate)
FETCHING = (fetch, unpack, passwords)


TABLE_OF = {
    "orgs.csv": "orgs",
    "academicSessions.csv": "academic_sessions",
    "courses.csv": "courses",
    "classes.csv": "classes",
    "users.csv": "people",
    "enrollments.csv": "enrollments",
}
REFERENCES = {"parent_id", "school_year_session_id", "school_ids", "term_ids", "row_hash"}


@pytest.mark.parametrize("ends", [2026, 2027])
def test_a_school_year_named_by_its_beginning_points_to_the_column(district: District, ends: int) -> None:
    """Whether the year that the column then names is over, or the present one."""
    rows = whole_set(ends)
    for session in rows["academicSessions"]:
        session["schoolYear"] = str(ends - 1)
    result = district.take(as_files(rows))
    assert (result["state"], result["reason"]) == ("rejected", "refused for wrong_year")
    found = district.rows("SELECT message, \"column\" FROM ledger.findings WHERE code = 'wrong_year'")
    ((message, column),) = found
    assert column == "schoolYear" and f"schoolYear is {ends - 1}" in message and f"write {ends}" in message


@cache
def taken_whole() -> Taken:
    return take(as_files(whole_set()))


def assert_rest_is_in(taken: Taken, sent: dict[str, int], out: set[str]) -> None:
    """All rows but those in error are in, as they were, but for references to those that are not."""
    plain = taken_whole()
    assert taken.tables and plain.tables
    for file, table in TABLE_OF.items():
        in_error = {f.row for f in taken.findings.kept if (f.file, f.severity) == (file, "error")}
        repeated = {f.row for f in taken.findings.kept if (f.file, f.code) == (file, "repeated")}
        if "no_valid_rows" not in taken.refused:
            assert taken.tables[table].height == sent[file] - len(in_error | repeated), file
        rows = {row["sourced_id"]: row for row in plain.tables[table].to_dicts()}
        for row in taken.tables[table].to_dicts():
            assert row["sourced_id"] not in out
            was = rows[row["sourced_id"]]
            assert {name for name in row if row[name] != was[name]} <= REFERENCES
            assert not out & {value for value in row.values() if isinstance(value, str)}
            assert not out & set(row.get("school_ids", [])) | out & set(row.get("term_ids", []))


@pytest.mark.parametrize("name", others_slow(ROW_ERRORS, 2))
def test_an_error_keeps_its_row_out_and_what_depends_on_it(name: str) -> None:
    change, (code, file, row, column), out = ROW_ERRORS[name]
    rows = whole_set()
    change(rows)
    taken = take(as_files(rows))
    assert (code, "error", file, row, column) in taken.found
    assert_rest_is_in(taken, {f"{name}.csv": len(content) for name, content in rows.items()}, out)


@pytest.mark.parametrize("name", FILE_ERRORS)
def test_a_row_that_cannot_be_read_is_rejected(name: str) -> None:
    change, (code, file, row, column), out = FILE_ERRORS[name]
    files = as_files(whole_set())
    change(files)
    taken = take(files)
    assert (code, "error", file, row, column) in taken.found
    assert_rest_is_in(taken, {f"{name}.csv": len(content) for name, content in whole_set().items()}, out)


def test_what_depends_on_a_row_in_error_is_named_as_such() -> None:
    rows = whole_set()
    row_of(rows, "classes", CLASS)["courseSourcedId"] = ""
    row_of(rows, "users", "student-3")["givenName"] = ""
    taken = take(as_files(rows))
    assert taken.found == {
        ("value_missing", "error", "classes.csv", 2, "courseSourcedId"),
        ("value_missing", "error", "users.csv", 5, "givenName"),
        ("depends_on_rejected", "error", "enrollments.csv", 2, "classSourcedId"),
        ("depends_on_rejected", "error", "enrollments.csv", 3, "classSourcedId"),
        ("depends_on_rejected", "error", "enrollments.csv", 5, "userSourcedId"),
    }


def test_all_defects_of_a_row_are_reported_at_once() -> None:
    rows = whole_set()
    changed = {"classSourcedId": "nowhere", "userSourcedId": "nobody", "role": "pupil", "beginDate": "soon"}
    row_of(rows, "enrollments", "e3-2025-26").update(changed)
    assert take(as_files(rows)).found == {
        ("reference", "error", "enrollments.csv", 4, "classSourcedId"),
        ("reference", "error", "enrollments.csv", 4, "userSourcedId"),
        ("bad_value", "error", "enrollments.csv", 4, "role"),
        ("bad_date", "warning", "enrollments.csv", 4, "beginDate"),
    }


@pytest.mark.parametrize("name", others_slow(ROW_WARNINGS, 4))
def test_a_warning_lets_the_row_in(name: str) -> None:
    change, (code, file, row, column), said = ROW_WARNINGS[name]
    rows = whole_set()
    change(rows)
    taken = take(as_files(rows))
    assert taken.found == {(code, "warning", file, row, column)}
    assert taken.tables and not taken.refused
    repeated = taken.codes.get("repeated", 0)
    assert taken.tables["people"].height == len(rows["users"]) - repeated
    assert taken.tables["enrollments"].height == len(rows["enrollments"])
    if said is not None:
        table, sourced_id, name, value = said
        found = taken.row(table, sourced_id)[name]
        assert (found.isoformat() if hasattr(found, "isoformat") else found) == value


def test_no_warning_takes_the_place_of_an_error() -> None:
    """Of one code, in one file: blank ids of enrollments beside more blank values than are kept."""
    rows = whole_set()
    row = row_of(rows, "users", "student-3")
    rows["users"] += [
        {**row, "sourcedId": f"more-{n}", "username": f"more.{n}", "enabledUser": ""} for n in range(KEPT_PER_CODE + 5)
    ]
    rows["enrollments"][-1]["userSourcedId"] = ""
    rows["users"][-1]["givenName"] = ""
    taken = take(as_files(rows))
    last = (len(rows["users"]) + 1, len(rows["enrollments"]) + 1)
    assert ("value_missing", "error", "users.csv", last[0], "givenName") in taken.found
    assert ("value_missing", "error", "enrollments.csv", last[1], "userSourcedId") in taken.found
    assert taken.findings.errors == {"value_missing": 2}
    assert taken.findings.warnings == {"value_missing": KEPT_PER_CODE + 5}
    warnings = [f for f in taken.findings.kept if f.severity == "warning"]
    assert len(warnings) == KEPT_PER_CODE


def test_a_status_that_is_filled_in_everywhere_is_one_warning_a_column() -> None:
    rows = whole_set()
    for row in rows["users"]:
        row.update(status="active", dateLastModified="2025-08-01T00:00:00Z")
    taken = take(as_files(rows))
    assert taken.found == {
        ("bulk_filled", "warning", "users.csv", 2, "status"),
        ("bulk_filled", "warning", "users.csv", 2, "dateLastModified"),
    }
    assert taken.findings.warnings == {"bulk_filled": 2}
    assert all(f"filled in {len(rows['users'])} rows" in finding.message for finding in taken.findings.kept)


def test_a_column_that_nobody_knows_is_named_and_a_near_one_suggested() -> None:
    rows = whole_set()
    for row in rows["users"]:
        row["middelName"] = row.pop("middleName")
        row["shoeSize"] = "5"
    (finding,) = [f for f in take(as_files(rows)).findings.kept if f.code == "column_unknown"]
    assert "middelName (do you mean middleName?)" in finding.message and "shoeSize" in finding.message


def test_a_first_row_that_is_no_header_is_not_named() -> None:
    files = as_files(whole_set())
    files["users.csv"] = files["users.csv"].split(b"\n", 1)[1]
    taken = take(files)
    assert "column_missing" in taken.refused
    said = " ".join(finding.message for finding in taken.findings.kept)
    assert "student-1" not in said and "example.org" not in said


def test_nobody_is_asked_for_a_column_of_passwords() -> None:
    rows = whole_set()
    without_column("users", "password")(rows)
    assert take(as_files(rows)).found == set()


WAITS_FOR = {
    "a wrong role": "rows_kept_out",
    "enrollments that are cut off": "without_enrollment",
    "a file that ends inside a row": "cut_off",
}


@pytest.mark.parametrize("what", WAITS_FOR)
def test_a_first_set_of_which_much_is_missing_waits_for_a_person(district: District, what: str) -> None:
    files = as_files(_with_more_students(what))
    if what == "a file that ends inside a row":
        files["users.csv"] = files["users.csv"][:-60]
    result = district.take(files)
    assert (result["state"], WAITS_FOR[what] in str(result["reason"])) == ("in_review", True)


def test_an_emptied_roster_is_held_against_the_set_before(district: District) -> None:
    rows = _with_more_students()
    district.apply(district.take_rows(rows)["import_id"])
    district.run("UPDATE roster.people SET status = 'tobedeleted'")
    district.run("DELETE FROM roster.enrollments")
    kept = {f"more-{n}" for n in range(20)}
    for name, column in (("users", "sourcedId"), ("enrollments", "userSourcedId")):
        rows[name] = [row for row in rows[name] if row[column] in kept or not row[column].startswith("more")]
    result = district.take_rows(rows)
    assert (result["state"], "half_set" in str(result["reason"])) == ("in_review", True)


def test_a_status_that_nobody_knows_waits_for_a_person(district: District) -> None:
    """Unless the district file says what it means; then it is that, in whatever case it is written."""
    rows = whole_set()
    row_of(rows, "users", "student-3")["status"] = "Inactive"
    row_of(rows, "users", "student-2")["status"] = "active"
    result = district.take_rows(rows)
    assert (result["state"], result["reason"]) == ("in_review", "over its limits: other_status (1)")
    assert ("status_other", "warning", "users.csv", 5, "status") in district.findings(result["import_id"])
    for meaning, there in (("active", 6), ("tobedeleted", 5)):
        district.config = CONFIG.model_copy(update={"status_means": {"inactive": meaning}})
        rows["orgs"][0]["name"] += "x"  # else they would be files that were there before
        result = district.take_rows(rows)
        assert (result["state"], result["details"]["validation"]["accepted"]["people"]) == ("ready", there)
        assert "status_other" not in {code for code, *_ in district.findings(result["import_id"])}


def test_who_has_no_username_is_taken_in_where_none_is_needed(district: District) -> None:
    rows = whole_set()
    for person in ("student-3", "parent-1"):
        row_of(rows, "users", person)["username"] = ""
    result = district.take_rows(rows)
    assert result["details"]["errors"]["value_missing"] == 2
    district.needs_username = False
    rows["orgs"][0]["name"] += "x"  # else they would be files that were there before
    result = district.take_rows(rows)
    assert (result["state"], result["details"]["errors"]) == ("ready", {})
    assert ("username_blank", "warning", "users.csv", 5, "username") in district.findings(result["import_id"])
    district.apply(result["import_id"])
    assert district.rows("SELECT username FROM roster.people WHERE sourced_id = 'student-3'") == [("student-3",)]


def test_a_refused_set_is_reported_of_everything_at_once(district: District) -> None:
    """A missing file hides no other defect, and makes none up."""
    rows = whole_set()
    row_of(rows, "users", "student-3")["role"] = "pupil"
    row_of(rows, "orgs", "school-1")["type"] = "campus"
    rows["academicSessions"][1]["schoolYear"] = "soon"
    files = as_files(rows)
    del files["courses.csv"]
    files["users.csv"] = files["users.csv"].replace(b"enabledUser", b"enabled", 1)
    result = district.take(files)
    assert (result["state"], result["reason"]) == ("rejected", "refused for file_missing, no_valid_rows")
    found = {(code, file, row) for code, severity, file, row, _ in district.findings(result["import_id"])}
    assert found >= {
        ("file_missing", "courses.csv", None),
        ("bad_value", "users.csv", 5),
        ("bad_value", "orgs.csv", 3),
        ("bad_year", "academicSessions.csv", 3),
        ("depends_on_rejected", "users.csv", 2),
        ("column_missing", "users.csv", 1),
    }
    assert not {code for code, file, _ in found if file == "classes.csv"} & {"reference"}
    assert (district.found(result["import_id"]).format, result["details"]["rows"]["users.csv"]) == ("oneroster_1_1", 6)
    assert district.rows("SELECT count(*) FROM roster.people") == [(0,)]


def test_of_a_set_without_its_manifest_all_is_reported_too() -> None:
    rows = whole_set()
    row_of(rows, "users", "student-3")["role"] = "pupil"
    files = as_files(rows)
    del files["manifest.csv"]
    taken = take(files)
    assert taken.refused == {"manifest_missing"}
    assert {(code, file, row) for code, _, file, row, _ in taken.found} >= {("bad_value", "users.csv", 5)}
    unknown = take({**as_files(rows), "manifest.csv": manifest_1_1().replace(b"1.1", b"1.0")})
    assert unknown.refused == {"version"}
    assert ("bad_value", "error", "users.csv", 5, "role") in unknown.found


def test_a_district_may_send_no_manifest(district: District) -> None:
    files = as_files(whole_set())
    del files["manifest.csv"]
    assert district.take(files)["state"] == "rejected"
    district.config = CONFIG.model_copy(update={"manifest": "none"})
    files["orgs.csv"] = files["orgs.csv"].replace(b"Elm", b"Oak")
    result = district.take(files)
    assert (result["state"], result["details"]["errors"]) == ("ready", {})
    del files["courses.csv"]
    assert "file_missing" in district.take(files)["reason"], "without a manifest, too, a required file has to be there"


OTHER_SYSTEMS = {
    "Microsoft School Data Sync v1": dict.fromkeys(
        (f"{name}.csv" for name in ("School", "Section", "Student", "StudentEnrollment", "Teacher")),
        b"SIS ID,Name\r\n1,a\r\n",
    ),
    "Microsoft School Data Sync v2": {
        "orgs.csv": b"sourcedId,name,type,parentSourcedId\r\n1,a,school,\r\n",
        "users.csv": b"sourcedId,username,givenName,familyName,password,activeDirectoryMatchId\r\n1,a,b,c,,\r\n",
        "roles.csv": b"userSourcedId,orgSourcedId,role\r\n1,1,student\r\n",
        "classes.csv": b"sourcedId,orgSourcedId,title\r\n1,1,a\r\n",
        "enrollments.csv": b"classSourcedId,userSourcedId,role\r\n1,1,student\r\n",
    },
    "a Canvas SIS import": {
        "users.csv": b"user_id,integration_id,login_id,first_name,last_name,status\r\n1,,a,b,c,active\r\n",
        "courses.csv": b"course_id,short_name,long_name,status\r\n1,a,b,active\r\n",
        "sections.csv": b"section_id,course_id,name,status\r\n1,1,a,active\r\n",
        "enrollments.csv": b"course_id,user_id,role,section_id,status\r\n1,1,student,1,active\r\n",
    },
}


@pytest.mark.parametrize("system", OTHER_SYSTEMS)
def test_a_set_of_another_system_is_called_by_its_name(system: str) -> None:
    taken = take(OTHER_SYSTEMS[system])
    assert taken.refused == {"format_other"}
    assert system in taken.findings.kept[0].message and "Export OneRoster 1.1" in taken.findings.kept[0].message


@pytest.mark.parametrize("spec", ["oneroster_1_1", "oneroster_1_2", "clever"])
def test_no_set_is_taken_for_one_of_another_system(spec: str) -> None:
    files = generated_sets.as_files(spec, generated_sets.made(spec))
    assert "format_other" not in take(files).codes
    files.pop("manifest.csv", None)
    assert "format_other" not in take(files).codes


def test_a_row_that_stands_twice_is_not_missing(district: District) -> None:
    """However many they are: nothing of the set is missing, and nobody has to look."""
    rows = _with_more_students()
    rows["users"] += rows["users"][-30:]
    result = district.take_rows(rows)
    assert result["state"] == "ready"
    assert district.found(result["import_id"]).rejected_rows["users.csv"] == (len(rows["users"]), 0)


def _with_more_students(what: str = "") -> Rows:
    rows = whole_set()
    student, enrolled = row_of(rows, "users", "student-3"), rows["enrollments"][-1]
    for n in range(40):
        rows["users"].append({**student, "sourcedId": f"more-{n}", "username": f"more.{n}"})
        rows["enrollments"].append(
            {**enrolled, "sourcedId": f"in-{n}", "userSourcedId": f"more-{n}", "role": "student", "primary": ""}
        )
    if what == "a wrong role":
        for user in rows["users"][-12:]:
            user["role"] = "pupil"
    if what == "enrollments that are cut off":
        del rows["enrollments"][-12:]
    return rows


@pytest.mark.parametrize("name", others_slow(FILE_WARNINGS, 3))
def test_a_file_that_is_written_otherwise_gives_the_same_roster(name: str) -> None:
    change, (code, file, row, column) = FILE_WARNINGS[name]
    files = as_files(whole_set())
    change(files)
    taken, plain = take(files), taken_whole()
    assert taken.found == {(code, "warning", file, row, column)}
    assert taken.tables and plain.tables
    for table, rows in plain.tables.items():
        if (table, code) != ("people", "empty_file"):
            assert taken.tables[table].equals(rows), table


@pytest.mark.parametrize("name", REFUSED)
def test_a_set_that_cannot_be_trusted_is_refused_whole(name: str) -> None:
    change, (code, file, row, column) = REFUSED[name]
    files = as_files(whole_set())
    change(files)
    taken = take(files)
    assert (code, "error", file, row, column) in taken.found
    assert code in taken.refused


@pytest.mark.parametrize(
    ("file", "column"),
    others_slow(
        (
            (file.name, column.name)
            for file in FORMATS["oneroster_1_1"].files
            for column in file.columns
            if column.required and column.instead is None and file.required
        ),
        4,
    ),
)
def test_a_set_without_a_column_that_no_row_can_be_without_is_refused(file: str, column: str) -> None:
    rows = whole_set()
    without_column(file.removesuffix(".csv"), column)(rows)
    taken = take(as_files(rows))
    assert ("column_missing", "error", file, 1, column) in taken.found
    assert taken.refused == {"column_missing"}


def test_an_optional_file_that_cannot_be_used_is_left_out() -> None:
    for change, code in (
        (written("demographics.csv", b"sourcedId", b"key", 1), "column_missing"),
        (written("demographics.csv", b"white", b"asian", 1), "column_twice"),
        (lambda files: files.update({"demographics.csv": b"\r\n \r\n"}), "empty_file"),
        (lambda files: files.update({"manifest.csv": manifest_1_1(demographics="absent")}), "file_not_in_manifest"),
        (lambda files: files.update({"manifest.csv": manifest_1_1(demographics="")}), "manifest_mode"),
        (lambda files: files.pop("demographics.csv"), "file_missing"),
    ):
        files = as_files(whole_set())
        change(files)
        taken = take(files)
        assert code in taken.findings.errors
        assert not taken.refused
        assert taken.ids("people") == {row["sourcedId"] for row in whole_set()["users"]}
        assert ("people", "birth_date") in taken.not_said


def test_a_file_that_a_reader_gives_up_on_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_rows, "BLOCK_BYTES", 40)
    taken = take(as_files(whole_set()))
    assert ("not_csv", "error", "users.csv", None, None) in taken.found
    assert ("not_csv", "error", "demographics.csv", None, None) in taken.found
    assert taken.refused == {"not_csv"}


@pytest.mark.parametrize("name", OTHERS)
def test_rules_of_other_formats(name: str) -> None:
    spec, change, where = OTHERS[name]
    rows = generated_sets.made(spec)
    change(rows)
    taken = take(generated_sets.as_files(spec, rows))
    assert where in taken.found
    assert {code for code, *_ in taken.found} <= {where[0], "depends_on_rejected", "optional_reference"}


# Codes that another test has a case for.
ELSEWHERE = {
    "bad_datetime": "test_delta.py",
    "depends_on_deleted": "test_delta.py",
    "status_deleted": "test_what_a_warning_repairs",
    "not_csv": "test_a_file_that_a_reader_gives_up_on_is_left_out",
    "other_district": "SETS",
    "district_kept_out": "SETS",
    "wrong_year": "SETS",
    "username_blank": "test_who_has_no_username_is_taken_in_where_none_is_needed",
    "no_students": "SETS",
    "other_format": "test_oneroster_1_2.py",
}


def codes_of(module: Any) -> Iterator[str]:
    """The codes that a module can give, read from its source."""
    places = {"add": 0, "refuse": 0, "_warn": 0, "_disagree": 0, "_find": 0, "_mark": 0, "find": 0, "Rule": 0}
    places |= {"Unusable": 0, "add_for_column": 0, "count_for_column": 0, "report": 1, "unusable": 0}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in places or len(node.args) <= places[name]:
            continue
        for part in ast.walk(node.args[places[name]]):
            value = getattr(module, part.id, None) if isinstance(part, ast.Name) else getattr(part, "value", None)
            if isinstance(value, str) and re.fullmatch(r"[a-z]+(_?[a-z0-9]+)*", value):
                yield value


def codes() -> set[str]:
    return {code for module in (*READING, *JUDGING) for code in codes_of(module)}


def test_every_code_has_a_case() -> None:
    cases = [case[1][0] for cases in (ROW_ERRORS, FILE_ERRORS, ROW_WARNINGS, FILE_WARNINGS) for case in cases.values()]
    cases += [case[1][0] for case in REFUSED.values()] + [case[2][0] for case in OTHERS.values()]
    assert len(codes()) > 60
    assert codes() - set(cases) == set(ELSEWHERE)


def test_every_code_is_in_the_docs() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "roster-files.md").read_text()
    every = codes() | {code for module in FETCHING for code in codes_of(module)}
    reported = set(re.findall(r"^\| `([a-z0-9_]+)`", docs, re.MULTILINE))
    assert every - reported == set()
    assert reported - every == set()


def test_what_a_warning_repairs() -> None:
    rows = whole_set()
    row_of(rows, "users", "student-1").update(grades="K", enabledUser="FALSE")
    row_of(rows, "users", "parent-1")["role"] = "ext:godparent"
    row_of(rows, "demographics", "student-2")["birthDate"] = "3/2/2017"
    rows["users"].append({**row_of(rows, "users", "student-3"), "sourcedId": "student-9", "status": "tobedeleted"})
    rows["enrollments"].append({**rows["enrollments"][3], "sourcedId": "e9", "userSourcedId": "student-9"})
    taken = take(as_files(rows))
    assert taken.tables
    people = taken.tables["people"].select("sourced_id", "role", "grade", "enabled").rows()
    assert people == [
        ("parent-1", "ext:godparent", None, True),
        ("parent-2", "guardian", None, True),
        ("student-1", "student", "KG", False),
        ("student-2", "student", "05", True),
        ("student-3", "student", "05", True),
        ("teacher-1", "teacher", None, True),
    ]
    assert ("status_deleted", "warning", "users.csv", 8, "status") in taken.found
    assert ("reference", "error", "enrollments.csv", 6, "userSourcedId") in taken.found


def test_the_first_of_two_rows_of_one_id_counts() -> None:
    rows = whole_set()
    rows["users"][1:1] = [{**row_of(rows, "users", "student-1"), "givenName": "First"}]
    rows["users"].append({**row_of(rows, "users", "student-1"), "givenName": "First"})
    taken = take(as_files(rows))
    assert taken.row("people", "student-1")["given_name"] == "First"
    assert taken.found == {
        ("duplicate", "error", "users.csv", 4, "sourcedId"),
        ("repeated", "warning", "users.csv", 9, "sourcedId"),
    }


def test_every_finding_says_how_to_fix_it_and_none_shows_a_value() -> None:
    secret = "Zoë-Q-Secretname"
    rows = whole_set()
    for name in rows:
        for row in rows[name]:
            row.update(dict.fromkeys(row, secret))
    rows["orgs"] = whole_set()["orgs"]
    files = as_files(rows)
    files["users.csv"] += b'"' + secret.encode()
    files[f"{secret}.csv"] = files["users.csv"]
    for taken in (take(files), take({"users.csv": secret.encode()}), take({"orgs.csv": secret.encode() * 2})):
        assert taken.findings.kept
        for finding in taken.findings.kept:
            assert secret not in str(finding)
            assert finding.message.endswith(".")


def test_rows_are_counted_right_behind_broken_ones() -> None:
    files = as_files(whole_set())
    lines = files["users.csv"].split(b"\r\n")
    lines[1:1] = [b"short,row", b""]
    lines[5:5] = [b"short,row"]
    files["users.csv"] = b"\r\n".join(lines).replace(b"teacher,", b"wizard,").replace(b"guardian,", b"witch,")
    assert take(files).found >= {
        ("field_count", "error", "users.csv", 2, None),
        ("field_count", "error", "users.csv", 6, None),
        ("bad_value", "error", "users.csv", 4, "role"),
        ("bad_value", "error", "users.csv", 10, "role"),
    }


# Through the database.


@pytest.mark.parametrize("name", SETS)
def test_a_set_that_is_not_the_tenants_changes_nothing(district: District, name: str) -> None:
    change, (code, file, row, column) = SETS[name]
    rows = whole_set()
    change(rows)
    result = district.take_rows(rows)
    assert (result["state"], str(result["reason"]).split(", ")[0]) == ("rejected", f"refused for {code}")
    assert (code, "error", file, row, column) in district.findings(result["import_id"])
    assert district.apply(result["import_id"])["applied"] is False
    assert district.rows("SELECT count(*) FROM roster.people") == [(0,)]


def test_good_rows_get_in_and_findings_are_kept(district: District) -> None:
    rows = whole_set()
    row_of(rows, "users", "student-3")["givenName"] = ""
    result = district.take_rows(rows)
    assert result["state"] == "ready"
    assert result["details"]["errors"] == {"value_missing": 1, "depends_on_rejected": 1}
    assert district.findings(result["import_id"]) == {
        ("value_missing", "error", "users.csv", 5, "givenName"),
        ("depends_on_rejected", "error", "enrollments.csv", 5, "userSourcedId"),
    }
    assert district.apply(result["import_id"])["applied"] is True
    people = district.rows("SELECT sourced_id FROM roster.people ORDER BY 1")
    assert [person for (person,) in people] == ["parent-1", "parent-2", "student-1", "student-2", "teacher-1"]
    enrolled = district.rows("SELECT sourced_id FROM roster.enrollments ORDER BY 1")
    assert [sourced_id for (sourced_id,) in enrolled] == ["e1-2025-26", "e2-2025-26", "e3-2025-26"]


def test_every_error_is_counted_and_a_thousand_are_kept(district: District) -> None:
    rows = whole_set()
    model = row_of(rows, "enrollments", "e2-2025-26")
    rows["enrollments"] += [{**model, "sourcedId": f"extra-{n}", "classSourcedId": "nowhere"} for n in range(1500)]
    rows["enrollments"] += [{**model, "sourcedId": f"odd-{n}", "role": "pupil"} for n in range(1200)]
    result = district.take_rows(rows)
    assert result["details"]["errors"] == {"reference": 1500, "bad_value": 1200}
    kept = 'SELECT code, count(*), min("row"), max("row") FROM ledger.findings GROUP BY 1 ORDER BY 1'
    assert district.rows(kept) == [("bad_value", 1000, 1506, 2505), ("reference", 1000, 6, 1005)]


def test_nothing_in_the_ledger_shows_a_value(district: District) -> None:
    rows = whole_set()
    secret = "Zoë-Q-Secretname"
    for column in ("givenName", "familyName", "username", "email"):
        row_of(rows, "users", "student-1")[column] = secret
    row_of(rows, "users", "student-1").update(role=secret, grades=secret, enabledUser=secret, agentSourcedIds=secret)
    row_of(rows, "demographics", "student-1")["birthDate"] = secret
    row_of(rows, "enrollments", "e2-2025-26")["userSourcedId"] = secret
    result = district.take_rows(rows)
    assert result["details"]["errors"] == {"bad_value": 1, "reference": 1, "depends_on_rejected": 1}
    reported = district.rows("SELECT f::text FROM ledger.findings f UNION ALL SELECT i::text FROM ledger.imports i")
    assert len(reported) >= 5
    assert not any(secret in line for (line,) in reported)


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


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("system", OTHER_SYSTEMS)
def test_the_district_is_reported_which_system_its_files_are_of(district: District, system: str, packed: bool) -> None:
    files = OTHER_SYSTEMS[system]
    import_id = district.take({"roster.zip": as_zip(files)} if packed else files)["import_id"]
    found = district.found(import_id)
    assert (found.state, found.reason) == ("rejected", "refused for format_other")
    (message,) = district.rows("SELECT message FROM ledger.findings WHERE import_id = :id", id=import_id)
    assert system in message[0]
