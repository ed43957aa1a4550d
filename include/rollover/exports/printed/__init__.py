"""Makes the printed reports: US Letter, one Typst template per report."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
from upath import UPath

from rollover.exports.report import Report, Row, Scope
from rollover.pdf.kit import make_pdf


def print_rows(report: Report, scope: Scope, rows: list[Row]) -> bytes:
    """The PDF of a printed report with these rows; without rows, it says that there is nothing to report."""
    data = {
        "title": report.title,
        "district": scope.district,
        "school_year": scope.school_year,
        "as_of": scope.as_of_local.date(),
        "rows": [dict(row) for row in rows],
    }
    return make_pdf(Path(__file__).with_name(f"{report.template}.typ"), data, scope.as_of)


def pages_in(target: UPath) -> int:
    """The pages of a PDF file, as the reader of a browser counts them."""
    with target.open("rb") as stream:
        document = pypdfium2.PdfDocument(stream.read())
        try:
            return len(document)
        finally:
            document.close()
