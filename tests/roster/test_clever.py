"""Clever's files: what they leave out, repeat and write in their own way."""

from __future__ import annotations

from datetime import date

import pytest

from rollover.calendar import JULY, MonthDay
from tests.roster.conftest import District
from tests.support.roster.generated_sets import Row, Rows, as_csv, as_files, header, made
from tests.support.roster.read_set import Taken, take
from tests.support.sampling import others_slow

PASSWORD = "correct-horse-battery"


def whole() -> Rows:
    return made("clever", students=6)


def taken(rows: Rows, files_year: str = "2025-26") -> Taken:
    return take(as_files("clever", rows), files_year=files_year)


def student(rows: Rows, student_id: str) -> Row:
    return next(row for row in rows["students.csv"] if row["Student_id"] == student_id)


def without(rows: Rows, file: str, *columns: str) -> dict[str, bytes]:
    """The set's files, one without some of its columns."""
    files = as_files("clever", rows)
    names = [name for name in header("clever", file) if name not in columns]
    return {**files, file: as_csv(names, rows[file])}


def test_a_whole_set() -> None:
    result = taken(whole())
    assert result.codes == {}
    assert result.tables
    people = result.tables["people"].group_by("role").len().sort("role").rows()
    assert people == [("administrator", 2), ("guardian", 6), ("student", 6), ("teacher", 2)]
    assert result.tables["guardians"].height == 6
    assert result.tables["orgs"]["type"].unique().to_list() == ["school"]


def test_a_student_has_a_row_for_each_contact() -> None:
    result = taken(whole())
    assert result.tables
    links = result.tables["guardians"].select("student_id", "guardian_id").rows()
    assert links == [
        ("001", "contact.c1-0"),
        ("002", "contact.c2-0"),
        ("002", "contact.c2-1"),
        ("004", "contact.c4-0"),
        ("005", "contact.c5-0"),
        ("005", "contact.c5-1"),
    ]
    guardian = result.row("people", "contact.c1-0")
    assert (guardian["given_name"], guardian["family_name"], guardian["school_ids"]) == ("Pat", "O'Hara", ["001"])


def test_a_contact_of_two_students_is_one_person() -> None:
    rows = whole()
    for row in rows["students.csv"]:
        if row["Contact_sis_id"] in ("c1-0", "c2-0"):
            row["Contact_sis_id"] = "parent-7"
        elif row["Contact_name"]:
            row.update(Contact_sis_id="", Contact_name="Pat Same", Contact_phone="555 0100")
    rows["students.csv"][-1]["Contact_phone"] = "(555) 0100"
    result = taken(rows)
    assert {person for person in result.ids("people") if person.startswith("contact.")} >= {"contact.parent-7"}
    assert len([person for person in result.ids("people") if person.startswith("contact.")]) == 2
    assert result.codes == {"contact_id_missing": 4}


def test_a_teacher_is_one_person_at_several_schools() -> None:
    result = taken(whole())
    assert result.row("people", "teacher.00")["school_ids"] == ["000", "001"]
    rows = whole()
    rows["teachers.csv"].reverse()
    assert taken(rows).row("people", "teacher.00")["school_ids"] == ["001", "000"]


def test_a_student_at_two_schools_belongs_to_the_first() -> None:
    rows = whole()
    rows["students.csv"].append({**student(rows, "000"), "School_id": "001"})
    assert taken(rows).row("people", "000")["school_ids"] == ["000", "001"]
    assert taken(rows).codes == {}


def test_ids_keep_their_leading_zeros_and_do_not_meet() -> None:
    rows = whole()
    for row in rows["students.csv"]:
        row["Student_id"] = {"000": "00", "001": "teacher.00", "002": "contact.c1-0"}.get(
            row["Student_id"], row["Student_id"]
        )
    for row in rows["enrollments.csv"]:
        row["Student_id"] = {"000": "00", "001": "teacher.00", "002": "contact.c1-0"}.get(
            row["Student_id"], row["Student_id"]
        )
    result = taken(rows)
    assert result.codes == {}
    assert result.tables
    assert result.tables["people"].height == taken(whole()).tables["people"].height  # type: ignore[index]
    assert {"00", "teacher.00", "staff.00", "student.teacher.00", "student.contact.c1-0"} < result.ids("people")
    assert result.tables["enrollments"]["sourced_id"].is_unique().all()


