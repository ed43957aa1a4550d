"""Clever's SFTP CSV files: one row per student and contact, one per teacher and school, terms within sections.

Source: Clever's SFTP file specification. Courses, sessions and guardians have no file of their own: they are made of
what sections and students say. Ids of students and sections are the district's; those of the others begin with
their kind, since a district's numbers for students, teachers and staff overlap.
"""

from __future__ import annotations

from rollover.roster.formats.people import username_twice
from rollover.roster.formats.spec import OTHER_SCHOOLS_TOO, Column, File, Format, Keeps, Kind, Rule

GRADES = (
    *("InfantToddler", "Preschool", "PreKindergarten", "TransitionalKindergarten", "Kindergarten", "0"),
    *(str(grade) for grade in range(1, 14)),
    *("PostGraduate", "Ungraded", "Other"),
)
CONTACTS_MOST = 5
KEY_LENGTH = 255
"""Characters of a text that is a part of a key: PostgreSQL has a limit."""
CONTACTS_OF_STUDENTS = """
    starts_with(sourced_id, 'contact.') AND sourced_id IN (
        SELECT guardian_id FROM live_guardians l JOIN roster_people p ON p.sourced_id = l.student_id
    )
"""
# A district's ids of students may look like the ids that are made here of teachers, staff and contacts.
STUDENT_ID = """
    (CASE WHEN regexp_matches(Student_id, '^(student|teacher|staff|contact)[.]')
          THEN 'student.' || Student_id ELSE Student_id END)
"""
# Which part of it is the section must be plain, also where a section's id holds a dot.
SECTION_PART = r"""(replace(replace(Section_id, '\', '\\'), '.', '\.') || '.')"""


def _other_schools(stem: str) -> Keeps:
    """A person has a row for each school; one that is kept out takes no school from the person."""
    return Keeps("people", f"live.sourced_id IN (SELECT id FROM lost_{stem})", columns=(OTHER_SCHOOLS_TOO,))


SCHOOL = Column("School_id", required=True, refers_to="schools.csv")
CONTACTS_OF_LOST_STUDENTS = """
    sourced_id IN (SELECT guardian_id FROM live_guardians WHERE student_id IN (SELECT id FROM lost_students))
"""
# Of a class its course and its terms stay too, which have no file of their own; but not into another school year.
TERMS_OF_LOST_SECTIONS = """
    sourced_id IN (SELECT unnest(term_ids) FROM live_classes WHERE sourced_id IN (SELECT id FROM lost_sections))
    AND school_year IN (SELECT school_year FROM roster_academic_sessions)
"""
COURSES_OF_LOST_SECTIONS = """
    sourced_id IN (
        SELECT course_id FROM live_classes
        WHERE sourced_id IN (SELECT id FROM lost_sections)
          AND list_has_any(term_ids, getvariable('academic_sessions_there'))
    )
"""
FURTHER_TEACHERS = tuple(f"Teacher_{n}_id" for n in range(2, 11))

