"""CSV files for people: whole or not at all, and harmless when a spreadsheet opens them."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from upath import UPath

from rollover.storage import whole_file

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def write_sheet(target: UPath, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write a CSV file, replacing an older one when the new one is complete; returns the rows below the header.

    UTF-8, with the mark by which Excel knows it. Rows are written as they come, so memory stays flat.
    """
    count = 0
    with whole_file(target) as stream:
        stream.write(codecs.BOM_UTF8)
        writer = csv.writer(_Encoded(stream))
        writer.writerow(header)
        for row in rows:
            writer.writerow([defused(cell) for cell in row])
            count += 1
    return count


def defused(cell: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_SIGNS) else cell


@dataclass(frozen=True)
class _Encoded:
    """What the csv module writes text to."""

    stream: IO[bytes]

    def write(self, text: str) -> int:
        return self.stream.write(text.encode())
