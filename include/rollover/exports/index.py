"""The index of a report that has many files: which is whose. Files are named by ids, people look for a classroom."""

from __future__ import annotations

from typing import IO

from rollover.exports.report import Row
from rollover.sheet import write_rows

FILE = "file"
"""The first column: the path below the index's own folder."""
SHOWN = ("school", "classroom", "teacher")
"""What tells one file from another, where the rows of a report say it."""
Entry = tuple[str, int, Row]
"""A file below the index's own folder, its pages, and one of its rows."""


def write(stream: IO[bytes], entries: list[Entry]) -> int:
    """Write the index as CSV; returns the number of its lines."""
    shown = [name for name in SHOWN if name in entries[0][2]]
    lines = ([file, *(row[name] for name in shown), pages] for file, pages, row in entries)
    return write_rows(stream, [FILE, *shown, "pages"], lines)
