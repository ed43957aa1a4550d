"""The summary of a school's year on one page: what was tracked, month by month, which behaviors, and where."""

from __future__ import annotations

from datetime import date
from typing import Any

from reportlab.lib.colors import Color
from reportlab.pdfgen.canvas import Canvas

from rollover.exports.printed.charts import bars, legend
from rollover.exports.printed.page import (
    AMBER,
    BLUE,
    GREEN,
    INNER,
    MARGIN,
    MUTED,
    RED,
    TOP,
    WIDTH,
    Pages,
    heading,
    meter,
    number,
    share,
    tiles,
    title,
    write,
)
from rollover.exports.report import Row
from rollover.typeface import BOLD

KINDS = (("positive", GREEN), ("negative", RED), ("tardies", AMBER))
COLOR_OF_KIND = {"positive": GREEN, "negative": RED, "tardy": AMBER}
CHART_HIGH = 190.0
SHOWN = 7
"""So many behaviors and locations: the reports by code and by location have all."""


def draw(pages: Pages, rows: list[Row]) -> None:
    """A page per school."""
    for row in rows:
        _school(pages.begin(row["school"]), row)


def _school(canvas: Canvas, row: Row) -> None:
    title(canvas, TOP, row["school"], 20)
    if row["first_on"]:
        days = f"{number(row['days'])} days with entries, from {_day(row['first_on'])} to {_day(row['last_on'])}"
        write(canvas, MARGIN, TOP - 17, days, color=MUTED)
    y = tiles(
        canvas,
        TOP - 30,
        [
            (number(row["events"]), "behaviors tracked"),
            (share(row["positive"], row["events"]), "of them positive"),
            (number(row["students"]), "students"),
            (number(row["teachers"]), "teachers who tracked"),
        ],
    )
    y = tiles(
        canvas,
        y - 10,
        [
            (number(row["tardies"]), "tardies"),
            (number(row["consequences_assigned"]), "consequences assigned"),
            (number(row["consequences_served"]), "consequences served"),
            (number(row["points_earned"]), "points earned"),
        ],
    )
    heading(canvas, y - 28, "Month by month")
    legend(canvas, WIDTH - MARGIN, y - 28, KINDS)
    y -= 38 + CHART_HIGH
    months = row["months"]
    if months:
        names = [f"{date.fromisoformat(month['month']):%b}" for month in months]
        series = [[month[kind] for month in months] for kind, _ in KINDS]
        bars(canvas, MARGIN, y, INNER, CHART_HIGH, names, series, [color for _, color in KINDS], stacked=True)
    half = INNER / 2 - 12
    behaviors = [
        (b["behavior"] or "code not known", b["events"], COLOR_OF_KIND.get(b["kind"], MUTED)) for b in row["behaviors"]
    ]
    _ranking(canvas, MARGIN, y - 28, half, "Most tracked", behaviors)
    locations = [(place["location"], place["events"], BLUE) for place in row["locations"]]
    _ranking(canvas, MARGIN + half + 24, y - 28, half, "Where it happened", locations)


def _ranking(
    canvas: Canvas, x: float, y: float, width: float, title: str, entries: list[tuple[str, int, Color]]
) -> None:
    """The first entries with their counts, each with a bar as long as it is frequent."""
    heading(canvas, y, title, x=x)
    most = max((count for _, count, _ in entries), default=1)
    for n, (name, count, color) in enumerate(entries[:SHOWN]):
        line = y - 20 - n * 25
        write(canvas, x, line, " ".join(name.split()), size=9.5, width=width - 50)
        write(canvas, x + width, line, number(count), BOLD, 9.5, align="right")
        meter(canvas, x, line - 9, width, count / most, color=color, height=5)


def _day(day: Any) -> str:
    return f"{day:%B} {day.day}, {day.year}"