def test_sections_and_students_with_dots_do_not_meet() -> None:
    rows = whole()
    section = rows["sections.csv"][0]
    rows["sections.csv"] += [{**section, "Section_id": "a"}, {**section, "Section_id": "a.b"}]
    child = rows["students.csv"][0]
    rows["students.csv"] += [{**child, "Student_id": "b.c"}, {**child, "Student_id": "c"}]
    enrolled = rows["enrollments.csv"][0]
    rows["enrollments.csv"] += [
        {**enrolled, "Section_id": "a", "Student_id": "b.c"},
        {**enrolled, "Section_id": "a.b", "Student_id": "c"},
    ]
    result = taken(rows)
    assert result.tables
    assert result.tables["enrollments"].height == taken(whole()).tables["enrollments"].height + 4  # type: ignore[index]
    assert result.tables["enrollments"]["sourced_id"].is_unique().all()


@pytest.mark.parametrize(
    ("written", "meant", "code"),
    others_slow(
        [
            ("Kindergarten", "KG", None),
            ("kindergarten", "KG", None),
            ("PreKindergarten", "PK", None),
            ("Transitional Kindergarten", "TK", None),
            ("Postgraduate", "13", None),
            ("0", "KG", None),
            ("9", "09", None),
            ("12", "12", None),
            ("PK", "PK", "grade_spelling"),
            ("K", "KG", "grade_spelling"),
            ("09", "09", "grade_spelling"),
            ("-1", "PK", "grade_spelling"),
            ("9th", "09", "grade_spelling"),
            ("9,10", "09", "grades_several"),
            ("IX", "IX", "grade_unknown"),
            ("", None, None),
        ],
        4,
    ),
)
def test_grades(written: str, meant: str | None, code: str | None) -> None:
    rows = whole()
    student(rows, "000")["Grade"] = written
    result = taken(rows)
    assert result.row("people", "000")["grade"] == meant
    assert set(result.codes) == ({code} if code else set())


@pytest.mark.parametrize(
    ("written", "meant", "code"),
    [
        ("03/09/2012", date(2012, 3, 9), None),
        ("3/9/2012", date(2012, 3, 9), None),
        ("3/9/12", date(2012, 3, 9), "date_format"),
        ("3/9/98", date(1998, 3, 9), "date_format"),
        ("2012-03-09", date(2012, 3, 9), "date_format"),
        ("3/9/2012 0:00", date(2012, 3, 9), "date_format"),
        ("13/9/2012", None, "bad_date"),
        ("2/30/2012", None, "bad_date"),
        ("", None, None),
    ],
)
def test_birth_dates(written: str, meant: date | None, code: str | None) -> None:
    rows = whole()
    student(rows, "000")["DOB"] = written
    result = taken(rows)
    assert result.row("people", "000")["birth_date"] == meant
    assert set(result.codes) == ({code} if code else set())


def test_a_year_of_two_digits_is_said_to_be_one() -> None:
    rows = whole()
    student(rows, "000")["DOB"], student(rows, "001")["DOB"] = "3/9/12", "2012-03-09"
    messages = [finding.message for finding in taken(rows).findings.kept if finding.code == "date_format"]
    assert messages == [
        "The year of DOB has two digits; it was understood. Write it as MM/DD/YYYY.",
        "DOB is not written month/day/year; it was understood.",
    ]


@pytest.mark.parametrize("name", ["DOB", "DOB(MM/DD/YYYY)", "DOB (MM/DD/YYYY)", "dob"])
def test_headers_of_the_birth_date(name: str) -> None:
    files = as_files("clever", whole())
    files["students.csv"] = files["students.csv"].replace(b",DOB,", f",{name},".encode())
    result = take(files)
    assert result.row("people", "000")["birth_date"] == date(2012, 3, 1)
    assert set(result.codes) == ({"column_spelling"} if name not in ("DOB", "DOB(MM/DD/YYYY)") else set())


def test_headers_with_spaces_and_in_any_order() -> None:
    rows, files = whole(), {}
    for file, content in rows.items():
        names = sorted(header("clever", file))
        lines = as_csv(names, content).split(b"\r\n", 1)
        files[file] = lines[0].replace(b"_", b" ") + b"\r\n" + lines[1]
    result, plain = take(files), taken(rows)
    assert result.codes == {}
    assert result.tables and plain.tables
    for table, content_of in plain.tables.items():
        assert content_of.equals(result.tables[table]), table


def test_own_columns_may_stand_anywhere() -> None:
    rows = whole()
    files = as_files("clever", rows)
    files["students.csv"] = as_csv(["ext.bus", *header("clever", "students.csv"), "ext.house"], rows["students.csv"])
    assert take(files).codes == {}


def test_terms_are_made_of_what_sections_say() -> None:
    result = taken(whole())
    assert result.tables
    terms = result.tables["academic_sessions"].select("title", "start_date", "end_date", "school_year").rows()
    assert terms == [
        ("Fall", date(2025, 8, 15), date(2026, 1, 11), "2025-26"),
        ("Spring", date(2026, 1, 11), date(2026, 6, 6), "2025-26"),
    ]


