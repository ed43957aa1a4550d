"""The index of a report that has many files: which is whose. Files are named by ids, people look for a classroom."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import IO

from upath import UPath

from rollover.exports.csv_file import FORMULA_SIGNS
from rollover.exports.report import Row

SHOWN = ("school", "classroom", "teacher")
"""What tells one file from another, where the rows of a report say it."""
Entry = tuple[str, int, Row]
"""A file below the index's own folder, its pages, and one of its rows."""


def write(stream: IO[bytes], entries: Iterable[Entry]) -> int:
    """Write the index as CSV, UTF-8 with the mark by which Excel knows it; returns the number of its lines."""
    entries = list(entries)
    shown = [name for name in SHOWN if name in entries[0][2]]
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="", write_through=True)
    lines = csv.writer(text)
    lines.writerow(["file", *shown, "pages"])
    for file, pages, row in entries:
        lines.writerow([file, *(_defused(row[name] or "") for name in shown), pages])
    text.detach()
    return len(entries)


def lines_in(target: UPath) -> int:
    """The lines below the header, as a reader of CSV counts them."""
    with target.open("r", encoding="utf-8-sig", newline="") as stream:
        return sum(1 for _ in csv.reader(stream)) - 1


def _defused(value: str) -> str:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{value}" if value.startswith(tuple(FORMULA_SIGNS)) else value
