"""Counts what people should check in a new year's roster, school by school, and chooses records to show them.

Source: Hero asks to "view the grade levels", to "make sure that you do not find any of last year's graduating class",
to "verify that schedules match your SIS", to align bell schedules and terms with the first grading period, and to
confirm guardian e-mail addresses and dates of birth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from rollover.roster.comparing.cohorts import CLASS_SHARE, LADDER
from rollover.roster.model import GRADES, GUARDIAN_ROLES

SAMPLE = 20
NO_SCHOOL = ""
"""The id under which people without a school of the roster are counted."""
NOT_EDUCATORS = ("student", *GUARDIAN_ROLES)
MEASURES = (
    *("students", "returning", "without_grade", "in_the_same_grade", "graduates_still_there"),
    *("without_birth_date", "without_guardian_email", "without_classes"),
    *("classes", "classes_without_students", "classes_without_teacher", "classes_of_other_terms"),
    *("enrollments", "educators", "educators_to_remove", "educators_to_add", "shared_usernames"),
)
"""Numbers that every school has, in the order in which they are shown."""

# The highest grade of last year's students, before the year's first import: its students have left the tenant's
# schools. It is grade 12 in most districts, 8 in some.
GRADUATING_CLASS = """
SELECT last_year_grade AS grade, students
FROM (SELECT last_year_grade, count(*) AS students, sum(count(*)) OVER () AS of_all
      FROM roster.people
      WHERE last_year_grade = ANY(:ladder)
      GROUP BY last_year_grade) grades
WHERE students >= :class_share * of_all
ORDER BY array_position(CAST(:ladder AS text[]), last_year_grade) DESC
LIMIT 1
"""
SCHOOLS = "SELECT sourced_id, name FROM roster.orgs WHERE type = 'school' AND status = 'active'"
# A person can belong to several orgs, the district among them: their school is the first that is one.
FIRST_SCHOOL = """
LEFT JOIN (SELECT DISTINCT ON (belongs.sourced_id) belongs.sourced_id, o.sourced_id AS school_id
           FROM roster.people belongs
           CROSS JOIN LATERAL unnest(belongs.school_ids) WITH ORDINALITY AS listed (org_id, place)
           JOIN roster.orgs o ON o.sourced_id = listed.org_id AND o.type = 'school' AND o.status = 'active'
           WHERE belongs.status = 'active'
           ORDER BY belongs.sourced_id, listed.place) first ON first.sourced_id = p.sourced_id
"""
STUDENTS = f"""
CREATE TEMPORARY TABLE checked_students ON COMMIT DROP AS
SELECT p.sourced_id, coalesce(first.school_id, '{NO_SCHOOL}') AS school_id, p.grade, p.last_year_grade,
       p.birth_date IS NOT NULL AS has_birth_date,
       reachable.student_id IS NOT NULL AS has_guardian_email,
       enrolled.person_id IS NOT NULL AS has_classes
FROM roster.people p
{FIRST_SCHOOL}
LEFT JOIN (SELECT DISTINCT person_id FROM roster.enrollments WHERE status = 'active') enrolled
       ON enrolled.person_id = p.sourced_id
LEFT JOIN (SELECT DISTINCT g.student_id
           FROM roster.guardians g JOIN roster.people a ON a.sourced_id = g.guardian_id
           WHERE g.status = 'active' AND a.status = 'active' AND a.email IS NOT NULL) reachable
       ON reachable.student_id = p.sourced_id
WHERE p.role = 'student' AND p.status = 'active'
"""
STUDENTS_BY_SCHOOL = """
SELECT school_id,
       count(*)                                                            AS students,
       count(*) FILTER (WHERE last_year_grade IS NOT NULL)                 AS returning,
       count(*) FILTER (WHERE grade IS NULL)                               AS without_grade,
       count(*) FILTER (WHERE last_year_grade = grade AND grade = ANY(:ladder)) AS in_the_same_grade,
       count(*) FILTER (WHERE last_year_grade = CAST(:graduating AS text)) AS graduates_still_there,
       count(*) FILTER (WHERE NOT has_birth_date)                          AS without_birth_date,
       count(*) FILTER (WHERE NOT has_guardian_email)                      AS without_guardian_email,
       count(*) FILTER (WHERE NOT has_classes)                             AS without_classes
