"""The roster tables, as SQL over Clever's files: courses, terms and guardians are made of sections and students."""

from __future__ import annotations

KEY_LENGTH = 255
"""Characters of a text that is a part of a key: PostgreSQL has a limit."""
# A district's student ids may look like the ids that are made here for teachers, staff and contacts.
STUDENT_ID = """
    (CASE WHEN regexp_matches(Student_id, '^(student|teacher|staff|contact)[.]')
          THEN 'student.' || Student_id ELSE Student_id END)
"""
# The section's part of it must be unambiguous, even if the section's id has a dot.
SECTION_PART = r"""(replace(replace(Section_id, '\', '\\'), '.', '\.') || '.')"""
FURTHER_TEACHERS = tuple(f"Teacher_{n}_id" for n in range(2, 11))
CONTACT_ID = """
    'contact.' || coalesce(Contact_sis_id,
        md5(concat_ws(chr(31), lower(Contact_name), regexp_replace(coalesce(Contact_phone, ''), '[^0-9]', '', 'g'),
                      lower(coalesce(Contact_email, '')))))
"""


def _key(text: str) -> str:
    """A text of the files as a part of a key."""
    return f"(CASE WHEN length({text}) > {KEY_LENGTH} THEN md5({text}) ELSE {text} END)"


def _year_begins(day: str) -> str:
    """The first day of the school year that a day belongs to."""
    own = f"make_date(year({day}), month({_BEGINS}), day({_BEGINS}))"
    return f"({own} - to_years(({day} < {own})::INT))::DATE"


_BEGINS = "getvariable('files_year_begins')"
# A term without dates lasts the whole year that the set is of; one with one date only, the rest of that date's year.
TERMS = f"""
    SELECT "row", Section_id,
           coalesce(Term_start, {_year_begins("ends")}) AS starts, ends,
           'term.' || coalesce(strftime(Term_start, '%Y-%m-%d') || '.' || strftime(Term_end, '%Y-%m-%d'),
                               {_key("Term_name")}, 'year') AS id,
           coalesce(Term_name, '') AS title
    FROM (
        SELECT *, coalesce(Term_end, ({_year_begins("Term_start")} + to_years(1))::DATE - 1,
                           ({_BEGINS} + to_years(1))::DATE - 1) AS ends
        FROM sections
    )
"""
_FIRST_YEAR = f"(year({_year_begins('min(starts)')}) - getvariable('begins_in_last_year'))"
_SCHOOL_YEAR = f"{_FIRST_YEAR} || '-' || lpad((({_FIRST_YEAR} + 1) % 100)::VARCHAR, 2, '0')"
COURSE_ID = f"'course.' || coalesce({_key('Course_number')}, {_key('Course_name')}, {_key('Subject')}, 'none')"
FURTHER = ", ".join(FURTHER_TEACHERS)
CONTACTS = f"""
    (SELECT "row", School_id, {CONTACT_ID} AS id, Contact_name AS name, Contact_email AS email
     FROM students WHERE Contact_name IS NOT NULL)
"""
# Each school once, in the order of the rows: the person belongs to the first one.
SCHOOL_IDS = 'list(School_id ORDER BY "row") FILTER (is_first)'


def _with_schools(rows: str, identity: str) -> str:
    """Rows of people, and whether each is the first of its person at its school."""
    place = f'row_number() OVER (PARTITION BY {identity}, School_id ORDER BY "row")'
    return f"SELECT *, {place} = 1 AS is_first FROM {rows}"


