"""Defines Hero's reports. They all show what was tracked in a year, so they are blank once that year is archived."""

from __future__ import annotations

from rollover.exports.report import Report, columns

STUDENT = "school, student_id, last_name, first_name, grade"
COUNTS = "events: whole, positive: whole, negative: whole, tardies: whole, students: whole, points: whole"
POINTS = f"school_id, {STUDENT}, earned: whole, redeemed: whole, adjusted: whole, balance: whole"
ACTIVITY = """
    school_id, school, events: whole, positive: whole, negative: whole, tardies: whole, students: whole,
    teachers: whole, days: whole, first_on: date, last_on: date, consequences_assigned: whole,
    consequences_served: whole, points_earned: whole, points_redeemed: whole, points_adjusted: whole
"""


def _csv(name: str, title: str, of: str) -> Report:
    return Report("hero", name, title, "csv", f"hero/{name}", columns(of))


REPORTS = (
    _csv(
        "behavior_history",
        "Behavior History",
        f"""{STUDENT}, date: date, time: time, behavior, kind, points: whole, location, tracked_by, comment,
        consequence, assigned_on: date, served_on: date""",
    ),
    _csv("schoolwide_points", "Schoolwide Points", POINTS),
    _csv(
        "events_by_code",
        "Events by Code",
        "school, code_id, behavior, kind, events: whole, students: whole, teachers: whole, points: whole",
    ),
    _csv("events_by_teacher", "Events by Teacher", f"school, employee_id, last_name, first_name, {COUNTS}"),
    _csv("events_by_day", "Events by Day", f"school, date: date, weekday, {COUNTS}"),
    _csv("events_by_location", "Events by Location", f"school, location, {COUNTS}"),
    _csv(
        "consequences",
        "Consequences Assigned and Served",
        f"""{STUDENT}, action_id, consequence, behavior, behavior_on: date, assigned_on: date, served_on: date,
        served, days_until_served: whole""",
    ),
    _csv(
        "tardies",
        "Tardies",
        f"{STUDENT}, tardy, tardies: whole, days: whole, first_on: date, last_on: date",
    ),
    _csv("school_activity", "Activity of Each School", ACTIVITY),
    Report(
        "hero",
        "schoolwide_points_printed",
        "Schoolwide Points",
        "pdf",
        "hero/schoolwide_points",
        columns(POINTS),
        files=("school_id",),
        template="schoolwide_points",
    ),
    Report(
        "hero",
        "school_summary",
        "School Summary",
        "pdf",
        "hero/school_summary",
        columns(f"{ACTIVITY}, months: list, behaviors: list, locations: list"),
        template="school_summary",
        page_per_row=True,
    ),
)
