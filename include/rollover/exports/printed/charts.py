"""Bar charts in the look of the printed pages.

Drawn on the page directly: reportlab's chart objects check and place every bar as an object of its own, which takes
ten times as long as all the rest of a page, and there are thousands of progress reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from reportlab.lib.colors import Color, white
from reportlab.pdfgen.canvas import Canvas

from rollover.exports.printed.page import INK, MUTED, RULE, number, write
from rollover.typeface import BOLD, REGULAR

AXIS = 34.0
"""Room for the figures beside the value axis."""
LABELS = 16.0
"""Room for the names below the category axis."""
TOP_ROOM = 12.0
FIGURE_HIGH = 15.0
WIDEST_BAR = 44.0


def bars(
    canvas: Canvas,
    x: float,
    y: float,
    width: float,
    height: float,
    names: Sequence[str],
    series: Sequence[Sequence[float]],
    colors: Sequence[Color],
    *,
    stacked: bool = False,
    figures: bool = False,
) -> None:
    """Bars within a box from its lower left corner `x`, `y`: a group per name, in it a bar or layer per series.

    `figures` stand at the top of the bars. Values are 0 or more.
    """
    groups = list(zip(*series, strict=True))
    highest = max((sum(group) if stacked else max(group) for group in groups), default=0)
    steps, step = _steps(highest)
    left, floor, high = x + AXIS, y + LABELS, height - LABELS - TOP_ROOM
    canvas.setStrokeColor(RULE)
    canvas.setLineWidth(0.5)
    for n in range(steps + 1):
        line = floor + high * n / steps
        canvas.line(left, line, x + width, line)
        write(canvas, left - 6, line - 3, number(round(n * step)), REGULAR, 8.5, MUTED, align="right")
    room = (width - AXIS) / max(len(groups), 1)
    parts = 1 if stacked else len(series)
    bar = min(room * 0.72 / parts, WIDEST_BAR)
    scale = high / (steps * step)
    for n, (name, group) in enumerate(zip(names, groups, strict=True)):
        middle = left + room * (n + 0.5)
        write(canvas, middle, y + 3, name, REGULAR, 8.5, MUTED, align="center")
        floors = [0.0, *accumulate(group)] if stacked else [0.0] * len(group)
        for m, (value, below, color) in enumerate(zip(group, floors, colors, strict=False)):
            if not value:
                continue
            at = middle - bar * parts / 2 + (0 if stacked else bar * m)
            canvas.setFillColor(color)
            canvas.rect(at, floor + below * scale, bar, value * scale, stroke=0, fill=1)
            if figures:
                inside = value * scale > FIGURE_HIGH
                at_top = floor + value * scale + (-FIGURE_HIGH + 3 if inside else 3)
                write(canvas, at + bar / 2, at_top, number(value), BOLD, 9, white if inside else INK, align="center")


def legend(canvas: Canvas, right: float, y: float, entries: Sequence[tuple[str, Color]]) -> None:
    """Names of the series with their colors, in a line that ends at `right`."""
    x = right
    for name, color in reversed(entries):
        x -= canvas.stringWidth(name, REGULAR, 9)
        write(canvas, x, y, name, REGULAR, 9, MUTED)
        x -= 12
        canvas.setFillColor(color)
        canvas.rect(x, y, 7, 7, stroke=0, fill=1)
        x -= 14


def _steps(highest: float) -> tuple[int, float]:
    """How many steps a value axis has, at most five, and how large they are: 1, 2 or 5 times a power of ten."""
    power = 1
    while power * 50 < highest:
        power *= 10
    step = next(power * n for n in (1, 2, 5, 10) if power * n * 5 >= highest)
    return max(-(-int(highest) // step), 1), step