FROM checked_students GROUP BY school_id
"""
GRADES_BY_SCHOOL = """
SELECT school_id, grade, count(*) AS students FROM checked_students WHERE grade IS NOT NULL GROUP BY school_id, grade
"""
CLASSES_BY_SCHOOL = """
SELECT c.school_id,
       count(*)                                                 AS classes,
       count(*) FILTER (WHERE NOT coalesce(e.students, false))  AS classes_without_students,
       count(*) FILTER (WHERE NOT coalesce(e.teachers, false))  AS classes_without_teacher,
       count(*) FILTER (WHERE NOT c.term_ids <@ terms.of_year)  AS classes_of_other_terms
FROM roster.classes c
CROSS JOIN (SELECT coalesce(array_agg(sourced_id), '{}') AS of_year FROM roster.academic_sessions
            WHERE status = 'active' AND school_year = :school_year) terms
LEFT JOIN (SELECT class_id, bool_or(role = 'student') AS students, bool_or(role = 'teacher') AS teachers
           FROM roster.enrollments WHERE status = 'active' GROUP BY class_id) e ON e.class_id = c.sourced_id
WHERE c.status = 'active' GROUP BY c.school_id
"""
ENROLLMENTS_BY_SCHOOL = """
SELECT school_id, count(*) AS enrollments FROM roster.enrollments WHERE status = 'active' GROUP BY school_id
"""
EDUCATORS_BY_SCHOOL = f"""
SELECT coalesce(first.school_id, '{NO_SCHOOL}') AS school_id, count(*) AS educators
FROM roster.people p
{FIRST_SCHOOL}
WHERE p.status = 'active' AND p.role <> ALL(:not_educators) GROUP BY 1
"""
SHARED_USERNAMES = f"""
SELECT coalesce(first.school_id, '{NO_SCHOOL}') AS school_id, count(*) AS shared_usernames
FROM roster.people p
JOIN (SELECT lower(username) AS login FROM roster.people
      WHERE status = 'active' AND role <> ALL(:guardians) AND username IS NOT NULL
      GROUP BY 1 HAVING count(*) > 1) twice ON twice.login = lower(p.username)
{FIRST_SCHOOL}
WHERE p.status = 'active' AND p.role <> ALL(:guardians) GROUP BY 1
"""
EDUCATOR_ACCOUNTS = {
    "hero": "hero.employee_logins",
    "imagine_math": "imagine_math.educator_accounts",
    "imagine_math_facts": "imagine_math_facts.educator_accounts",
}
LEFT = """
FROM {accounts} a
WHERE NOT EXISTS (SELECT FROM roster.people p
                  WHERE p.sourced_id = a.person_id AND p.status = 'active' AND p.role <> ALL(:not_educators))
"""
EDUCATORS_WHO_LEFT = f"SELECT a.school_id, count(*) AS educators_to_remove {LEFT} GROUP BY a.school_id"
EDUCATORS_TO_REMOVE = f"""
SELECT gone.school_id, o.name, gone.username, gone.person_id, p.given_name, p.family_name
FROM (SELECT a.school_id, a.username, a.person_id {LEFT}) gone
LEFT JOIN roster.orgs o ON o.sourced_id = gone.school_id
LEFT JOIN roster.people p ON p.sourced_id = gone.person_id
ORDER BY gone.school_id, gone.username, gone.person_id
"""
WITHOUT_LOGIN = f"""
FROM roster.people p
{FIRST_SCHOOL}
WHERE p.status = 'active' AND p.role <> ALL(:not_educators)
  AND NOT EXISTS (SELECT FROM {{accounts}} a WHERE a.person_id = p.sourced_id)
"""
NEW_EDUCATORS = f"""
SELECT coalesce(first.school_id, '{NO_SCHOOL}') AS school_id, count(*) AS educators_to_add {WITHOUT_LOGIN} GROUP BY 1
"""
EDUCATORS_TO_ADD = f"""
SELECT new.school_id, o.name, new.username, new.sourced_id, new.given_name, new.family_name, new.role
FROM (SELECT coalesce(first.school_id, '{NO_SCHOOL}') AS school_id, p.username, p.sourced_id, p.given_name,
             p.family_name, p.role {WITHOUT_LOGIN}) new