SCHOOLS = File(
    "schools.csv",
    (
        Column("School_id", Kind.ID, required=True),
        Column("School_name", required=True, instead=""),
        Column("School_number", required=True, instead=""),
        Column("Low_grade", Kind.GRADE),
        Column("High_grade", Kind.GRADE),
    ),
    identity="School_id",
    live_ids="SELECT sourced_id AS id, sourced_id AS said FROM live_orgs",
    stays=(Keeps("orgs", "sourced_id IN (SELECT id FROM lost_schools)"),),
    ignored=(
        "State_id",
        "Principal",
        "Principal_email",
        "School_address",
        "School_city",
        "School_state",
        "School_zip",
        "School_phone",
    ),
)
TEACHERS = File(
    "teachers.csv",
    (
        SCHOOL,
        Column("Teacher_id", Kind.ID, required=True),
        Column("Teacher_number", fills=("people", "identifier", "teacher")),
        Column("Teacher_email", fills=("people", "email", "teacher")),
        Column("First_name", required=True),
        Column("Middle_name", fills=("people", "middle_name", "teacher")),
        Column("Last_name", required=True),
        Column("Username"),
    ),
    identity="Teacher_id",
    unique=False,
    roster_id="'teacher.' || Teacher_id",
    live_ids="""
        SELECT sourced_id AS id, substr(sourced_id, 9) AS said
        FROM live_people WHERE starts_with(sourced_id, 'teacher.')
    """,
    stays=(Keeps("people", "sourced_id IN (SELECT id FROM lost_teachers)"), _other_schools("teachers")),
    ignored=("State_teacher_id", "Title", "Password"),
    rules=(
        Rule(
            "rows_differ",
            "warning",
            "Teacher_id",
            "The teacher's rows say different things; the first one counts.",
            """SELECT "row" FROM teachers QUALIFY (First_name, Last_name, Teacher_email) IS DISTINCT FROM
                   first_value((First_name, Last_name, Teacher_email))
                       OVER (PARTITION BY Teacher_id ORDER BY "row")""",
        ),
        Rule(
            "repeated",
            "warning",
            "Teacher_id",
            "The teacher has a row for this school already; the first one counts.",
            """SELECT "row" FROM teachers
               QUALIFY row_number() OVER (PARTITION BY Teacher_id, School_id ORDER BY "row") > 1""",
        ),
    ),
)
STAFF = File(
    "staff.csv",
    (
        SCHOOL,
        Column("Staff_id", Kind.ID, required=True),
        Column("Staff_email", required=True, instead=""),
        Column("First_name", required=True),
        Column("Last_name", required=True),
        Column("Username"),
    ),
    identity="Staff_id",
    unique=False,
    roster_id="'staff.' || Staff_id",
    live_ids="""
        SELECT sourced_id AS id, substr(sourced_id, 7) AS said
        FROM live_people WHERE starts_with(sourced_id, 'staff.')
    """,
    stays=(Keeps("people", "sourced_id IN (SELECT id FROM lost_staff)"), _other_schools("staff")),
    required=False,
    ignored=("Department", "Title", "Password", "Role"),
    keeps=Keeps("people", "starts_with(sourced_id, 'staff.')"),
    rules=(
        Rule(
            "rows_differ",
            "warning",
            "Staff_id",
            "The rows of the person say different things; the first one counts.",
            """SELECT "row" FROM staff QUALIFY (First_name, Last_name, Staff_email) IS DISTINCT FROM
                   first_value((First_name, Last_name, Staff_email)) OVER (PARTITION BY Staff_id ORDER BY "row")""",
        ),
        Rule(
            "repeated",
            "warning",
            "Staff_id",
            "The person has a row for this school already; the first one counts.",
            """SELECT "row" FROM staff
               QUALIFY row_number() OVER (PARTITION BY Staff_id, School_id ORDER BY "row") > 1""",
        ),
    ),
)
STUDENTS = File(
    "students.csv",
    (
        SCHOOL,
        Column("Student_id", Kind.ID, required=True),
        Column("Student_number", fills=("people", "identifier", "student")),
        Column("Last_name", required=True),
        Column("Middle_name", fills=("people", "middle_name", "student")),
        Column("First_name", required=True),
        Column("Grade", Kind.GRADE, fills=("people", "grade")),
        Column("DOB", Kind.DATE, aliases=("DOB(MM/DD/YYYY)",), fills=("people", "birth_date")),
        Column("Student_email", fills=("people", "email", "student")),
        Column("Contact_relationship"),
        Column("Contact_type"),
        Column("Contact_name", fills=("guardians", "*"), keeps=Keeps("people", CONTACTS_OF_STUDENTS)),
        Column("Contact_phone"),
        Column("Contact_email", fills=("people", "email", "guardian")),
        Column("Contact_sis_id", Kind.ID),
        Column("Username"),
    ),
    identity="Student_id",
    unique=False,
    roster_id=STUDENT_ID,
    live_ids="SELECT sourced_id AS id, sourced_id AS said FROM live_people WHERE role = 'student'",
    stays=(
        Keeps("people", "sourced_id IN (SELECT id FROM lost_students)"),
        Keeps("people", CONTACTS_OF_LOST_STUDENTS),
        Keeps("guardians", "student_id IN (SELECT id FROM lost_students)"),
        _other_schools("students"),
    ),
    ignored=(
        "State_id",
        "Gender",
        "Graduation_year",
        "Race",
        "Hispanic_Latino",
        "Home_language",
        "Ell_status",
        "Frl_status",
        "IEP_status",
        "Student_street",
        "Student_city",
        "Student_state",
        "Student_zip",
        "Contact_phone_type",
        "Password",
        "Unweighted_gpa",
        "Weighted_gpa",
    ),
    rules=(
        Rule(
            "rows_differ",
            "warning",
            "Student_id",
            "The student's rows say different things; the first one counts.",
            """SELECT "row" FROM students
               QUALIFY (First_name, Last_name, Grade, DOB, Student_email) IS DISTINCT FROM
                   first_value((First_name, Last_name, Grade, DOB, Student_email))
                       OVER (PARTITION BY Student_id ORDER BY "row")""",
        ),
        Rule(
            "repeated",
            "warning",
            "Student_id",
            "The student has a row with this school and contact already; the first one counts.",
            """SELECT "row" FROM students
               QUALIFY row_number() OVER (
                   PARTITION BY Student_id, School_id, Contact_sis_id, Contact_name, Contact_phone, Contact_email,
                       Contact_relationship, Contact_type
                   ORDER BY "row") > 1""",
        ),
        Rule(
            "contacts_many",
            "warning",
            "Student_id",
            f"The student has more than {CONTACTS_MOST} contacts.",
            f"""SELECT "row" FROM students WHERE Contact_name IS NOT NULL
                QUALIFY row_number() OVER (PARTITION BY Student_id, School_id ORDER BY "row") > {CONTACTS_MOST}""",
        ),
        Rule(
            "contact_id_missing",
            "warning",
            "Contact_sis_id",
            "The contact has no Contact_sis_id; name, phone and e-mail tell who it is.",
            'SELECT "row" FROM students WHERE Contact_name IS NOT NULL AND Contact_sis_id IS NULL',
        ),
    ),
)
SECTIONS = File(
    "sections.csv",
    (
        SCHOOL,
        Column("Section_id", Kind.ID, required=True),
        Column("Teacher_id", required=True, refers_to="teachers.csv"),
        *(Column(name, refers_to="teachers.csv") for name in FURTHER_TEACHERS),
        Column("Name"),
        Column("Section_number", fills=("classes", "class_code")),
        Column("Grade", Kind.GRADE, fills=("classes", "grades")),
        Column("Course_name"),
        Column("Course_number"),
        Column("Period", fills=("classes", "periods")),
        Column("Subject"),
        Column("Term_name"),
        Column("Term_start", Kind.DATE),
        Column("Term_end", Kind.DATE),
    ),
    identity="Section_id",
    live_ids="SELECT sourced_id AS id, sourced_id AS said FROM live_classes",
    stays=(
        Keeps("academic_sessions", TERMS_OF_LOST_SECTIONS),
        Keeps("courses", COURSES_OF_LOST_SECTIONS),
        Keeps("classes", "sourced_id IN (SELECT id FROM lost_sections)"),
        Keeps("enrollments", "role = 'teacher' AND class_id IN (SELECT id FROM lost_sections)"),
    ),
    ignored=("Course_description",),
    rules=(
        Rule(
            "session_dates",
            "error",
            "Term_end",
            "Term_end is before Term_start.",
            'SELECT "row" FROM sections WHERE Term_end < Term_start',
        ),
    ),
)
ENROLLMENTS = File(
    "enrollments.csv",
    (
        SCHOOL,
        Column("Section_id", required=True, refers_to="sections.csv"),
        Column("Student_id", required=True, refers_to="students.csv"),
    ),
    replaced_by=("Section_id", "Student_id"),
    roster_id=f"{SECTION_PART} || {STUDENT_ID}",
    live_ids="SELECT sourced_id AS id, class_id AS said FROM live_enrollments WHERE role = 'student'",
    stays=(Keeps("enrollments", "sourced_id IN (SELECT id FROM lost_enrollments)"),),
    rules=(
        Rule(
            "enrollment_school",
            "warning",
            "School_id",
            "School_id is not the school of the section.",
            """SELECT e."row" FROM enrollments e JOIN sections s ON s.Section_id = e.Section_id
               WHERE e.School_id <> s.School_id""",
        ),
        Rule(
            "repeated",
            "warning",
            "Student_id",
            "The enrollment is there already; it is taken once.",
            """SELECT "row" FROM enrollments
               QUALIFY row_number() OVER (PARTITION BY Section_id, Student_id ORDER BY "row") > 1""",
        ),
    ),
)

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
# Each school once, in the order of the rows: the first one is where the person belongs.
SCHOOL_IDS = 'list(School_id ORDER BY "row") FILTER (is_first)'


def _with_schools(rows: str, identity: str) -> str:
    """Rows of people, and whether each is the first of its person at its school."""
    place = f'row_number() OVER (PARTITION BY {identity}, School_id ORDER BY "row")'
    return f"SELECT *, {place} = 1 AS is_first FROM {rows}"


FORMAT = Format(
    name="clever",
    label="Clever",
    files=(SCHOOLS, TEACHERS, STAFF, STUDENTS, SECTIONS, ENROLLMENTS),
    shapes={
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
    },
    rules=(username_twice("Username"),),
    own_columns="ext.",
    fixed_order=False,
    names_its_district=False,
    grades=GRADES,
    tells_students=("students.csv", "Student_id"),
    tells_year=("sections.csv", "Term_start"),
    us_dates=True,
    unread=("attendance.csv",),
)
