"""What printed pages share: paper, type, colors, the head and foot of a page, and the parts that reports are made of.

Lengths are points, 1/72 inch, measured from the lower left corner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

import pypdfium2
from reportlab.lib.colors import Color, HexColor, white
from reportlab.lib.pagesizes import LETTER
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas
from upath import UPath

from rollover.exports.report import Scope
from rollover.typeface import BOLD, REGULAR, printable

WIDTH, HEIGHT = LETTER
MARGIN = 46.0
INNER = WIDTH - 2 * MARGIN
TOP = HEIGHT - 96
"""Where a page's own content begins, below its head."""
BOTTOM = 56.0

INK, MUTED, RULE, PALE = HexColor("#1F2A37"), HexColor("#5B6776"), HexColor("#D5DCE6"), HexColor("#F1F5FA")
BLUE, GREEN, AMBER, RED = HexColor("#2B5FA8"), HexColor("#2F8F5B"), HexColor("#E0A021"), HexColor("#C4574E")

CONFIDENTIAL = "Student records. Keep them as your district's privacy rules ask."


class Pages:
    """A PDF that is being drawn, page by page; whole when the block ends."""

    def __init__(self, stream: IO[bytes], title: str, scope: Scope) -> None:
        # invariant: the same rows at the same time make the same bytes.
        self.canvas = Canvas(stream, pagesize=LETTER, pageCompression=1, invariant=1)
        self.canvas.setTitle(f"{title}, {scope.school_year}")
        self.canvas.setAuthor(scope.district)
        self.title, self.scope, self.count = title, scope, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.canvas.showPage()
            self.canvas.save()

    def begin(self, place: str = "") -> Canvas:
        """A new page with its head and foot; `place`, a school or classroom, stands in the head."""
        if self.count:
            self.canvas.showPage()
        self.count += 1
        canvas, day = self.canvas, self.scope.as_of_local
        canvas.setFillColor(BLUE)
        canvas.rect(0, HEIGHT - 62, WIDTH, 62, stroke=0, fill=1)
        write(canvas, MARGIN, HEIGHT - 33, self.title, BOLD, 17, white, width=INNER * 0.6)
        write(canvas, MARGIN, HEIGHT - 50, self.scope.district, REGULAR, 10, white, width=INNER * 0.6)
        year = f"School year {self.scope.school_year}"
        write(canvas, WIDTH - MARGIN, HEIGHT - 33, year, BOLD, 11, white, align="right")
        write(canvas, WIDTH - MARGIN, HEIGHT - 50, place, REGULAR, 10, white, align="right", width=INNER * 0.38)
        canvas.setStrokeColor(RULE)
        canvas.setLineWidth(0.6)
        canvas.line(MARGIN, 42, WIDTH - MARGIN, 42)
        write(canvas, MARGIN, 30, CONFIDENTIAL, REGULAR, 8, MUTED)
        foot = f"As of {day:%B} {day.day}, {day.year}  ·  {self.count}"
        write(canvas, WIDTH - MARGIN, 30, foot, REGULAR, 8, MUTED, align="right")
        return canvas

    def say_blank(self) -> None:
        canvas = self.begin()
        write(
            canvas, WIDTH / 2, HEIGHT / 2, "Nothing to report for this school year.", REGULAR, 14, MUTED, align="center"
        )


def pages_in(target: UPath) -> int:
    """The pages of a PDF file, as the reader of a browser counts them."""
    with target.open("rb") as stream:
        document = pypdfium2.PdfDocument(stream.read())
        try:
            return len(document)
        finally:
            document.close()


def write(
    canvas: Canvas,
    x: float,
    y: float,
    text: str,
    font: str = REGULAR,
    size: float = 10,
    color: Color = INK,
    *,
    align: str = "left",
    width: float | None = None,
) -> None:
    """A line of text; one that is longer than `width` is cut, and ends with an ellipsis."""
    text = printable(text)
    if width is not None and pdfmetrics.stringWidth(text, font, size) > width:
        while text and pdfmetrics.stringWidth(f"{text}…", font, size) > width:
            text = text[:-1]
        text = f"{text.rstrip()}…"
    canvas.setFont(font, size)
    canvas.setFillColor(color)
    draw = {"left": canvas.drawString, "right": canvas.drawRightString, "center": canvas.drawCentredString}[align]
    draw(x, y, text)


