"""The new year's roster, looked at once more before the sync resumes.

Source: Hero asks to "view the grade levels", to "make sure that you do not find any of last year's graduating
class", to "verify that schedules match your SIS", to align bell schedules and terms with the first grading
period, and to confirm guardian e-mail addresses and dates of birth.
"""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

from sqlalchemy import Connection, func, select, text
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.database.tables import hero
from rollover.database.tables.roster import ROSTER_TABLES, academic_sessions
from rollover.errors import ProofFailed
from rollover.roster.model import GRADES
from rollover.roster.staged import ROW_HASH, key_columns, read_staged

log = logging.getLogger(__name__)

RETAINED_SHARE = 0.10
"""Students who repeat the last grade are normal; more than this share of last year's class is last year's class."""
CLASS_SHARE = 0.02
"""Fewer of last year's students are no class: a few who stay for a 13th year, a grade mistyped."""
LADDER = list(GRADES[: GRADES.index("13") + 1])
"""The grades that follow one another. Nobody graduates from the others (ungraded, postsecondary, other)."""

# The highest grade that a class of students was in before the year's first import: who was in it has left the tenant's
# schools. It is grade 12 in most districts, 8 in some.
GRADUATING_GRADE = """
SELECT last_year_grade
FROM (SELECT last_year_grade, count(*) AS students, sum(count(*)) OVER () AS of_all
      FROM roster.people
      WHERE last_year_grade = ANY(:ladder)
      GROUP BY last_year_grade) grades
WHERE students >= :class_share * of_all
ORDER BY array_position(CAST(:ladder AS text[]), last_year_grade) DESC
LIMIT 1
"""
GRADUATES = "SELECT count(*) FROM roster.people WHERE last_year_grade = :grade"
STUDENTS = """
SELECT count(*)                                                                        AS students,
       count(*) FILTER (WHERE grade IS NULL)                                           AS without_grade,
       count(*) FILTER (WHERE birth_date IS NULL)                                      AS without_birth_date,
       count(*) FILTER (WHERE last_year_grade = CAST(:graduating AS text))             AS graduates_still_there,
       count(*) FILTER (WHERE last_year_grade = grade)                                 AS in_the_same_grade,
       count(*) FILTER (WHERE last_year_grade IS NOT NULL)                             AS returning,
       count(*) FILTER (WHERE NOT EXISTS (
           SELECT FROM roster.enrollments e
           WHERE e.person_id = p.sourced_id AND e.status = 'active'))                  AS without_classes,
       count(*) FILTER (WHERE NOT EXISTS (
           SELECT FROM roster.guardians g
           JOIN roster.people a ON a.tenant_id = g.tenant_id AND a.sourced_id = g.guardian_id
           WHERE g.student_id = p.sourced_id AND g.status = 'active'
             AND a.status = 'active' AND a.email IS NOT NULL))                         AS without_guardian_email
FROM roster.people p
WHERE role = 'student' AND status = 'active'
"""
# Where sessions of several types share a year, grading periods are the finest and the whole year the coarsest.
FIRST_PERIOD = """
SELECT start_date FROM roster.academic_sessions
WHERE status = 'active' AND school_year = :school_year
ORDER BY array_position(ARRAY['gradingPeriod', 'term', 'semester'], type), start_date
LIMIT 1
"""
CLASSES_OF_OTHER_TERMS = """
SELECT count(*) FROM roster.classes c
WHERE c.status = 'active' AND NOT c.term_ids <@ ARRAY(
    SELECT s.sourced_id FROM roster.academic_sessions s WHERE s.status = 'active' AND s.school_year = :school_year)
"""
EDUCATOR_ACCOUNTS = {
    "hero": "hero.employee_logins",
    "imagine_math": "imagine_math.educator_accounts",
    "imagine_math_facts": "imagine_math_facts.educator_accounts",
}
EDUCATORS_WHO_LEFT = """
SELECT a.school_id, count(*) AS educators FROM {accounts} a
WHERE NOT EXISTS (SELECT FROM roster.people p WHERE p.sourced_id = a.person_id AND p.status = 'active')
GROUP BY a.school_id ORDER BY a.school_id
"""


