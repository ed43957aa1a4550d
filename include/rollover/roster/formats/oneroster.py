"""Defines the common parts of OneRoster CSV 1.1 and 1.2.

Source: 1EdTech OneRoster CSV Binding, versions 1.1 and 1.2.
"""

from __future__ import annotations

from typing import TypedDict

from rollover.roster.formats.spec import Column, File, Keeps, Kind, Rule

ID_CHARACTERS = r"^[0-9A-Za-z._/@-]+$"
BLANK_IN_BULK = ("status", "dateLastModified")
OWN_COLUMNS = "metadata."
RACES = (
    "americanIndianOrAlaskaNative",
    "asian",
    "blackOrAfricanAmerican",
    "nativeHawaiianOrOtherPacificIslander",
    "white",
    "demographicRaceTwoOrMoreRaces",
    "hispanicOrLatinoEthnicity",
)
STATUS = (
    Column("status", Kind.ENUM, values=("active", "tobedeleted")),
    Column("dateLastModified", Kind.DATETIME),
)


def identity() -> tuple[Column, ...]:
    """The columns with which every file begins."""
    return (Column("sourcedId", Kind.ID, required=True), *STATUS)


class _Records(TypedDict):
    live_ids: str
    stays: tuple[Keeps, ...]


def records(table: str, stem: str, *more: Keeps) -> _Records:
    """A row of the file is a row of the roster's table, by its sourcedId."""
    return {
        "live_ids": f"SELECT sourced_id AS id, sourced_id AS said FROM live_{table}",
        "stays": (Keeps(table, f"sourced_id IN (SELECT id FROM lost_{stem})"), *more),
    }


