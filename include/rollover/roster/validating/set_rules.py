"""Checks a set as a whole: its district, its school year, and that it has students."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
from sqlalchemy import Connection, select

from rollover.calendar import MonthDay, SchoolYear, year_of_day
from rollover.database.tables import directory
from rollover.roster.findings import Findings
from rollover.roster.validating.rules import CheckedSet

# That of the terms of most classes: a few old sections, or next year's sessions in April, do not make the year. If
# no class has a term, that of the session of type schoolYear, else of most sessions; then the latest.
SCHOOL_YEAR = """
    SELECT school_year
    FROM roster_academic_sessions
    LEFT JOIN (SELECT sourced_id AS class_id, unnest(term_ids) AS sourced_id FROM roster_classes) USING (sourced_id)
    WHERE school_year IS NOT NULL
    GROUP BY school_year
    ORDER BY count(DISTINCT class_id) DESC, bool_or(type = 'schoolYear') DESC, count(DISTINCT sourced_id) DESC,
             school_year DESC
    LIMIT 1
"""


def school_year_of(duck: duckdb.DuckDBPyConnection) -> str | None:
    row = duck.execute(SCHOOL_YEAR).fetchone()
    return None if row is None else str(row[0])


def check_set(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    checked: CheckedSet,
    school_year: str | None,
    findings: Findings,
    begins: MonthDay,
) -> None:
    """Refuse another district's files, another year's, and a set without a student, as far as its files show it."""
    spec = checked.format

    def has(query: str, **bound: Any) -> bool:
        return duck.execute(f"SELECT count(*) > 0 FROM ({query})", bound or None).fetchone() == (True,)

    district, current = connection.execute(
        select(directory.districts.c.org_sourced_id, directory.tenants.c.current_school_year).join_from(
            directory.tenants, directory.districts
        )
    ).one()
    tells_district = spec.names_its_district and checked.is_whole(spec.shapes["orgs"])
    rejected = _district_row(duck, district) if tells_district else None
    if rejected is not None:
        message = (
            "The district's own row was rejected because of an error, and the set cannot be used without it. "
            "Fix this row."
        )
        findings.refuse("district_kept_out", "orgs.csv", message, column="sourcedId", row=rejected)
    elif tells_district and not has("FROM roster_orgs WHERE sourced_id = $org", org=district):
        message = (
            f"orgs.csv does not hold {district}, the org of this district: these may be another "
            "district's files. Check the folder; if the district's sourcedId has changed, tell the data team."
        )
        findings.refuse("other_district", "orgs.csv", message, column="sourcedId")
    allowed = (current, SchoolYear.parse(current).next.key)
    file, column = spec.tells_year
    wrong = _other_year(duck, school_year, allowed, column, begins) if school_year else None
    if wrong:
        findings.refuse("wrong_year", file, wrong, column=column)
    if checked.is_whole(spec.shapes["people"]) and not has("FROM roster_people WHERE role = 'student'"):
        file, column = spec.tells_students
        message = "There is not a single student. Export all of them, and fix the rejected rows."
        findings.refuse("no_students", file, message, column=column)


def _district_row(duck: duckdb.DuckDBPyConnection, district: str) -> int | None:
    """The row of the district's own org, if it was rejected; None if it was accepted or is missing."""
    row = duck.execute(
        """SELECT min(r."row") FROM read_orgs r ANTI JOIN roster_orgs o ON o.sourced_id = r.sourcedId
           WHERE r.sourcedId = $org AND r."row" > 0""",
        {"org": district},
    ).fetchone()
    return None if row is None else row[0]


def _other_year(
    duck: duckdb.DuckDBPyConnection, said: str, allowed: tuple[str, str], column: str, begins: MonthDay
) -> str | None:
    """The error in the school year of a set; None if it can be accepted.

    Some systems write the year in which the school year begins. If all sessions of a set are in the year after the one
    in its column, the message explains that mistake, and does not say that the set is of the year before.
    """
    days = duck.execute("SELECT start_date FROM roster_academic_sessions WHERE school_year = $1", [said]).fetchall()
    by_dates = {year_of_day(day, begins) for (day,) in days if day is not None}
    following = SchoolYear.parse(said).next
    if column == "schoolYear" and by_dates == {following} and following.key in allowed:
        return (
            f"schoolYear is {following.first_year} in sessions whose dates are of {following}. It is the year in which "
            f"the school year ends: write {following.last_year}. If your school years do not begin on "
            f"{date(2000, begins.month, begins.day):%B %-d}, ask the data team to set school_year_begins."
        )
    if said in allowed:
        return None
    return f"The set is of school year {said}; expected is {' or '.join(allowed)}. Export it from the right year."
