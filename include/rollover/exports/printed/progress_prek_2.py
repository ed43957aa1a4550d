"""Student Progress of a PreK-2 student: a page for the family, with stars and in plain words."""

from __future__ import annotations

import math

from reportlab.lib.colors import Color
from reportlab.pdfgen.canvas import Canvas

from rollover.exports.printed.page import (
    AMBER,
    INNER,
    MARGIN,
    MUTED,
    PALE,
    RULE,
    TOP,
    WIDTH,
    Pages,
    number,
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
from rollover.typeface import BOLD

STARS = 10
PANEL_HIGH = 116.0
CHART_HIGH = 138.0


def draw(pages: Pages, rows: list[Row]) -> None:
    """A page per student."""
    for row in rows:
        canvas = student_page(pages, row)
        _lessons(canvas, TOP - 46, row)
        y = tiles(
            canvas,
            TOP - 60 - PANEL_HIGH,
            [
                (duration(row["minutes"]), "time on math this year"),
                (number(row["problems"]), "problems worked on"),
                (number(row["weeks_active"]), "weeks with math"),
                ("–" if row["average_score"] is None else f"{row['average_score']:.0f}", "average lesson score"),
            ],
        )
        y = weeks(canvas, y - 22, CHART_HIGH, row)
        tests(canvas, y - 18, CHART_HIGH, row)


def _lessons(canvas: Canvas, top: float, row: Row) -> None:
    """A star for every tenth of the lessons."""
    canvas.setFillColor(PALE)
    canvas.roundRect(MARGIN, top - PANEL_HIGH, INNER, PANEL_HIGH, 10, stroke=0, fill=1)
    write(canvas, WIDTH / 2, top - 28, passed_of_assigned(row), BOLD, 17, align="center")
    filled = math.floor(passed_share(row) * STARS + 0.5)
    step = 38.0
    for n in range(STARS):
        x = WIDTH / 2 + (n - (STARS - 1) / 2) * step
        _star(canvas, x, top - 62, 15, AMBER if n < filled else RULE)
    write(canvas, WIDTH / 2, top - 102, row["pathways"] or "", size=11, color=MUTED, align="center", width=INNER - 32)


def _star(canvas: Canvas, x: float, y: float, radius: float, color: Color) -> None:
    path = canvas.beginPath()
    for n in range(10):
        r, angle = (radius if n % 2 == 0 else radius * 0.42), math.pi / 2 + n * math.pi / 5
        (path.lineTo if n else path.moveTo)(x + r * math.cos(angle), y + r * math.sin(angle))
    path.close()
    canvas.setFillColor(color)
    canvas.drawPath(path, stroke=0, fill=1)
