"""Writes the index of a report with many files. Files are named by ids, but people look for a classroom."""

from __future__ import annotations

from typing import IO

from rollover.exports.report import Row
from rollover.sheet import write_rows

FILE = "file"
"""The first column: the path below the index's own folder."""
SHOWN = ("school", "classroom", "teacher")
"""The columns that the index shows, if the report has them."""
Entry = tuple[str, int, Row]
"""A file, relative to the index's folder; its number of pages; one of its rows."""


def write(stream: IO[bytes], entries: list[Entry]) -> int:
    """Write the index as CSV; returns the number of its lines."""
    shown = [name for name in SHOWN if name in entries[0][2]]
    lines = ([file, *(row[name] for name in shown), pages] for file, pages, row in entries)
    return write_rows(stream, [FILE, *shown, "pages"], lines)