@pytest.mark.parametrize(
    ("starts", "ends", "term"),
    [
        ("", "", (date(2026, 7, 1), date(2027, 7, 1), "2026-27")),
        ("9/1/2026", "", (date(2026, 9, 1), date(2027, 7, 1), "2026-27")),
        ("2/1/2026", "", (date(2026, 2, 1), date(2026, 7, 1), "2025-26")),
        ("", "1/15/2026", (date(2025, 7, 1), date(2026, 1, 16), "2025-26")),
    ],
)
def test_a_term_without_dates_lasts_its_year(starts: str, ends: str, term: tuple[date, date, str]) -> None:
    rows = whole()
    for row in rows["sections.csv"]:
        row.update(Term_name="", Term_start=starts, Term_end=ends)
    result = taken(rows, files_year="2026-27")
    assert result.codes == {}
    assert result.tables
    assert result.tables["academic_sessions"].select("start_date", "end_date", "school_year").rows() == [term]
    assert result.tables["classes"]["term_ids"].to_list() == [["term.year"]] * 4


def test_a_section_in_error_takes_its_enrollments_with_it() -> None:
    rows = whole()
    rows["sections.csv"][0].update(Term_start="6/1/2026")
    rows["sections.csv"][1].update(Teacher_id="nobody")
    rows["sections.csv"][2].update(Teacher_3_id="nobody")
    result = taken(rows)
    assert result.codes == {"session_dates": 1, "reference": 1, "depends_on_rejected": 6, "optional_reference": 1}
    assert result.ids("classes") == {"1.Fall", "1.Spring"}


def test_a_section_id_that_two_sections_have() -> None:
    rows = whole()
    rows["sections.csv"].append({**rows["sections.csv"][0], "Name": "Other"})
    rows["sections.csv"].append(dict(rows["sections.csv"][0]))
    result = taken(rows)
    assert result.found == {
        ("duplicate", "error", "sections.csv", 6, "Section_id"),
        ("repeated", "warning", "sections.csv", 7, "Section_id"),
    }


def test_texts_that_are_longer_than_a_key_may_be() -> None:
    rows = whole()
    rows["sections.csv"][0].update(Course_number="x" * 5000, Term_name="y" * 5000, Term_start="", Term_end="")
    student(rows, "001")["Contact_sis_id"] = "z" * 5000
    result = taken(rows)
    assert result.codes == {"id_length": 1, "contact_id_missing": 1}
    assert result.tables
    for table in result.tables.values():
        assert max(len(str(key)) for key in table[table.columns[0]]) < 600


def test_passwords_are_never_read() -> None:
    rows = whole()
    for file in ("students.csv", "teachers.csv", "staff.csv"):
        for row in rows[file]:
            row["Password"] = PASSWORD
    result = taken(rows)
    assert result.tables
    assert not any(PASSWORD in str(table.to_dicts()) for table in result.tables.values())
    assert not any(PASSWORD in str(finding) for finding in result.findings.kept)


@pytest.mark.parametrize("file", ["schools.csv", "students.csv", "teachers.csv", "sections.csv", "enrollments.csv"])
def test_a_set_without_a_required_file_is_refused(file: str) -> None:
    files = as_files("clever", whole())
    del files[file]
    assert take(files).refused == {"file_missing"}


def test_attendance_is_not_read() -> None:
    files = {**as_files("clever", whole()), "attendance.csv": b"Student_id\r\n000\r\n"}
    assert take(files).codes == {}


def live(district: District) -> str:
    first = district.take(as_files("clever", whole()))
    assert first["details"]["errors"] == {}
    assert district.apply(first["import_id"])["applied"] is True
    return str(first["import_id"])


def touched(district: District, table: str, import_id: str) -> int:
    """How many rows another import than this one has changed since."""
    query = f"SELECT count(*) FROM roster.{table} WHERE import_id <> :id OR status <> 'active'"
    return int(district.rows(query, id=import_id)[0][0])


def test_the_same_rows_again_change_nothing(district: District) -> None:
    import_id = live(district)
    files = {name: content + b"\r\n" for name, content in as_files("clever", whole()).items()}
    second = district.take(files)
    assert district.apply(second["import_id"])["state"] == "applied"
    for table in ("orgs", "academic_sessions", "courses", "classes", "people", "guardians", "enrollments"):
        assert touched(district, table, import_id) == 0, table


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        ("students.csv", ("Student_email", "Student_number", "Middle_name", "DOB", "Grade")),
        ("teachers.csv", ("Teacher_email", "Teacher_number", "Middle_name")),
        ("students.csv", tuple(name for name in header("clever", "students.csv") if name.startswith("Contact_"))),
        ("sections.csv", ("Section_number", "Grade", "Period")),
    ],
)
def test_columns_that_are_not_there_keep_what_is_live(district: District, file: str, columns: tuple[str, ...]) -> None:
    rows = whole()
    for row in rows["students.csv"] + rows["teachers.csv"]:
        row["Username"] = row.get("Student_id") or row.get("Teacher_id", "")
    first = district.take(as_files("clever", rows))
    assert district.apply(first["import_id"])["applied"] is True
    if "Contact_name" in columns:
        one = {row["Student_id"]: row for row in rows["students.csv"]}
        rows["students.csv"] = list(one.values())
    second = district.take(without(rows, file, *columns))
    assert second["state"] == "ready", second
    assert second["details"]["warnings"] == {}
    assert district.apply(second["import_id"])["state"] == "applied"
    for table in ("classes", "people", "guardians"):
        assert touched(district, table, first["import_id"]) == 0, table


