"""Schoolwide Points of one school: what its students earned and redeemed, by grade and one by one."""

from __future__ import annotations

from collections import defaultdict

from rollover.exports.printed.charts import bars, legend
from rollover.exports.printed.page import (
    AMBER,
    BLUE,
    INNER,
    MARGIN,
    TOP,
    WIDTH,
    Pages,
    TableColumn,
    grade_name,
    heading,
    number,
    table,
    tiles,
    title,
)
from rollover.exports.report import Row

GRADES = ("PK", "KG", *(f"{n:02d}" for n in range(1, 13)))
SHORT = {"": "not known", "KG": "K"}
COLUMNS = (
    TableColumn("Student", 0.36),
    TableColumn("Grade", 0.14),
    TableColumn("Earned", 0.12, number=True),
    TableColumn("Redeemed", 0.13, number=True),
    TableColumn("Adjusted", 0.12, number=True),
    TableColumn("Left", 0.13, number=True),
)
CHART_HIGH = 170.0


def draw(pages: Pages, rows: list[Row]) -> None:
    """Figures, a chart by grade, and a table of all students, in the order of the report."""
    school = rows[0]["school"]
    canvas = pages.begin(school)
    title(canvas, TOP, school, 20)
    earned, redeemed, left = (sum(row[name] for row in rows) for name in ("earned", "redeemed", "balance"))
    figures = [
        (number(earned), "points earned"),
        (number(redeemed), "points redeemed"),
        (number(left), "points left at the end"),
        (number(len(rows)), "students with points"),
    ]
    y = tiles(canvas, TOP - 16, figures)
    heading(canvas, y - 26, "Points by grade")
    legend(canvas, WIDTH - MARGIN, y - 26, (("earned", BLUE), ("redeemed", AMBER)))
    names, by_grade = _by_grade(rows)
    y -= 36 + CHART_HIGH
    bars(canvas, MARGIN, y, INNER, CHART_HIGH, names, by_grade, (BLUE, AMBER))
    heading(canvas, y - 24, "Points by student")
    lines = (
        (_name(row), grade_name(row["grade"]), row["earned"], row["redeemed"], row["adjusted"], row["balance"])
        for row in rows
    )
    table(pages, school, y - 32, COLUMNS, lines)


def _by_grade(rows: list[Row]) -> tuple[list[str], list[list[int]]]:
    """The names of the grades, lowest first, and what was earned and redeemed in each."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        grade = row["grade"] or ""
        sums[grade][0] += row["earned"]
        sums[grade][1] += row["redeemed"]
    order = sorted(sums, key=lambda grade: GRADES.index(grade) if grade in GRADES else len(GRADES))
    names = [SHORT.get(grade) or grade_name(grade) for grade in order]
    return names, [[sums[grade][n] for grade in order] for n in (0, 1)]


def _name(row: Row) -> str:
    """As in a list; the id where the roster does not have the student any more."""
    if row["last_name"] is None:
        return str(row["student_id"])
    return f"{row['last_name']}, {row['first_name']}"
