"""Cases of each rule: what breaks it, and where the finding points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.roster import generated_sets
from tests.support.roster.small_set import Rows, row_of, whole_set
from tests.support.roster.small_set import manifest as manifest_1_1

Where = tuple[str, str, int | None, str | None]  # code, file, row, column
Files = dict[str, bytes]
YEAR, FALL, CLASS = "year-2025-26", "fall-2025-26", "class-1-2025-26"


def set_value(file: str, sourced_id: str, **values: str) -> Callable[[Rows], object]:
    return lambda rows: row_of(rows, file, sourced_id).update(values)


def repeat(file: str, sourced_id: str, **changed: str) -> Callable[[Rows], object]:
    return lambda rows: rows[file].append({**row_of(rows, file, sourced_id), **changed})


def without_column(file: str, column: str) -> Callable[[Rows], object]:
    return lambda rows: [row.pop(column) for row in rows[file]]


def written(file: str, old: bytes, new: bytes, count: int = -1) -> Callable[[Files], object]:
    """What a system writes otherwise into a file."""
    return lambda files: files.update({file: files[file].replace(old, new, count)})


# An error keeps its row out; what it takes with it is reported too. One of rows, one of files.
def instead(others: Files) -> Callable[[Files], None]:
    """Put other files in the place of all."""

    def change(files: Files) -> None:
        files.clear()
        files.update(others)

    return change


ROW_ERRORS: dict[str, tuple[Callable[[Rows], object], Where, set[str]]] = {
    "bad date of a session": (
        set_value("academicSessions", FALL, endDate="10 Jan 26"),
        ("bad_date", "academicSessions.csv", 3, "endDate"),
        {FALL},
    ),
    "missing date": (
        set_value("academicSessions", FALL, startDate=""),
        ("value_missing", "academicSessions.csv", 3, "startDate"),
        {FALL},
    ),
    "bad year": (
        set_value("academicSessions", FALL, schoolYear="25-26"),
        ("bad_year", "academicSessions.csv", 3, "schoolYear"),
        {FALL},
    ),
    "session that ends before it starts": (
        set_value("academicSessions", FALL, endDate="2025-08-15"),
        ("session_dates", "academicSessions.csv", 3, "endDate"),
        {FALL},
    ),
    "missing id": (
        set_value("users", "student-3", sourcedId=""),
        ("value_missing", "users.csv", 5, "sourcedId"),
        {"student-3"},
    ),
    "long id": (
        set_value("users", "parent-1", sourcedId="x" * 256),
        ("id_length", "users.csv", 6, "sourcedId"),
        {"parent-1"},
    ),
    "id with a quote": (
        set_value("users", "parent-1", sourcedId='parent"1'),
        ("id_characters", "users.csv", 6, "sourcedId"),
        {"parent-1"},
    ),
    "missing name": (
        set_value("users", "parent-1", familyName=" "),
        ("value_missing", "users.csv", 6, "familyName"),
        {"parent-1"},
    ),
    "list of nothing": (
        set_value("users", "parent-1", orgSourcedIds=" , "),
        ("value_missing", "users.csv", 6, "orgSourcedIds"),
        {"parent-1"},
    ),
    "unknown role": (set_value("users", "parent-1", role="pupil"), ("bad_value", "users.csv", 6, "role"), {"parent-1"}),
    "two people of one id": (
        repeat("users", "parent-2", givenName="Ann"),
        ("duplicate", "users.csv", 8, "sourcedId"),
        set(),
    ),
    "two birth dates": (
        repeat("demographics", "student-1", birthDate="2017-03-09"),
        ("duplicate", "demographics.csv", 4, "sourcedId"),
        set(),
    ),
    "enrollment in a class that is not there": (
        set_value("enrollments", "e3-2025-26", classSourcedId="class-9"),
        ("reference", "enrollments.csv", 4, "classSourcedId"),
        {"e3-2025-26"},
    ),
    "class in a term that is not there": (
        set_value("classes", CLASS, termSourcedIds="spring, summer"),
        ("reference", "classes.csv", 2, "termSourcedIds"),
        {CLASS},
    ),
    "person of a school that is not there": (
        set_value("users", "parent-2", orgSourcedIds="school-9"),
        ("reference", "users.csv", 7, "orgSourcedIds"),
        {"parent-2"},
    ),
    "class of a course in error": (
        set_value("courses", "course-1", orgSourcedId=""),
        ("depends_on_rejected", "classes.csv", 2, "courseSourcedId"),
        {"course-1", CLASS, "class-2-2025-26"},
    ),
}


FILE_ERRORS: dict[str, tuple[Callable[[Files], object], Where, set[str]]] = {
    "NUL": (written("orgs.csv", b"Elm", b"E\0lm"), ("nul", "orgs.csv", 3, None), {"school-1"}),
    "bytes that are no character": (
        written("users.csv", b"Zo\xc3\xab", b"Zo\xff\xc3\xab", 1),
        ("not_utf8", "users.csv", 2, None),
        {"teacher-1"},
    ),
    "short row": (
        written("users.csv", b"parent-1,,", b"parent-1"),
        ("field_count", "users.csv", 6, None),
        {"parent-1"},
    ),
    "long row": (
        written("users.csv", b"student-3@example.org", b"student-3,@example.org"),
        ("field_count", "users.csv", 5, None),
        {"student-3"},
    ),
    "open quote": (
        written("users.csv", b"parent-1@example.org", b'"parent-1@example.org'),
        ("open_quote", "users.csv", 6, None),
        {"parent-1"},
    ),
    "file that ends inside a row": (
        lambda files: files.update({"enrollments.csv": files["enrollments.csv"].removesuffix(b"\r\n")[:-30]}),
        ("cut_off", "enrollments.csv", 5, None),
        {"e4-2026"},
    ),
    "line that does not end": (
        written("users.csv", b"parent-1@example.org", b"x" * (2**20 + 1)),
        ("row_too_long", "users.csv", 6, None),
        {"parent-1"},
    ),
}


# A warning lets the row in: what it then says, by roster table, id and column.
Said = tuple[str, str, str, Any] | None


ROW_WARNINGS: dict[str, tuple[Callable[[Rows], object], Where, Said]] = {
    "date of another country": (
        set_value("demographics", "student-2", birthDate="3/2/2017"),
        ("date_format", "demographics.csv", 3, "birthDate"),
        ("people", "student-2", "birth_date", "2017-03-02"),
    ),
    "date with a time": (
        set_value("academicSessions", FALL, endDate="2026-01-10T00:00:00Z"),
        ("date_format", "academicSessions.csv", 3, "endDate"),
        ("academic_sessions", FALL, "end_date", "2026-01-10"),
    ),
    "a day that is none": (
        set_value("demographics", "student-2", birthDate="2017-02-30"),
        ("bad_date", "demographics.csv", 3, "birthDate"),
        ("people", "student-2", "birth_date", None),
    ),
    "digits of another script": (
        set_value("demographics", "student-2", birthDate="２０１７-03-02"),
        ("bad_date", "demographics.csv", 3, "birthDate"),
        ("people", "student-2", "birth_date", None),
    ),
    "digits of another script, with a time": (
        set_value("demographics", "student-2", birthDate="٢٠١٧-03-02T00:00:00Z"),
        ("bad_date", "demographics.csv", 3, "birthDate"),
        ("people", "student-2", "birth_date", None),
    ),
    "a year out of all reason": (
        set_value("demographics", "student-1", birthDate="0217-02-03"),
        ("bad_date", "demographics.csv", 2, "birthDate"),
        ("people", "student-1", "birth_date", None),
    ),
    "both years": (
        set_value("academicSessions", FALL, schoolYear="2025-2026"),
        ("year_format", "academicSessions.csv", 3, "schoolYear"),
        ("academic_sessions", FALL, "school_year", "2025-26"),
    ),
    "role in capitals": (
        set_value("users", "parent-1", role="Parent"),
        ("value_spelling", "users.csv", 6, "role"),
        ("people", "parent-1", "role", "parent"),
    ),
    "TRUE": (
        set_value("users", "parent-1", enabledUser="FALSE"),
        ("value_spelling", "users.csv", 6, "enabledUser"),
        ("people", "parent-1", "enabled", False),
    ),
    "no boolean": (
        set_value("users", "parent-1", enabledUser="perhaps"),
        ("bad_value", "users.csv", 6, "enabledUser"),
        ("people", "parent-1", "enabled", True),
    ),
    "missing title": (
        set_value("courses", "course-1", title=""),
        ("value_missing", "courses.csv", 2, "title"),
        ("courses", "course-1", "title", ""),
    ),
    "class type of no one's": (
        set_value("classes", CLASS, classType="club"),
        ("bad_value", "classes.csv", 2, "classType"),
        ("classes", CLASS, "class_type", "scheduled"),
    ),
    "sex of another version": (
        set_value("demographics", "student-1", sex="unspecified"),
        ("bad_value", "demographics.csv", 2, "sex"),
        None,
    ),
    "grade of one digit": (
        set_value("users", "student-3", grades="5"),
        ("grade_spelling", "users.csv", 5, "grades"),
        ("people", "student-3", "grade", "05"),
    ),
    "grade below zero": (
        set_value("users", "student-3", grades="-1"),
        ("grade_spelling", "users.csv", 5, "grades"),
        ("people", "student-3", "grade", "PK"),
    ),
    "two grades": (
        set_value("users", "student-3", grades="05,06"),
        ("grades_several", "users.csv", 5, "grades"),
        ("people", "student-3", "grade", "05"),
    ),
    "unknown grade": (
        set_value("users", "student-3", grades="V"),
        ("grade_unknown", "users.csv", 5, "grades"),
        ("people", "student-3", "grade", "V"),
    ),
    "grades of a course": (
        set_value("courses", "course-1", grades="1,K"),
        ("grade_spelling", "courses.csv", 2, "grades"),
        ("courses", "course-1", "grades", ["01", "KG"]),
    ),
    "status filled in": (
        set_value("users", "parent-1", status="active"),
        ("bulk_filled", "users.csv", 6, "status"),
        ("people", "parent-1", "role", "parent"),
    ),
    "status of no format": (
        set_value("users", "parent-1", status="inactive"),
        ("status_other", "users.csv", 6, "status"),
        ("people", "parent-1", "role", "parent"),
    ),
    "odd id": (
        lambda rows: rows["users"].append({**row_of(rows, "users", "parent-2"), "sourcedId": "parent 3"}),
        ("id_characters", "users.csv", 8, "sourcedId"),
        ("people", "parent 3", "role", "guardian"),
    ),
    "spaces around an id": (
        set_value("users", "parent-1", sourcedId=" parent-1 "),
        ("value_spaces", "users.csv", 6, "sourcedId"),
        ("people", "parent-1", "role", "parent"),
    ),
    "username of somebody else": (
        set_value("users", "student-3", username="STUDENT-2-login"),
        ("username_twice", "users.csv", 5, "username"),
        ("people", "student-3", "username", "STUDENT-2-login"),
    ),
    "a row twice": (
        repeat("users", "parent-2"),
        ("repeated", "users.csv", 8, "sourcedId"),
        ("people", "parent-2", "role", "guardian"),
    ),
    "parent org that is not there": (
        set_value("orgs", "school-1", parentSourcedId="region-1"),
        ("optional_reference", "orgs.csv", 3, "parentSourcedId"),
        ("orgs", "school-1", "parent_id", None),
    ),
    "one of two terms that is not there": (
        set_value("classes", CLASS, termSourcedIds=f"{FALL},spring"),
        ("optional_reference", "classes.csv", 2, "termSourcedIds"),
        ("classes", CLASS, "term_ids", [FALL]),
    ),
    "one of two schools that is not there": (
        set_value("users", "student-2", orgSourcedIds="school-2,school-9"),
        ("optional_reference", "users.csv", 4, "orgSourcedIds"),
        ("people", "student-2", "school_ids", ["school-2"]),
    ),
    "guardian who is not there": (
        set_value("users", "student-3", agentSourcedIds="parent-9"),
        ("optional_reference", "users.csv", 5, "agentSourcedIds"),
        None,
    ),
    "student as guardian": (
        set_value("users", "student-3", agentSourcedIds="student-2"),
        ("agent_role", "users.csv", 5, "agentSourcedIds"),
        None,
    ),
    "course of a year that is a semester": (
        set_value("courses", "course-1", schoolYearSourcedId=FALL),
        ("course_year", "courses.csv", 2, "schoolYearSourcedId"),
        ("courses", "course-1", "school_year_session_id", FALL),
    ),
    "session of another year": (
        set_value("academicSessions", FALL, schoolYear="2027"),
        ("session_year", "academicSessions.csv", 3, "schoolYear"),
        ("academic_sessions", FALL, "school_year", "2026-27"),
    ),
    "session outside its year": (
        set_value("academicSessions", FALL, startDate="2025-08-14"),
        ("session_parent", "academicSessions.csv", 3, "parentSourcedId"),
        ("academic_sessions", FALL, "start_date", "2025-08-14"),
    ),
    "teacher enrolled as student": (
        set_value("enrollments", "e1-2025-26", role="student", primary=""),
        ("enrollment_role", "enrollments.csv", 2, "role"),
        ("enrollments", "e1-2025-26", "role", "student"),
    ),
    "teacher enrolled as proctor": (
        set_value("enrollments", "e1-2025-26", role="proctor", primary=""),
        ("enrollment_role", "enrollments.csv", 2, "role"),
        ("enrollments", "e1-2025-26", "role", "proctor"),
    ),
    "primary student": (
        set_value("enrollments", "e2-2025-26", primary="true"),
        ("primary_student", "enrollments.csv", 3, "primary"),
        ("enrollments", "e2-2025-26", "primary", True),
    ),
    "two primary teachers": (
        repeat("enrollments", "e1-2025-26", sourcedId="e9"),
        ("primary_twice", "enrollments.csv", 6, "primary"),
        ("enrollments", "e9", "primary", True),
    ),
    "enrollment in another school": (
        set_value("enrollments", "e2-2025-26", schoolSourcedId="school-2"),
        ("enrollment_school", "enrollments.csv", 3, "schoolSourcedId"),
        ("enrollments", "e2-2025-26", "school_id", "school-2"),
    ),
    "enrollment that begins before the term": (
        set_value("enrollments", "e2-2025-26", beginDate="2025-08-01"),
        ("enrollment_term", "enrollments.csv", 3, "beginDate"),
        ("enrollments", "e2-2025-26", "begin_date", "2025-08-01"),
    ),
    "enrollment that ends after the term": (
        set_value("enrollments", "e2-2025-26", endDate="2026-01-11"),
        ("enrollment_term", "enrollments.csv", 3, "endDate"),
        ("enrollments", "e2-2025-26", "end_date", "2026-01-11"),
    ),
    "enrollment backwards": (
        set_value("enrollments", "e2-2025-26", beginDate="2025-12-01", endDate="2025-11-01"),
        ("enrollment_dates", "enrollments.csv", 3, "endDate"),
        ("enrollments", "e2-2025-26", "end_date", "2025-11-01"),
    ),
    "column of no one's": (
        lambda rows: [row.update(shoeSize="5") for row in rows["users"]],
        ("column_unknown", "users.csv", 1, None),
        None,
    ),
    "column in another case": (
        lambda rows: rows.update(classes=[renamed(row, location="Location") for row in rows["classes"]]),
        ("column_spelling", "classes.csv", 1, "location"),
        None,
    ),
    "columns of OneRoster 1.0": (
        lambda rows: rows.update(courses=[renamed(row, grades="grade") for row in rows["courses"]]),
        ("column_spelling", "courses.csv", 1, "grades"),
        ("courses", "course-1", "grades", ["01", "02"]),
    ),
    "columns in another order": (
        lambda rows: rows.update(orgs=[dict(sorted(row.items())) for row in rows["orgs"]]),
        ("column_order", "orgs.csv", 1, None),
        None,
    ),
    "own column among the others": (
        lambda rows: rows.update(orgs=[{"metadata.x": "1", **row} for row in rows["orgs"]]),
        ("column_order", "orgs.csv", 1, None),
        None,
    ),
    "missing column that is not read": (
        without_column("users", "userIds"),
        ("column_missing", "users.csv", 1, "userIds"),
        None,
    ),
    "line break in a value": (
        set_value("classes", CLASS, location="Room\n5"),
        ("line_break", "classes.csv", 2, None),
        ("classes", CLASS, "location", "Room\n5"),
    ),
}


def renamed(row: dict[str, str], **names: str) -> dict[str, str]:
    """The row with other headers, in the same order."""
    return {names.get(name, name): value for name, value in row.items()}


FILE_WARNINGS: dict[str, tuple[Callable[[Files], object], Where]] = {
    "Windows-1252": (
        lambda files: files.update({"users.csv": files["users.csv"].decode().encode("cp1252")}),
        ("encoding", "users.csv", None, None),
    ),
    "UTF-16": (
        lambda files: files.update({"users.csv": files["users.csv"].decode().encode("utf-16")}),
        ("encoding", "users.csv", None, None),
    ),
    "CR": (written("users.csv", b"\r\n", b"\r"), ("line_ends", "users.csv", None, None)),
    "column without a name": (
        lambda files: files.update({"orgs.csv": files["orgs.csv"].replace(b"\r\n", b",\r\n")}),
        ("column_blank", "orgs.csv", 1, None),
    ),
    "blank fields behind a row": (
        lambda files: files.update(
            {"enrollments.csv": files["enrollments.csv"].replace(b"\r\n", b",\r\n", 3).replace(b",\r\n", b"\r\n", 2)}
        ),
        ("fields_behind", "enrollments.csv", 3, None),
    ),
    "last line without an end": (
        lambda files: files.update({"orgs.csv": files["orgs.csv"].removesuffix(b"\r\n")}),
        ("last_line_end", "orgs.csv", 4, "parentSourcedId"),
    ),
    "NUL in a column that is not read": (
        written("users.csv", b"correct-horse", b"correct\0horse", 1),
        ("nul", "users.csv", 2, None),
    ),
    "empty file that nobody needs": (
        lambda files: files.update({"demographics.csv": files["demographics.csv"].split(b"\r\n")[0] + b"\r\n"}),
        ("empty_file", "demographics.csv", None, None),
    ),
    "manifest of another version": (
        written("manifest.csv", b"manifest.version,1.0", b"manifest.version,2.0"),
        ("manifest_version", "manifest.csv", 2, None),
    ),
    "manifest without its header": (
        written("manifest.csv", b"propertyName,value\r\n", b""),
        ("manifest_header", "manifest.csv", 1, None),
    ),
    "manifest in capitals": (
        written("manifest.csv", b"file.users,bulk", b"file.users,Bulk"),
        ("value_spelling", "manifest.csv", 8, "value"),
    ),
    "manifest in UTF-16": (
        lambda files: files.update({"manifest.csv": files["manifest.csv"].decode().encode("utf-16")}),
        ("encoding", "manifest.csv", None, None),
    ),
    "manifest that does not name a file": (
        written("manifest.csv", b"file.results,absent\r\n", b""),
        ("manifest_file", "manifest.csv", None, None),
    ),
    "file of grades that the manifest does not name": (
        lambda files: files.update({"results.csv": b"sourcedId\r\n"}),
        ("file_not_in_manifest", "results.csv", None, None),
    ),
    "file of grades that is missing": (
        written("manifest.csv", b"file.results,absent", b"file.results,bulk"),
        ("file_missing", "results.csv", None, None),
    ),
}


# What refuses the whole set.
REFUSED: dict[str, tuple[Callable[[Files], object], Where]] = {
    "no manifest": (lambda files: files.pop("manifest.csv"), ("manifest_missing", "manifest.csv", None, None)),
    "manifest that is no text": (
        lambda files: files.update({"manifest.csv": b"\xff\xfe\x00"}),
        ("manifest_unreadable", "manifest.csv", None, None),
    ),
    "manifest that contradicts itself": (
        lambda files: files.update({"manifest.csv": files["manifest.csv"] + b"file.users,absent\r\n"}),
        ("manifest_twice", "manifest.csv", 17, None),
    ),
    "version 1.3": (
        lambda files: files.update({"manifest.csv": manifest_1_1().replace(b"1.1", b"1.3")}),
        ("version", "manifest.csv", 3, None),
    ),
    "no version": (
        lambda files: files.update({"manifest.csv": manifest_1_1().replace(b"oneroster", b"other")}),
        ("version_missing", "manifest.csv", None, None),
    ),
    "unknown mode": (
        lambda files: files.update({"manifest.csv": manifest_1_1(users="full")}),
        ("manifest_mode", "manifest.csv", 8, "value"),
    ),
    "files of another system": (
        instead({"enrollments.csv": b"classSourcedId,userSourcedId,role\r\n1,2,student\r\n"}),
        ("format_other", "enrollments.csv", None, None),
    ),
    "files of no format": (
        instead({"enrollments.csv": b"a,b\r\n"}),
        ("format_unknown", "manifest.csv", None, None),
    ),
    "required file left out": (lambda files: files.pop("courses.csv"), ("file_missing", "courses.csv", None, None)),
    "required file absent": (
        lambda files: [files.pop("courses.csv"), files.update({"manifest.csv": manifest_1_1(courses="absent")})],
        ("file_missing", "courses.csv", None, None),
    ),
    "required file that the manifest does not know": (
        lambda files: files.update({"manifest.csv": manifest_1_1(courses="absent")}),
        ("file_not_in_manifest", "courses.csv", None, None),
    ),
    "empty file": (lambda files: files.update({"users.csv": b""}), ("empty_file", "users.csv", 1, None)),
    "header only": (
        lambda files: files.update({"enrollments.csv": files["enrollments.csv"].split(b"\r\n")[0] + b"\r\n"}),
        ("empty_file", "enrollments.csv", None, None),
    ),
    "column twice": (written("orgs.csv", b"identifier", b"name"), ("column_twice", "orgs.csv", 1, "name")),
    "no identity column": (
        written("users.csv", b"sourcedId,", b"key,", 1),
        ("column_missing", "users.csv", 1, "sourcedId"),
    ),
    "not a single valid row": (
        written("courses.csv", b"springfield-district", b"nowhere"),
        ("no_valid_rows", "courses.csv", None, None),
    ),
}


# Rules of the other formats; of deltas: test_delta.py.
OTHERS: dict[str, tuple[str, Callable[[generated_sets.Rows], object], tuple[str, str, str, int | None, str | None]]] = {
    "person without a role": (
        "oneroster_1_2",
        lambda rows: rows["roles.csv"].pop(0),
        ("role_missing", "error", "users.csv", 2, "sourcedId"),
    ),
    "two primary roles at an org": (
        "oneroster_1_2",
        lambda rows: rows["roles.csv"].append({**rows["roles.csv"][0], "sourcedId": "again", "role": "aide"}),
        ("primary_role", "warning", "roles.csv", 23, "roleType"),
    ),
    "no primary role": (
        "oneroster_1_2",
        lambda rows: rows["roles.csv"][0].update(roleType="secondary"),
        ("primary_role_missing", "warning", "roles.csv", 2, "roleType"),
    ),
    "no role at the primary org": (
        "oneroster_1_2",
        lambda rows: rows["users.csv"][0].update(primaryOrgSourcedId="school-1"),
        ("primary_org", "warning", "users.csv", 2, "primaryOrgSourcedId"),
    ),
    "teacher whose rows differ": (
        "clever",
        lambda rows: rows["teachers.csv"][2].update(First_name="Other"),
        ("rows_differ", "warning", "teachers.csv", 4, "Teacher_id"),
    ),
    "staff twice": (
        "clever",
        lambda rows: rows["staff.csv"].append(rows["staff.csv"][0]),
        ("repeated", "warning", "staff.csv", 4, "Staff_id"),
    ),
    "contact without an id": (
        "clever",
        lambda rows: rows["students.csv"][1].update(Contact_sis_id=""),
        ("contact_id_missing", "warning", "students.csv", 3, "Contact_sis_id"),
    ),
    "six contacts": (
        "clever",
        lambda rows: rows["students.csv"].extend(
            {**rows["students.csv"][1], "Contact_sis_id": f"x{n}"} for n in range(5)
        ),
        ("contacts_many", "warning", "students.csv", 22, "Student_id"),
    ),
    "enrollment at another school": (
        "clever",
        lambda rows: rows["enrollments.csv"][0].update(School_id="001"),
        ("enrollment_school", "warning", "enrollments.csv", 2, "School_id"),
    ),
}


SETS: dict[str, tuple[Callable[[Rows], object], Where]] = {
    "another district": (
        lambda rows: [
            row.update({k: v.replace("springfield-d", "other-d") for k, v in row.items()})
            for file in rows.values()
            for row in file
        ],
        ("other_district", "orgs.csv", None, "sourcedId"),
    ),
    "row of the district in error": (
        lambda rows: row_of(rows, "orgs", "springfield-district").update(type="county"),
        ("district_kept_out", "orgs.csv", 2, "sourcedId"),
    ),
    "year that is over": (
        lambda rows: rows.update(whole_set(ends=2025)),
        ("wrong_year", "academicSessions.csv", None, "schoolYear"),
    ),
    "no student": (
        lambda rows: [row.update(role="aide") for row in rows["users"] if row["role"] == "student"],
        ("no_students", "users.csv", None, "role"),
    ),
}