def test_staff_that_is_not_sent_stays(district: District) -> None:
    import_id = live(district)
    files = as_files("clever", whole())
    del files["staff.csv"]
    second = district.take(files)
    assert district.apply(second["import_id"])["state"] == "applied"
    assert touched(district, "people", import_id) == 0
    rows = whole()
    del rows["staff.csv"][0]
    third = district.take(as_files("clever", rows))
    assert district.apply(third["import_id"])["state"] == "applied"
    assert district.rows("SELECT sourced_id FROM roster.people WHERE status <> 'active'") == [("staff.00",)]


def test_contacts_of_students_who_left_go_although_no_contacts_are_sent(district: District) -> None:
    live(district)
    rows = whole()
    gone = {"001", "004"}
    rows["students.csv"] = [row for row in rows["students.csv"] if row["Student_id"] not in gone]
    rows["enrollments.csv"] = [row for row in rows["enrollments.csv"] if row["Student_id"] not in gone]
    contacts = [name for name in header("clever", "students.csv") if name.startswith("Contact_")]
    rows["students.csv"] = list({row["Student_id"]: row for row in rows["students.csv"]}.values())
    second = district.take(without(rows, "students.csv", *contacts))
    assert district.apply(second["import_id"])["state"] == "applied"
    left = district.rows("SELECT sourced_id FROM roster.people WHERE status <> 'active' ORDER BY 1")
    assert [person for (person,) in left] == ["001", "004", "contact.c1-0", "contact.c4-0"]


def test_a_year_that_is_neither_this_nor_the_next_is_refused(district: District) -> None:
    rows = whole()
    for row in rows["sections.csv"]:
        row.update(Term_start="8/15/2023", Term_end="6/5/2024")
    result = district.take(as_files("clever", rows))
    assert (result["state"], result["reason"]) == ("rejected", "refused for wrong_year")
    assert ("wrong_year", "error", "sections.csv", None, "Term_start") in district.findings(result["import_id"])


@pytest.mark.parametrize(
    ("begins", "starts", "ends", "year", "without"),
    [
        (JULY, "8/15/2025", "6/5/2026", "2025-26", ("2025-07-01", "2026-07-01")),
        (MonthDay(4, 1), "4/7/2025", "3/20/2026", "2025-26", ("2025-04-01", "2026-04-01")),
        (MonthDay(1, 1), "1/27/2026", "12/18/2026", "2025-26", ("2026-01-01", "2027-01-01")),
    ],
)
def test_years_begin_where_the_district_says(
    begins: MonthDay, starts: str, ends: str, year: str, without: tuple[str, str]
) -> None:
    rows = whole()
    dates = ((starts, ends), (starts, ""), ("", ends), ("", ""))
    for n, row in enumerate(rows["sections.csv"]):
        row |= dict(zip(("Term_start", "Term_end"), dates[n % 4], strict=True)) | {"Term_name": f"T{n % 4}"}
    result = take(as_files("clever", rows), files_year="2025-26", begins=begins)
    assert result.tables and len(rows["sections.csv"]) >= 4
    sessions = result.tables["academic_sessions"].sort("title")
    assert sessions["school_year"].to_list() == [year] * 4
    assert str(sessions["end_date"][1]) == str(sessions["end_date"][3]) == without[1]
    assert str(sessions["start_date"][2]) == str(sessions["start_date"][3]) == without[0]


def test_the_year_is_that_of_most_sections(district: District) -> None:
    """Two that are left over from last year, each in a term of its own, do not make the year."""
    rows = whole()
    for row in rows["sections.csv"]:
        row |= {"Term_name": "Year", "Term_start": "8/15/2025", "Term_end": "6/5/2026"}
    for n in range(2):
        left = {
            "Section_id": f"left-{n}",
            "Term_name": f"Old {n}",
            "Term_start": f"8/{n + 1}/2024",
            "Term_end": "6/5/2025",
        }
        rows["sections.csv"].append({**rows["sections.csv"][0], **left})
    result = district.take(as_files("clever", rows))
    assert (result["state"], result["school_year"]) == ("ready", "2025-26")
