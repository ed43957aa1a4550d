"""What the progress reports of both grade bands have: the student's head, the weeks of the year, and the tests."""

from __future__ import annotations

from datetime import date, timedelta

from reportlab.pdfgen.canvas import Canvas

from rollover.exports.printed.charts import bars
from rollover.exports.printed.page import (
    BLUE,
    GREEN,
    INNER,
    MARGIN,
    MUTED,
    PALE,
    RED,
    TOP,
    WIDTH,
    Pages,
    grade_name,
    heading,
    number,
    title,
    write,
)
from rollover.exports.report import Row
from rollover.typeface import BOLD


def student_page(pages: Pages, row: Row) -> Canvas:
    """A page with the student's name, grade, classroom and teacher."""
    canvas = pages.begin(row["school"])
    title(canvas, TOP - 8, name_of(row), 25)
    parts = [grade_name(row["grade"]), row["classroom"], row["teacher"]]
    write(canvas, MARGIN, TOP - 28, "   ·   ".join(part for part in parts if part), size=11, color=MUTED, width=INNER)
    return canvas


def name_of(row: Row) -> str:
    """The student's name; the roster may not have it any more for a student of a past year."""
    return " ".join(part for part in (row["first_name"], row["last_name"]) if part) or "Name not known"


def duration(minutes: int | None) -> str:
    return "–" if minutes is None else f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def passed_of_assigned(row: Row) -> str:
    if not row["lessons_assigned"]:
        return "No lessons were assigned"
    return f"{row['lessons_passed']} of {row['lessons_assigned']} lessons passed"


def passed_share(row: Row) -> float:
    return float(row["lessons_passed"]) / float(row["lessons_assigned"]) if row["lessons_assigned"] else 0.0


def weeks(canvas: Canvas, top: float, height: float, row: Row) -> float:
    """The minutes of each week from the first to the last with any, also of those without; returns the lower end."""
    heading(canvas, top - 10, "Minutes each week")
    y = top - 20 - height
    minutes = {date.fromisoformat(week): spent for week, spent in row["weeks"] or ()}
    if not minutes:
        _nothing(canvas, MARGIN, y, INNER, height, "No time was spent this year")
        return y
    first, last = min(minutes), max(minutes)
    days = [first + timedelta(weeks=n) for n in range((last - first).days // 7 + 1)]
    bars(canvas, MARGIN, y, INNER, height, _months(days), [[minutes.get(day, 0) for day in days]], [BLUE])
    return y


def _months(days: list[date]) -> list[str]:
    """The name of each month at its first week; none where the next one's would touch it."""
    begins = [n == 0 or day.month != days[n - 1].month for n, day in enumerate(days)]
    close = [any(begins[n + 1 : n + 2]) for n in range(len(days))]
    return [
        f"{day:%b}" if begun and not touches else "" for day, begun, touches in zip(days, begins, close, strict=True)
    ]


def tests(canvas: Canvas, top: float, height: float, row: Row) -> None:
    """The tests of the year, oldest first: the scores as bars, and beside them by name, with the change."""
    heading(canvas, top - 10, "Test scores")
    y, half = top - 20 - height, INNER / 2 - 12
    taken = [(name, date.fromisoformat(on), score) for name, on, score in row["tests"] or ()]
    if not taken:
        _nothing(canvas, MARGIN, y, INNER, height, "No test was taken this year")
        return
    names = [f"{day:%b} {day.day}" for _, day, _ in taken]
    bars(canvas, MARGIN, y, half, height, names, [[score for *_, score in taken]], [GREEN], figures=True)
    x, right = MARGIN + half + 24, WIDTH - MARGIN
    write(canvas, right, top - 10, "change", size=9, color=MUTED, align="right")
    before: int | None = None
    for n, (name, day, score) in enumerate(taken):
        line = top - 34 - n * 17
        write(canvas, x, line, name, size=10, width=half * 0.36)
        write(canvas, x + half * 0.37, line, f"{day:%B} {day.day}, {day.year}", size=10, color=MUTED)
        write(canvas, x + half * 0.86, line, number(score), BOLD, 10, align="right")
        if before is not None:
            change = score - before
            color = GREEN if change > 0 else RED if change < 0 else MUTED
            write(canvas, right, line, f"{change:+d}", BOLD, 10, color, align="right")
        before = score


def _nothing(canvas: Canvas, x: float, y: float, width: float, height: float, text: str) -> None:
    canvas.setFillColor(PALE)
    canvas.roundRect(x, y, width, height, 6, stroke=0, fill=1)
    write(canvas, x + width / 2, y + height / 2 - 4, text, size=10, color=MUTED, align="center")
