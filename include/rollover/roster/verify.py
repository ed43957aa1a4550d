"""The new year's roster, looked at once more before the sync resumes.

Source: Hero asks to "view the grade levels", to "make sure that you do not find any of last year's graduating
class", to "verify that schedules match your SIS", to align bell schedules and terms with the first grading
period, and to confirm guardian e-mail addresses and dates of birth.
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Connection, func, select, text
from upath import UPath

from rollover.database.tables import hero
from rollover.database.tables.roster import ROSTER_TABLES, academic_sessions
from rollover.errors import ProofFailed
from rollover.roster.staged import ROW_HASH, key_columns, read_staged

log = logging.getLogger(__name__)

LAST_GRADE = "12"
RETAINED_SHARE = 0.10
"""Seniors who repeat the year are normal; more than this share of last year's seniors is last year's class."""

STUDENTS = """
SELECT count(*)                                                                        AS students,
       count(*) FILTER (WHERE grade IS NULL)                                           AS without_grade,
       count(*) FILTER (WHERE birth_date IS NULL)                                      AS without_birth_date,
       count(*) FILTER (WHERE last_year_grade = :last_grade)                           AS seniors_still_there,
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
SENIORS_LAST_YEAR = "SELECT count(*) FROM roster.people WHERE role = 'student' AND last_year_grade = :last_grade"


def verify_roster(
    connection: Connection, import_id: str, school_year: str, storage: UPath, *, product: str
) -> dict[str, Any]:
    """Check the live roster against the import that brought it; returns counts to show.

    Raises ProofFailed, naming everything that is wrong: no students, no session of the year, last year's
    graduates still there, students in last year's grades, or rows that differ from the files.
    """
    counts = dict(connection.execute(text(STUDENTS), {"last_grade": LAST_GRADE}).mappings().one())
    wrong = [
        *_not_as_filed(connection, import_id, storage),
        *_sessions(connection, school_year),
        *_grades(connection, counts),
    ]
    if wrong:
        raise ProofFailed(
            f"The roster of {school_year} from {import_id} is not right: {'; '.join(wrong)}.",
            "ask district IT for a corrected set, or correct it with them; the sync stays paused.",
        )
    if product == "hero":
        counts["schools_with_old_bell_schedules"] = _old_bell_schedules(connection, school_year)
    log.info("roster of %s verified: %s", school_year, counts)
    return counts


def _not_as_filed(connection: Connection, import_id: str, storage: UPath) -> list[str]:
    """Schedules match the files: every active row of every table is the staged row, and none is missing."""
    found = []
    for table in ROSTER_TABLES:
        staged = read_staged(storage, import_id, table.name, [*key_columns(table), ROW_HASH])
        live = connection.execute(
            select(func.count(), func.coalesce(func.sum(table.c.row_hash), 0)).where(table.c.status == "active")
        ).one()
        if (staged.height, sum(staged[ROW_HASH].to_list())) != (live[0], int(live[1])):
            found.append(f"{table.name} has {live[0]} active rows that are not the {staged.height} of the files")
    return found


def _sessions(connection: Connection, school_year: str) -> list[str]:
    sessions = connection.scalar(
        select(func.count()).where(
            academic_sessions.c.status == "active", academic_sessions.c.school_year == school_year
        )
    )
    return [] if sessions else [f"no academic session is of {school_year}"]


def _grades(connection: Connection, counts: dict[str, Any]) -> list[str]:
    found = []
    if not counts["students"]:
        return ["there is no student"]
    seniors = connection.scalar(text(SENIORS_LAST_YEAR), {"last_grade": LAST_GRADE}) or 0
    if counts["seniors_still_there"] > RETAINED_SHARE * seniors:
        found.append(f"{counts['seniors_still_there']} of last year's {seniors} graduates are still there")
    if counts["in_the_same_grade"] * 2 > counts["returning"]:
        found.append(f"{counts['in_the_same_grade']} of {counts['returning']} returning students are not promoted")
    return found


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