LEFT JOIN roster.orgs o ON o.sourced_id = new.school_id
ORDER BY new.school_id, new.family_name, new.given_name, new.sourced_id
"""
# If sessions of several types share a year, grading periods are the finest and the whole year the coarsest.
SESSIONS = """
SELECT type, count(*) AS sessions, min(start_date) AS starts, max(end_date) AS ends
FROM roster.academic_sessions
WHERE status = 'active' AND school_year = :school_year
GROUP BY type
ORDER BY array_position(ARRAY['gradingPeriod', 'term', 'semester'], type), min(start_date)
"""
BELL_SCHEDULES = "SELECT school_id, max(effective_from) AS newest FROM hero.bell_schedules GROUP BY school_id"
# One student of every school and grade before a second of any: first a grade of each school, in such an order that
# the grades differ, too. Which ones is decided by the import's id, so the same roster gives the same sample.
SAMPLED = """
WITH students AS (
    SELECT sourced_id, school_id, coalesce(grade, '') AS grade, last_year_grade,
           md5(:seed || sourced_id) AS draw, md5(:seed || school_id || ' ' || coalesce(grade, '')) AS place_draw
    FROM checked_students
), places AS (
    SELECT school_id, grade, place_draw,
           row_number() OVER (PARTITION BY school_id ORDER BY place_draw) AS in_school
    FROM (SELECT DISTINCT school_id, grade, place_draw FROM students) each
), ordered AS (
    SELECT *, row_number() OVER (PARTITION BY in_school, grade ORDER BY place_draw) AS in_grade FROM places
), drawn AS (
    SELECT s.*, o.in_school, o.in_grade,
           row_number() OVER (PARTITION BY s.school_id, s.grade ORDER BY s.draw) AS in_place
    FROM students s JOIN ordered o USING (school_id, grade)
), sample AS MATERIALIZED (
    SELECT * FROM drawn ORDER BY in_place, in_school, in_grade, place_draw LIMIT :size
), reached AS (
    SELECT g.student_id, string_agg(a.email, '; ' ORDER BY a.email) AS emails
    FROM sample s
    JOIN roster.guardians g ON g.student_id = s.sourced_id AND g.status = 'active'
    JOIN roster.people a ON a.sourced_id = g.guardian_id AND a.status = 'active'
    GROUP BY g.student_id
), scheduled AS (
    SELECT e.person_id, string_agg(c.title, '; ' ORDER BY c.title, c.sourced_id) AS classes
    FROM sample s
    JOIN roster.enrollments e ON e.person_id = s.sourced_id AND e.status = 'active'
    JOIN roster.classes c ON c.sourced_id = e.class_id AND c.status = 'active'
    GROUP BY e.person_id
)
SELECT s.school_id, school.name, p.sourced_id, p.identifier, p.given_name, p.family_name, p.grade, p.last_year_grade,
       p.birth_date, reached.emails, scheduled.classes
FROM sample s
JOIN roster.people p ON p.sourced_id = s.sourced_id
LEFT JOIN roster.orgs school ON school.sourced_id = s.school_id
LEFT JOIN reached ON reached.student_id = s.sourced_id
LEFT JOIN scheduled ON scheduled.person_id = s.sourced_id
ORDER BY s.school_id, p.grade, s.draw
"""


@dataclass
class School:
    """The numbers of one school."""

    name: str | None
    numbers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEASURES, 0))
    grades: dict[str, int] = field(default_factory=dict)
    """Students by grade; those without one are in ``numbers``."""
    bell_schedule: date | None = None
    """The first day of its newest bell schedule; Hero only."""


@dataclass
class Checks:
    """The numbers of the live roster of a school year."""

    schools: dict[str, School]
    graduating: str | None
    """Last year's highest grade; None if no student was here last year."""
    graduates: int
    """The number of its students."""
    sessions: dict[str, tuple[int, date, date]]
    """By type, the finest first: the number of sessions, their first day, and the first day after them."""

    @property
    def first_period(self) -> date | None:
        """The first day of the year's first grading period, as fine as the roster has periods."""
        return next((starts for _, starts, _ in self.sessions.values()), None)

    @property
    def totals(self) -> dict[str, int]:
        return {name: sum(school.numbers[name] for school in self.schools.values()) for name in MEASURES}

    def with_old_bell_schedule(self) -> list[str]:
        """Schools that must update their bell schedule: the newest one is older than the first grading period."""
        first = self.first_period
        return [
            school_id
            for school_id, school in self.schools.items()
            if first is not None and school.bell_schedule is not None and school.bell_schedule < first
        ]


