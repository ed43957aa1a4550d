"""Student Progress of a 3+ student in one pathway, on a page."""

from __future__ import annotations

from datetime import date

from reportlab.pdfgen.canvas import Canvas

from rollover.exports.printed.page import (
    BLUE,
    GREEN,
    INNER,
    MARGIN,
    MUTED,
    PALE,
    TOP,
    WIDTH,
    Pages,
    meter,
    number,
    share,
    tiles,
    write,
)
from rollover.exports.printed.progress import (
    duration,
    passed_of_assigned,
    passed_share,
    student_page,
    tests,
    weeks,
)
from rollover.exports.report import Row
from rollover.typeface import BOLD, REGULAR

PANEL_HIGH = 84.0
CHART_HIGH = 150.0
OF_ALL = "Time, problems, tests and THINK Points are of the whole year, in all pathways together."


def draw(pages: Pages, rows: list[Row]) -> None:
    """A page per student and pathway."""
    for row in rows:
        canvas = student_page(pages, row)
        _pathway(canvas, TOP - 46, row)
        y = tiles(
            canvas,
            TOP - 60 - PANEL_HIGH,
            [
                ("–" if row["average_score"] is None else f"{row['average_score']:.0f}", "average lesson score"),
                (duration(row["minutes"]), "time on math"),
                (number(row["problems"]), "problems worked on"),
                (number(row["weeks_active"]), "weeks active"),
                (number(row["think_points"]), "THINK Points"),
            ],
        )
        y = weeks(canvas, y - 22, CHART_HIGH, row)
        tests(canvas, y - 18, CHART_HIGH, row)
        write(canvas, MARGIN, 52, OF_ALL, size=8.5, color=MUTED)


def _pathway(canvas: Canvas, top: float, row: Row) -> None:
    """The pathway, since when, whether it is completed, and how far the student came in it."""
    canvas.setFillColor(PALE)
    canvas.roundRect(MARGIN, top - PANEL_HIGH, INNER, PANEL_HIGH, 8, stroke=0, fill=1)
    x, right = MARGIN + 16, WIDTH - MARGIN - 16
    write(canvas, x, top - 26, row["pathway"] or "No pathway was assigned", BOLD, 15, width=INNER * 0.6)
    done = row["completed_on"] is not None
    write(canvas, right, top - 26, _since(row), BOLD if done else REGULAR, 10, GREEN if done else MUTED, align="right")
    write(canvas, x, top - 46, passed_of_assigned(row), size=11)
    write(canvas, right, top - 46, share(row["lessons_passed"], row["lessons_assigned"]), BOLD, 11, align="right")
    meter(canvas, x, top - 68, INNER - 32, passed_share(row), color=GREEN if done else BLUE, height=10)


def _since(row: Row) -> str:
    if row["completed_on"]:
        return f"Completed {_day(row['completed_on'])}"
    return f"Since {_day(row['assigned_on'])}" if row["assigned_on"] else ""


def _day(day: date) -> str:
    return f"{day:%B} {day.day}, {day.year}"
