"""Checks enrollments with the people, classes and terms that they name, in OneRoster's words."""

from __future__ import annotations

from rollover.roster.formats.spec import Rule

# The roles of enrollments; people with other roles (an aide, a counselor) are enrolled as one of these.
_SAID = "('administrator', 'proctor', 'teacher')"


def enrollment_role(file: str, people_file: str) -> Rule:
    """Make the rule about roles in enrollments: a student is enrolled as a student, a guardian not at all, and anybody
    else in their own role, if enrollments have that role."""
    return Rule(
        "enrollment_role",
        "warning",
        "role",
        f"role does not agree with the person's role in {people_file}.",
        f"""SELECT e.file, e."row" FROM roster_enrollments e JOIN roster_people p ON p.sourced_id = e.person_id
            WHERE (e.role = 'student') <> (p.role = 'student') OR p.role IN ('guardian', 'parent', 'relative')
               OR (p.role IN {_SAID} AND e.role IN {_SAID} AND p.role <> e.role)""",
        file=file,
    )


def _outside_term(column: str, date: str, broken: str) -> Rule:
    return Rule(
        "enrollment_term",
        "warning",
        column,
        f"{column} is not within the terms of the class.",
        f"""WITH terms AS (
                SELECT c.class_id, min(s.start_date) AS starts, max(s.end_date) AS ends
                FROM (SELECT sourced_id AS class_id, unnest(term_ids) AS term_id FROM roster_classes) c
                JOIN roster_academic_sessions s ON s.sourced_id = c.term_id
                GROUP BY c.class_id
            )
            SELECT e.file, e."row" FROM roster_enrollments e JOIN terms t USING (class_id)
            WHERE e.{date} IS NOT NULL AND ({broken})""",
    )


ENROLLMENT_RULES = (
    Rule(
        "enrollment_school",
        "warning",
        "schoolSourcedId",
        "schoolSourcedId is not the school of the class.",
        """SELECT e.file, e."row" FROM roster_enrollments e JOIN roster_classes c ON c.sourced_id = e.class_id
           WHERE e.school_id <> c.school_id""",
    ),
    Rule(
        "enrollment_dates",
        "warning",
        "endDate",
        "endDate is before beginDate.",
        'SELECT file, "row" FROM roster_enrollments WHERE end_date < begin_date',
    ),
    # Both ends are exclusive.
    _outside_term("beginDate", "begin_date", "e.begin_date < t.starts OR e.begin_date >= t.ends"),
    _outside_term("endDate", "end_date", "e.end_date > t.ends OR e.end_date <= t.starts"),
    Rule(
        "primary_student",
        "warning",
        "primary",
        "primary is for teachers only.",
        """SELECT file, "row" FROM roster_enrollments WHERE "primary" AND role <> 'teacher'""",
    ),
    Rule(
        "primary_twice",
        "warning",
        "primary",
        "The class has a primary teacher already. Name one.",
        """SELECT file, "row" FROM roster_enrollments WHERE "primary" AND role = 'teacher'
           QUALIFY row_number() OVER (PARTITION BY class_id ORDER BY "row") > 1""",
    ),
)
