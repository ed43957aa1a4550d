"""Writes a report as a spreadsheet: one sheet with typed cells, a fixed header, and a filter on every column."""

from __future__ import annotations

from textwrap import wrap
from typing import IO, Any

import xlsxwriter
from sqlalchemy import Connection
from upath import UPath
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from rollover.errors import ProofFailed
from rollover.exports.report import Kind, Report, Scope
from rollover.exports.rows import rows_of
from rollover.sheet import is_formula

MAX_ROWS = 1_048_575
WIDTHS = {Kind.TEXT: 8, Kind.WHOLE: 9, Kind.NUMBER: 9, Kind.DATE: 11, Kind.TIME: 9}
WIDEST = 40
LINE_HIGH = 16
"""The format of the header, which has as many lines as its longest name needs."""
HEADER: dict[str, Any] = {"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#E8EEF7", "bottom": 1}
FORMATS: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"indent": 1},  # or it would touch the number before it
    Kind.WHOLE: {"num_format": "#,##0"},
    Kind.NUMBER: {"num_format": "0.00"},
    Kind.DATE: {"num_format": "yyyy-mm-dd"},
    Kind.TIME: {"num_format": "hh:mm"},
}


def write(connection: Connection, report: Report, scope: Scope, stream: IO[bytes]) -> int:
    """Write the report to `stream` row by row; returns the number of rows.

    Raises ProofFailed if there are more rows than a sheet holds, or a text is longer than a cell holds.
    """
    book = xlsxwriter.Workbook(stream, {"constant_memory": True})
    book.set_properties(
        {"title": f"{report.title}, {scope.school_year}", "created": scope.as_of_local.replace(tzinfo=None)}
    )
    sheet = book.add_worksheet(report.title)
    headers = {kind: book.add_format(HEADER | {"align": _align(kind)} | FORMATS[Kind.TEXT]) for kind in FORMATS}
    formats = {kind: book.add_format(says) for kind, says in FORMATS.items()}
    # Stays text if the cell is edited or the sheet saved as CSV and opened again: the apostrophe of a spreadsheet.
    quoted = book.add_format(FORMATS[Kind.TEXT] | {"quote_prefix": True})
    sheet.freeze_panes(1, 0)
    _as_printed(sheet, report, scope)
    widths = {name: _width(name, kind) for name, kind in report.columns.items()}
    sheet.set_row(0, LINE_HIGH * max(len(wrap(name, width - 2)) for name, width in widths.items()))
    for n, (name, kind) in enumerate(report.columns.items()):
        sheet.write_string(0, n, name, headers[kind])
    count = 0
    with rows_of(connection, report, scope) as rows:
        for count, row in enumerate(rows, start=1):
            if count > MAX_ROWS:
                raise ProofFailed(f"{report.title} has more rows than a sheet holds.", "split the district.")
            for n, (name, kind) in enumerate(report.columns.items()):
                value = row[name]
                if value is None:
                    continue
                if kind is Kind.TEXT:
                    widths[name] = max(widths[name], min(len(value) + 3, WIDEST))
                form = quoted if kind is Kind.TEXT and is_formula(value) else formats[kind]
                if _put(sheet, kind, count, n, value, form):
                    raise ProofFailed(
                        f"'{name}' of row {count} is more than a cell holds.", "shorten it, clear this task."
                    )
    for n, width in enumerate(widths.values()):
        sheet.set_column(n, n, width)
    sheet.autofilter(0, 0, count, len(report.columns) - 1)
    try:
        book.close()
    except FileCreateError as error:
        raise error.args[0] from None  # what the stream said
    return count


def _put(sheet: Worksheet, kind: Kind, row: int, column: int, value: Any, form: Format) -> int:
    """Write one cell; returns 0, or the error of a value that the cell does not hold."""
    if kind is Kind.TEXT:
        return int(sheet.write_string(row, column, value, form))
    if kind in (Kind.DATE, Kind.TIME):
        return int(sheet.write_datetime(row, column, value, form))
    return int(sheet.write_number(row, column, value, form))


def _align(kind: Kind) -> str:
    """Return the format of a column's name: aligned like its values."""
    return "left" if kind is Kind.TEXT else "right"


def _as_printed(sheet: Worksheet, report: Report, scope: Scope) -> None:
    """Fit all columns on one page when printed, and repeat the header on each."""
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
    sheet.set_footer(f"&L{report.title.replace('&', '&&')}, {scope.school_year}&R&P / &N")


def _width(name: str, kind: Kind) -> int:
    """Return the width of a column: enough for its kind, and for each word of its name."""
    return max(WIDTHS[kind], *(len(word) + 3 for word in name.split()))


def rows_in(target: UPath, report: Report) -> int:
    """Count the rows below the header, as another library reads them."""
    from openpyxl import load_workbook  # only the task that exports needs it

    with target.open("rb") as stream:
        sheet = load_workbook(stream, read_only=True).worksheets[0]
        return sum(1 for _ in sheet.iter_rows(values_only=True)) - 1
