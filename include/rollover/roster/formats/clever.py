"""Defines Clever's SFTP CSV files: one row per student and contact, one per teacher and school, terms within sections.

Source: Clever's SFTP file specification. Courses, sessions and guardians have no file of their own: they are made from
the rows of sections and students. Ids of students and sections are the district's; those of the others begin with their
kind, since a district's numbers for students, teachers and staff overlap.
"""

from __future__ import annotations

from rollover.roster.formats.clever_roster import FURTHER_TEACHERS, SECTION_PART, SHAPES, STUDENT_ID
from rollover.roster.formats.people import username_twice
from rollover.roster.formats.spec import OTHER_SCHOOLS_TOO, Column, File, Format, Keeps, Kind, Rule

GRADES = (
    *("InfantToddler", "Preschool", "PreKindergarten", "TransitionalKindergarten", "Kindergarten", "0"),
    *(str(grade) for grade in range(1, 14)),
    *("PostGraduate", "Ungraded", "Other"),
)
CONTACTS_MOST = 5
CONTACTS_OF_STUDENTS = """
    starts_with(sourced_id, 'contact.') AND sourced_id IN (
        SELECT guardian_id FROM live_guardians l JOIN roster_people p ON p.sourced_id = l.student_id
    )
"""


def _other_schools(stem: str) -> Keeps:
    """A person has a row for each school; a rejected one takes no school from the person."""
    return Keeps("people", f"live.sourced_id IN (SELECT id FROM lost_{stem})", columns=(OTHER_SCHOOLS_TOO,))


SCHOOL = Column("School_id", required=True, refers_to="schools.csv")
CONTACTS_OF_LOST_STUDENTS = """
    sourced_id IN (SELECT guardian_id FROM live_guardians WHERE student_id IN (SELECT id FROM lost_students))
"""
# The course and the terms of a class, which have no file of their own, stay with it, but not into another school year.
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


def _rows_differ(stem: str, who: str, identity: str, columns: str) -> Rule:
    return Rule(
        "rows_differ",
        "warning",
        identity,
        f"{who} say different things; the first one counts.",
        f"""SELECT "row" FROM {stem} QUALIFY ({columns}) IS DISTINCT FROM
                first_value(({columns})) OVER (PARTITION BY {identity} ORDER BY "row")""",
    )


def _repeated(stem: str, identity: str, message: str, *columns: str) -> Rule:
    """A row with the same values in `columns`."""
    place = f'row_number() OVER (PARTITION BY {", ".join(columns)} ORDER BY "row")'
    return Rule("repeated", "warning", identity, message, f'SELECT "row" FROM {stem} QUALIFY {place} > 1')


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
        *("State_id", "Principal", "Principal_email", "School_address", "School_city", "School_state", "School_zip"),
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
        _rows_differ("teachers", "The teacher's rows", "Teacher_id", "First_name, Last_name, Teacher_email"),
        _repeated(
            "teachers",
            "Teacher_id",
            "The teacher has a row for this school already; the first one counts.",
            *("Teacher_id", "School_id"),
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
        _rows_differ("staff", "The rows of the person", "Staff_id", "First_name, Last_name, Staff_email"),
        _repeated(
            "staff",
            "Staff_id",
            "The person has a row for this school already; the first one counts.",
            *("Staff_id", "School_id"),
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
        *("State_id", "Gender", "Graduation_year", "Race", "Hispanic_Latino", "Home_language", "Ell_status"),
        *("Frl_status", "IEP_status", "Student_street", "Student_city", "Student_state", "Student_zip"),
        *("Contact_phone_type", "Password", "Unweighted_gpa", "Weighted_gpa"),
    ),
    rules=(
        _rows_differ(
            "students", "The student's rows", "Student_id", "First_name, Last_name, Grade, DOB, Student_email"
        ),
        _repeated(
            "students",
            "Student_id",
            "The student has a row with this school and contact already; the first one counts.",
            *("Student_id", "School_id", "Contact_sis_id", "Contact_name", "Contact_phone", "Contact_email"),
            *("Contact_relationship", "Contact_type"),
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
        _repeated(
            "enrollments",
            "Student_id",
            "The enrollment is there already; it is taken once.",
            *("Section_id", "Student_id"),
        ),
    ),
)

FORMAT = Format(
    name="clever",
    label="Clever",
    files=(SCHOOLS, TEACHERS, STAFF, STUDENTS, SECTIONS, ENROLLMENTS),
    shapes=SHAPES,
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