SHAPES = {
    "orgs": """
        SELECT 'schools.csv' AS file, "row", School_id AS sourced_id, School_name AS name, 'school' AS type,
               nullif(School_number, '') AS identifier, NULL::VARCHAR AS parent_id
        FROM schools
    """,
    "academic_sessions": f"""
        SELECT 'sections.csv' AS file, min("row") AS "row", id AS sourced_id, min(title) AS title, 'term' AS type,
               min(starts) AS start_date, max(ends) + 1 AS end_date, NULL::VARCHAR AS parent_id,
               {_SCHOOL_YEAR} AS school_year
        FROM ({TERMS}) GROUP BY id
    """,
    "courses": f"""
        SELECT 'sections.csv' AS file, min("row") AS "row", {COURSE_ID} AS sourced_id,
               first(coalesce(Course_name, Subject, Name, '') ORDER BY "row") AS title,
               first(Course_number ORDER BY "row") AS course_code, []::VARCHAR[] AS grades,
               min(School_id) AS org_id, NULL::VARCHAR AS school_year_session_id
        FROM sections GROUP BY {COURSE_ID}
    """,
    "classes": f"""
        SELECT 'sections.csv' AS file, s."row", s.Section_id AS sourced_id,
               coalesce(s.Name, concat_ws(' ', s.Course_name, s.Section_number), '') AS title,
               s.Section_number AS class_code, 'scheduled' AS class_type, {COURSE_ID} AS course_id,
               s.School_id AS school_id, [t.id] AS term_ids,
               CASE WHEN s.Grade IS NULL THEN []::VARCHAR[] ELSE [s.Grade] END AS grades,
               CASE WHEN s.Period IS NULL THEN []::VARCHAR[] ELSE [s.Period] END AS periods,
               NULL::VARCHAR AS location
        FROM sections s JOIN ({TERMS}) t ON t.Section_id = s.Section_id
    """,
    "people": f"""
        SELECT 'students.csv' AS file, min("row") AS "row", {STUDENT_ID} AS sourced_id, 'student' AS role,
               first(First_name ORDER BY "row") AS given_name, first(Middle_name ORDER BY "row") AS middle_name,
               first(Last_name ORDER BY "row") AS family_name,
               first(coalesce(Username, Student_email, Student_id) ORDER BY "row") AS username,
               first(Student_email ORDER BY "row") AS email, first(Student_number ORDER BY "row") AS identifier,
               first(DOB ORDER BY "row") AS birth_date, first(Grade ORDER BY "row") AS grade,
               {SCHOOL_IDS} AS school_ids, true AS enabled
        FROM ({_with_schools("students", "Student_id")}) GROUP BY Student_id
        UNION ALL
        SELECT 'teachers.csv', min("row"), 'teacher.' || Teacher_id, 'teacher', first(First_name ORDER BY "row"),
               first(Middle_name ORDER BY "row"), first(Last_name ORDER BY "row"),
               first(coalesce(Username, Teacher_email, Teacher_id) ORDER BY "row"),
               first(Teacher_email ORDER BY "row"), first(Teacher_number ORDER BY "row"), NULL::DATE, NULL,
               {SCHOOL_IDS}, true
        FROM ({_with_schools("teachers", "Teacher_id")}) GROUP BY Teacher_id
        UNION ALL
        SELECT 'staff.csv', min("row"), 'staff.' || Staff_id, 'administrator', first(First_name ORDER BY "row"),
               NULL, first(Last_name ORDER BY "row"),
               first(coalesce(Username, nullif(Staff_email, ''), Staff_id) ORDER BY "row"),
               first(nullif(Staff_email, '') ORDER BY "row"), NULL, NULL::DATE, NULL,
               {SCHOOL_IDS}, true
        FROM ({_with_schools("staff", "Staff_id")}) GROUP BY Staff_id
        UNION ALL
        SELECT 'students.csv', min("row"), id, 'guardian',
               CASE WHEN strpos(first(name ORDER BY "row"), ' ') > 0
                    THEN regexp_replace(first(name ORDER BY "row"), '\\s+\\S+$', '') ELSE '' END, NULL,
               regexp_extract(first(name ORDER BY "row"), '(\\S+)$', 1),
               coalesce(first(email ORDER BY "row"), id), first(email ORDER BY "row"), NULL, NULL::DATE, NULL,
               {SCHOOL_IDS}, true
        FROM ({_with_schools(CONTACTS, "id")}) GROUP BY id
    """,
    "guardians": f"""
        SELECT 'students.csv' AS file, min("row") AS "row", {STUDENT_ID} AS student_id,
               {CONTACT_ID} AS guardian_id
        FROM students WHERE Contact_name IS NOT NULL GROUP BY Student_id, {CONTACT_ID}
    """,
    "enrollments": f"""
        SELECT 'enrollments.csv' AS file, min("row") AS "row", {SECTION_PART} || {STUDENT_ID} AS sourced_id,
               Section_id AS class_id, min(School_id) AS school_id, {STUDENT_ID} AS person_id, 'student' AS role,
               NULL::BOOLEAN AS "primary", NULL::DATE AS begin_date, NULL::DATE AS end_date
        FROM enrollments GROUP BY Section_id, Student_id
        UNION ALL
        SELECT 'sections.csv', min("row"), {SECTION_PART} || 'teacher.' || teacher, Section_id, min(School_id),
               'teacher.' || teacher, 'teacher', min(place) = 1, NULL::DATE, NULL::DATE
        FROM (SELECT "row", Section_id, School_id, unnest([Teacher_id, {FURTHER}]) AS teacher,
                     generate_subscripts([Teacher_id, {FURTHER}], 1) AS place
              FROM sections)
        WHERE teacher IS NOT NULL GROUP BY Section_id, teacher
    """,
}
"""By roster table."""