# A link stays if both people do.
LINKS_STAY = Keeps(
    "guardians", "student_id IN (SELECT id FROM lost_users) OR guardian_id IN (SELECT id FROM lost_users)"
)
ORGS = File(
    "orgs.csv",
    (
        *identity(),
        Column("name", required=True, instead=""),
        Column(
            "type",
            Kind.ENUM,
            required=True,
            values=("department", "school", "district", "local", "state", "national"),
            extensible=True,
        ),
        Column("identifier", fills=("orgs", "identifier")),
        Column("parentSourcedId", refers_to="orgs.csv", fills=("orgs", "parent_id")),
    ),
    identity="sourcedId",
    bulk_is_blank=BLANK_IN_BULK,
    **records("orgs", "orgs"),
    live="SELECT sourced_id AS sourcedId, name, type, identifier, parent_id AS parentSourcedId FROM live_orgs",
)
SESSIONS = File(
    "academicSessions.csv",
    (
        *identity(),
        Column("title", required=True, instead=""),
        Column(
            "type",
            Kind.ENUM,
            required=True,
            values=("gradingPeriod", "semester", "schoolYear", "term"),
            extensible=True,
        ),
        Column("startDate", Kind.DATE, required=True),
        Column("endDate", Kind.DATE, required=True),
        Column("parentSourcedId", refers_to="academicSessions.csv", fills=("academic_sessions", "parent_id")),
        Column("schoolYear", Kind.YEAR, required=True),
    ),
    identity="sourcedId",
    bulk_is_blank=BLANK_IN_BULK,
    **records("academic_sessions", "academicSessions"),
    live="""
        SELECT sourced_id AS sourcedId, title, type, start_date AS startDate, end_date AS endDate,
               parent_id AS parentSourcedId, school_year AS schoolYear
        FROM live_academic_sessions
    """,
    rules=(
        Rule(
            "session_dates",
            "error",
            "endDate",
            "endDate is not after startDate. It is the first day that no longer belongs to the session.",
            'SELECT "row" FROM academicSessions WHERE endDate <= startDate',
        ),
        Rule(
            "session_year",
            "warning",
            "schoolYear",
            "schoolYear does not fit startDate and endDate. It is the year in which the school year ends.",
            """SELECT "row" FROM academicSessions
               WHERE startDate < make_date(left(schoolYear, 4)::INT, 5, 1)
                  OR endDate > make_date(left(schoolYear, 4)::INT + 1, 10, 1)""",
        ),
        Rule(
            "session_parent",
            "warning",
            "parentSourcedId",
            "The session is not within the dates of its parent.",
            """SELECT s."row" FROM academicSessions s JOIN academicSessions p ON p.sourcedId = s.parentSourcedId
               WHERE s.startDate < p.startDate OR s.endDate > p.endDate""",
        ),
    ),
)
COURSES = File(
    "courses.csv",
    (
        *identity(),
        Column(
            "schoolYearSourcedId",
            refers_to="academicSessions.csv",
            fills=("courses", "school_year_session_id"),
        ),
        Column("title", required=True, instead=""),
        Column("courseCode", fills=("courses", "course_code")),
        Column("grades", Kind.GRADES, aliases=("grade",), fills=("courses", "grades")),
        Column("orgSourcedId", required=True, refers_to="orgs.csv"),
    ),
    identity="sourcedId",
    ignored=("subjects", "subjectCodes"),
    bulk_is_blank=BLANK_IN_BULK,
    **records("courses", "courses"),
    live="""
        SELECT sourced_id AS sourcedId, school_year_session_id AS schoolYearSourcedId, title,
               course_code AS courseCode, grades, org_id AS orgSourcedId
        FROM live_courses
    """,
    rules=(
        Rule(
            "course_year",
            "warning",
            "schoolYearSourcedId",
            "schoolYearSourcedId refers to a session that is not of type schoolYear.",
            """SELECT c."row" FROM courses c JOIN academicSessions s ON s.sourcedId = c.schoolYearSourcedId
               WHERE s.type <> 'schoolYear'""",
        ),
    ),
)
CLASSES = File(
    "classes.csv",
    (
        *identity(),
        Column("title", required=True, instead=""),
        Column("grades", Kind.GRADES, aliases=("grade",), fills=("classes", "grades")),
        Column("courseSourcedId", required=True, refers_to="courses.csv"),
        Column("classCode", fills=("classes", "class_code")),
        Column(
            "classType",
            Kind.ENUM,
            required=True,
            instead="scheduled",
            values=("homeroom", "scheduled"),
            extensible=True,
        ),
        Column("location", fills=("classes", "location")),
        Column("schoolSourcedId", required=True, refers_to="orgs.csv"),
        Column("termSourcedIds", Kind.TEXTS, required=True, refers_to="academicSessions.csv"),
        Column("periods", Kind.TEXTS, fills=("classes", "periods")),
    ),
    identity="sourcedId",
    ignored=("subjects", "subjectCodes"),
    order=(
        *("sourcedId", *BLANK_IN_BULK, "title", "grades", "courseSourcedId", "classCode", "classType", "location"),
        *("schoolSourcedId", "termSourcedIds", "subjects", "subjectCodes", "periods"),
    ),
    bulk_is_blank=BLANK_IN_BULK,
    **records("classes", "classes"),
    live="""
        SELECT sourced_id AS sourcedId, title, grades, course_id AS courseSourcedId, class_code AS classCode,
               class_type AS classType, location, school_id AS schoolSourcedId, term_ids AS termSourcedIds, periods
        FROM live_classes
    """,
)
ENROLLMENTS = File(
    "enrollments.csv",
    (
        *identity(),
        Column("classSourcedId", required=True, refers_to="classes.csv"),
        Column("schoolSourcedId", required=True, refers_to="orgs.csv"),
        Column("userSourcedId", required=True, refers_to="users.csv"),
        Column(
            "role",
            Kind.ENUM,
            required=True,
            values=("administrator", "proctor", "student", "teacher"),
            extensible=True,
        ),
        Column("primary", Kind.BOOLEAN, fills=("enrollments", "primary")),
        Column("beginDate", Kind.DATE, fills=("enrollments", "begin_date")),
        Column("endDate", Kind.DATE, fills=("enrollments", "end_date")),
    ),
    identity="sourcedId",
    bulk_is_blank=BLANK_IN_BULK,
    **records("enrollments", "enrollments"),
    live="""
        SELECT sourced_id AS sourcedId, class_id AS classSourcedId, school_id AS schoolSourcedId,
               person_id AS userSourcedId, role, "primary", begin_date AS beginDate, end_date AS endDate
        FROM live_enrollments
    """,
)