def look(connection: Connection, school_year: str, product: str) -> Checks:
    """Count everything. Makes the temporary table ``checked_students``, for a sample in the same transaction.

    The caller switches off nested loops (:func:`rollover.roster.applying.bulk.planner`): PostgreSQL's statistics lack
    the rows that an import has just added.
    """
    connection.execute(text(STUDENTS))
    graduating, graduates = _graduating_class(connection)
    schools = {row.sourced_id: School(row.name) for row in connection.execute(text(SCHOOLS))}
    given = {
        "graduating": graduating,
        "ladder": list(LADDER),
        "school_year": school_year,
        "not_educators": list(NOT_EDUCATORS),
        "guardians": list(GUARDIAN_ROLES),
    }
    counted = (CLASSES_BY_SCHOOL, ENROLLMENTS_BY_SCHOOL, EDUCATORS_BY_SCHOOL, SHARED_USERNAMES)
    for query in (STUDENTS_BY_SCHOOL, *counted):
        _add_numbers(connection, schools, query, given)
    for query in (EDUCATORS_WHO_LEFT, NEW_EDUCATORS):
        _add_numbers(connection, schools, query.format(accounts=EDUCATOR_ACCOUNTS[product]), given)
    for school_id, grade, students in connection.execute(text(GRADES_BY_SCHOOL)):
        schools[school_id].grades[grade] = students
    if product == "hero":
        for school_id, newest in connection.execute(text(BELL_SCHEDULES)):
            schools.setdefault(school_id, School(None)).bell_schedule = newest
    sessions = {
        kind: (count, starts, ends)
        for kind, count, starts, ends in connection.execute(text(SESSIONS), {"school_year": school_year})
    }
    return Checks(dict(sorted(schools.items())), graduating, graduates, sessions)


def _graduating_class(connection: Connection) -> tuple[str | None, int]:
    row = connection.execute(text(GRADUATING_CLASS), {"ladder": list(LADDER), "class_share": CLASS_SHARE}).one_or_none()
    return (None, 0) if row is None else (row.grade, row.students)


def _add_numbers(
    connection: Connection, schools: dict[str, School], query: str, given: Mapping[str, str | list[str] | None]
) -> None:
    """Add the counts of a query by ``school_id``; a school that the roster lacks gets a row of its own."""
    statement = text(query)
    names = statement.compile().params
    for row in connection.execute(statement, {name: given[name] for name in names}).mappings():
        numbers = dict(row)
        schools.setdefault(numbers.pop("school_id"), School(None)).numbers.update(numbers)


def grades_of(checks: Checks) -> list[str]:
    """The grades that have students, in their order."""
    there = {grade for school in checks.schools.values() for grade in school.grades}
    return sorted(there, key=lambda grade: (GRADES.index(grade) if grade in GRADES else len(GRADES), grade))


def sample(connection: Connection, import_id: str) -> Iterator[tuple[Any, ...]]:
    """Records for people to look at, spread over schools and grades. They have names: only write them to a file."""
    for row in connection.execute(text(SAMPLED), {"seed": import_id, "size": SAMPLE}):
        yield tuple(row)


def educators_to_remove(connection: Connection, product: str) -> Iterator[tuple[Any, ...]]:
    """Accounts of educators who are no longer in the roster. They have names: only write them to a file."""
    return _educators(connection, EDUCATORS_TO_REMOVE, product)


def educators_to_add(connection: Connection, product: str) -> Iterator[tuple[Any, ...]]:
    """Educators of the roster who have no account. They have names: only write them to a file."""
    return _educators(connection, EDUCATORS_TO_ADD, product)


def _educators(connection: Connection, query: str, product: str) -> Iterator[tuple[Any, ...]]:
    statement = text(query.format(accounts=EDUCATOR_ACCOUNTS[product])).execution_options(yield_per=500)
    for row in connection.execute(statement, {"not_educators": list(NOT_EDUCATORS)}):
        yield tuple(row)