def fitting(text: str, font: str, size: float, width: float, *, least: float = 0) -> float:
    """The size at which a text is no wider than `width`: the given one, or as much smaller as need be."""
    return max(least, min(size, size * width / max(pdfmetrics.stringWidth(printable(text), font, size), 1)))


def title(canvas: Canvas, y: float, text: str, size: float) -> None:
    """What a page is about, as large as it fits."""
    write(canvas, MARGIN, y, text, BOLD, fitting(text, BOLD, size, INNER, least=10), width=INNER)


def heading(canvas: Canvas, y: float, text: str, *, x: float = MARGIN) -> None:
    write(canvas, x, y, text, BOLD, 12, INK)


def tiles(canvas: Canvas, top: float, figures: Sequence[tuple[str, str]], *, height: float = 52) -> float:
    """A row of boxes, each a figure and what it is; returns where the row ends."""
    gap = 10.0
    width = (INNER - gap * (len(figures) - 1)) / len(figures)
    for n, (figure, label) in enumerate(figures):
        x = MARGIN + n * (width + gap)
        canvas.setFillColor(PALE)
        canvas.roundRect(x, top - height, width, height, 6, stroke=0, fill=1)
        write(canvas, x + 10, top - height / 2 - 1, figure, BOLD, fitting(figure, BOLD, 18, width - 16), BLUE)
        write(canvas, x + 10, top - height + 10, label, REGULAR, 9, MUTED, width=width - 14)
    return top - height


def meter(canvas: Canvas, x: float, y: float, width: float, share: float, *, color: Color, height: float = 8) -> None:
    """A bar that is filled by a share from 0 to 1."""
    canvas.setFillColor(RULE)
    canvas.roundRect(x, y, width, height, height / 2, stroke=0, fill=1)
    filled = width * min(max(share, 0.0), 1.0)
    if filled > 0:
        canvas.setFillColor(color)
        canvas.roundRect(x, y, max(filled, height), height, height / 2, stroke=0, fill=1)


@dataclass(frozen=True)
class TableColumn:
    """A column of a printed table: its head, its share of the width, and whether numbers stand in it."""

    head: str
    share: float
    number: bool = False


LINE = 15.0


def table(pages: Pages, place: str, top: float, columns: Sequence[TableColumn], rows: Iterable[Sequence[Any]]) -> None:
    """A table from `top` down, on as many pages as it needs, its head on each."""
    canvas, y = pages.canvas, _head(pages.canvas, top, columns)
    for n, row in enumerate(rows):
        if y - LINE < BOTTOM:
            canvas = pages.begin(place)
            y = _head(canvas, TOP, columns)
        if n % 2 == 0:
            canvas.setFillColor(PALE)
            canvas.rect(MARGIN, y - LINE + 4, INNER, LINE, stroke=0, fill=1)
        _cells(canvas, y - 7, columns, row, REGULAR, INK)
        y -= LINE


def _head(canvas: Canvas, top: float, columns: Sequence[TableColumn]) -> float:
    _cells(canvas, top - 8, columns, [column.head for column in columns], BOLD, MUTED)
    canvas.setStrokeColor(RULE)
    canvas.line(MARGIN, top - 13, WIDTH - MARGIN, top - 13)
    return top - LINE - 3


def _cells(
    canvas: Canvas, y: float, columns: Sequence[TableColumn], row: Sequence[Any], font: str, color: Color
) -> None:
    x = MARGIN
    for column, value in zip(columns, row, strict=True):
        width = INNER * column.share
        text = number(value) if isinstance(value, int) else value or ""
        if column.number:
            write(canvas, x + width - 6, y, text, font, 9.5, color, align="right")
        else:
            write(canvas, x + 6, y, text, font, 9.5, color, width=width - 10)
        x += width


def number(value: Any) -> str:
    """A whole number as people write it; a dash where there is none."""
    return "–" if value is None else f"{value:,}"


def share(part: int | None, whole: int | None) -> str:
    return f"{part / whole:.0%}" if part is not None and whole else "–"


def grade_name(grade: str | None) -> str:
    """A grade of the roster in words."""
    names = {"PK": "Pre-K", "KG": "Kindergarten", None: "Grade not known"}
    return names.get(grade) or f"Grade {(grade or '').lstrip('0')}"