def demographics(sexes: tuple[str, ...]) -> File:
    """Only the birth date of demographics is kept; the coded columns are checked, but not stored."""
    return File(
        "demographics.csv",
        (
            Column("sourcedId", Kind.ID, required=True, aliases=("userSourcedId",), refers_to="users.csv"),
            *STATUS,
            Column("birthDate", Kind.DATE, fills=("people", "birth_date")),
            Column("sex", Kind.ENUM, values=sexes, extensible=True),
            *(Column(race, Kind.BOOLEAN) for race in RACES),
        ),
        identity="sourcedId",
        required=False,
        ignored=(
            "countryOfBirthCode",
            "stateOfBirthAbbreviation",
            "cityOfBirth",
            "publicSchoolResidenceStatus",
        ),
        bulk_is_blank=BLANK_IN_BULK,
        live="SELECT sourced_id AS sourcedId, birth_date AS birthDate FROM live_people WHERE birth_date IS NOT NULL",
        live_ids="SELECT sourced_id AS id, sourced_id AS said FROM live_people WHERE birth_date IS NOT NULL",
        stays=(
            Keeps(
                "people",
                "live.sourced_id IN (SELECT id FROM lost_demographics)",
                columns=(("birth_date", "coalesce(r.birth_date, live.birth_date)"),),
            ),
        ),
    )


SHAPES = {
    "orgs": """
        SELECT 'orgs.csv' AS file, "row", sourcedId AS sourced_id, name, type, identifier,
               parentSourcedId AS parent_id
        FROM orgs
    """,
    "academic_sessions": """
        SELECT 'academicSessions.csv' AS file, "row", sourcedId AS sourced_id, title, type,
               startDate AS start_date, endDate AS end_date, parentSourcedId AS parent_id, schoolYear AS school_year
        FROM academicSessions
    """,
    "courses": """
        SELECT 'courses.csv' AS file, "row", sourcedId AS sourced_id, title, courseCode AS course_code, grades,
               orgSourcedId AS org_id, schoolYearSourcedId AS school_year_session_id
        FROM courses
    """,
    "classes": """
        SELECT 'classes.csv' AS file, "row", sourcedId AS sourced_id, title, classCode AS class_code,
               classType AS class_type, courseSourcedId AS course_id, schoolSourcedId AS school_id,
               termSourcedIds AS term_ids, grades, periods, location
        FROM classes
    """,
    # Either side may name the other: a student the guardians, a guardian the students.
    "guardians": """
        WITH named AS (SELECT "row", sourcedId AS person, unnest(agentSourcedIds) AS agent FROM users),
        pairs AS (
            SELECT n."row",
                   CASE WHEN p.role = 'student' THEN person ELSE agent END AS student_id,
                   CASE WHEN p.role = 'student' THEN agent ELSE person END AS guardian_id
            FROM named n
            JOIN roster_people p ON p.sourced_id = n.person
            JOIN roster_people a ON a.sourced_id = n.agent
            WHERE (p.role = 'student') <> (a.role = 'student')
        )
        SELECT 'users.csv' AS file, min("row") AS "row", student_id, guardian_id
        FROM pairs GROUP BY student_id, guardian_id
    """,
    "enrollments": """
        SELECT 'enrollments.csv' AS file, "row", sourcedId AS sourced_id, classSourcedId AS class_id,
               schoolSourcedId AS school_id, userSourcedId AS person_id, role, "primary",
               beginDate AS begin_date, endDate AS end_date
        FROM enrollments
    """,
}
AGENT_ROLE = Rule(
    "agent_role",
    "warning",
    "agentSourcedIds",
    "agentSourcedIds does not link a student and a guardian; the link is left out.",
    """SELECT DISTINCT 'users.csv' AS file, n."row"
       FROM (SELECT "row", sourcedId, unnest(agentSourcedIds) AS agent FROM users) n
       JOIN roster_people p ON p.sourced_id = n.sourcedId
       JOIN roster_people a ON a.sourced_id = n.agent
       WHERE (p.role = 'student') = (a.role = 'student')""",
)
