"""Tables for people, as CSV: harmless when a spreadsheet opens them. Reports that are too large for Python follow the
same rule in the database, by :func:`defused_sql`."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from upath import UPath

from rollover.storage import whole_file

FORMULA_SIGNS = "=+-@\t\r"
"""With one of these in front, a spreadsheet runs a text as a formula."""
ROWS_AT_ONCE = 500
"""How many rows a piece of a streamed table has."""


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run a text as a formula."""
    return text.startswith(tuple(FORMULA_SIGNS))


def defused(cell: Any) -> Any:
    """A cell; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and is_formula(cell) else cell


def defused_sql(text: str) -> str:
    """The same of an SQL expression of text, in the SQL that PostgreSQL and DuckDB share."""
    return (
        f"CASE WHEN strpos('{FORMULA_SIGNS}', left({text}, 1)) > 0 AND {text} <> '' THEN '''' || {text} ELSE {text} END"
    )


def write_rows(stream: IO[bytes], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write a table as CSV, UTF-8 with the mark by which Excel knows it; returns the number of rows below the header.

    Rows are written as they come, so memory stays flat.
    """
    stream.write(codecs.BOM_UTF8)
    writer = csv.writer(_Encoded(stream))
    writer.writerow(header)
    count = 0
    for row in rows:
        writer.writerow([defused(cell) for cell in row])
        count += 1
    return count


def streamed(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """The same table piece by piece, for a response that is sent while the rows are read."""
    waiting, stream = iter(rows), io.BytesIO()
    write_rows(stream, header, [])
    yield stream.getvalue()
    while part := list(islice(waiting, ROWS_AT_ONCE)):
        writer = csv.writer(_Encoded(stream := io.BytesIO()))
        writer.writerows([defused(cell) for cell in row] for row in part)
        yield stream.getvalue()


def write_sheet(target: UPath, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write a table as a file, as :func:`write_rows` does; an older one is replaced when the new one is complete."""
    with whole_file(target) as stream:
        return write_rows(stream, header, rows)


@dataclass(frozen=True)
class _Encoded:
    """A binary stream that the csv module can write text to."""

    stream: IO[bytes]

    def write(self, text: str) -> int:
        return self.stream.write(text.encode())