def verify_roster(
    connection: Connection, import_id: str, school_year: str, storage: UPath, *, product: str
) -> dict[str, Any]:
    """Check the live roster against the import that brought it; returns counts to show.

    Raises ProofFailed, naming everything that is wrong: no students, no session of the year, a first grading
    period outside of it, classes of other terms, no grades, last year's graduates still there, students in last
    year's grades, or rows that differ from the files.

    ``educators_who_left``, by school, are accounts to remove: Rollover keeps them, the district decides.
    """
    ladder = {"ladder": LADDER, "class_share": CLASS_SHARE}
    graduating: str | None = connection.scalar(text(GRADUATING_GRADE), ladder)
    counts = dict(connection.execute(text(STUDENTS), {"graduating": graduating}).mappings().one())
    first_period: date | None = connection.scalar(text(FIRST_PERIOD), {"school_year": school_year})
    wrong = [
        *_not_as_filed(connection, import_id, storage),
        *_terms(connection, school_year, first_period),
        *_grades(connection, graduating, counts),
    ]
    if wrong:
        raise ProofFailed(
            f"The roster of {school_year} from {import_id} is not right: {'; '.join(wrong)}.",
            "ask district IT for a corrected set, or correct it with them; the sync stays paused.",
        )
    counts["first_period"] = str(first_period)
    counts["educators_who_left"] = _educators_who_left(connection, product)
    if product == "hero":
        counts["schools_with_old_bell_schedules"] = _old_bell_schedules(connection, school_year)
    log.info("roster of %s verified: %s", school_year, counts)
    return counts


def _not_as_filed(connection: Connection, import_id: str, storage: UPath) -> list[str]:
    """Schedules match the files: every active row of every table is the staged row, and none is missing."""
    found = []
    for table in ROSTER_TABLES:
        keys = key_columns(table)
        # A row that is in the files twice, word for word, is taken once.
        staged = read_staged(storage, import_id, table.name, [*keys, ROW_HASH]).unique(keys, keep="first")
        live = connection.execute(
            select(func.count(), func.coalesce(func.sum(table.c.row_hash), 0)).where(table.c.status == "active")
        ).one()
        if (staged.height, sum(staged[ROW_HASH].to_list())) != (live[0], int(live[1])):
            found.append(f"{table.name} has {live[0]} active rows that are not the {staged.height} of the files")
    return found


def _terms(connection: Connection, school_year: str, first_period: date | None) -> list[str]:
    if first_period is None:
        return [f"no academic session is of {school_year}"]
    found = []
    year = SchoolYear.parse(school_year)
    if not year.starts_on <= first_period < year.next.starts_on:
        found.append(f"the first grading period begins on {first_period}, which is not in {school_year}")
    if of_others := connection.scalar(text(CLASSES_OF_OTHER_TERMS), {"school_year": school_year}):
        found.append(f"{of_others} classes are of terms that are not of {school_year}")
    return found


def _grades(connection: Connection, graduating: str | None, counts: dict[str, Any]) -> list[str]:
    found = []
    if not counts["students"]:
        return ["there is no student"]
    if counts["without_grade"] * 2 > counts["students"]:
        found.append(f"{counts['without_grade']} of {counts['students']} students have no grade")
    graduates = connection.scalar(text(GRADUATES), {"grade": graduating}) or 0
    if counts["graduates_still_there"] > RETAINED_SHARE * graduates:
        still = counts["graduates_still_there"]
        found.append(f"{still} of the {graduates} who were in grade {graduating}, last year's highest, are still there")
    if counts["in_the_same_grade"] * 2 > counts["returning"]:
        found.append(f"{counts['in_the_same_grade']} of {counts['returning']} returning students are not promoted")
    return found


def _educators_who_left(connection: Connection, product: str) -> dict[str, int]:
    """Accounts of educators who are no longer in the roster, by school. Whose they are stays in the database."""
    found = connection.execute(text(EDUCATORS_WHO_LEFT.format(accounts=EDUCATOR_ACCOUNTS[product])))
    by_school = {row.school_id: row.educators for row in found}
    if by_school:
        log.warning(
            "%d educator accounts belong to people who are no longer in the roster: the district should remove them",
            sum(by_school.values()),
        )
    return by_school


def _old_bell_schedules(connection: Connection, school_year: str) -> int:
    """Schools whose newest bell schedule is older than the year's first grading period: theirs to update."""
    newest = (
        select(func.max(hero.bell_schedules.c.effective_from).label("newest"))
        .group_by(hero.bell_schedules.c.school_id)
        .subquery()
    )
    first_period = (
        select(func.min(academic_sessions.c.start_date))
        .where(academic_sessions.c.status == "active", academic_sessions.c.school_year == school_year)
        .scalar_subquery()
    )
    return connection.scalar(select(func.count()).where(newest.c.newest < first_period)) or 0
