"""Checks the rows that have too few or too many fields, and keeps them until the others are read."""

from __future__ import annotations

import csv
import io
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import IO

import numpy as np
from pyarrow import csv as arrow_csv

from rollover.roster.formats.spec import Column, Kind
from rollover.roster.reading import shifted
from rollover.roster.reading.header import FIELDS_BEHIND, Header
from rollover.roster.reading.of_file import FileFindings
from rollover.roster.reading.text import Text
from rollover.storage import TEMPORARY

FIELD_COUNT = "The row does not have as many fields as the header has names. Quote values that hold a comma."


class OddRows:
    """Arrow calls this object for each odd row, and skips the row. The odd rows are kept in a file."""

    def __init__(self, layout: shifted.Layout, header: Header, text: Text, found: FileFindings) -> None:
        self._layout = layout
        self._header = header
        self._text = text
        self._found = found
        self._columns = {place: found.file.column(name) for name, place in header.positions.items()}
        self._doubtful: list[tuple[int, list[str]]] = []
        """Rows with blank fields at their end, which are checked together."""
        self._skipped = array("i")
        """The places of all odd rows, in order."""
        self._seen = 0
        """How many of them are before the rows of the last call of :meth:`places`."""
        self._next = header.row + 1
        self._wrong = array("i")
        self._too_long = array("i")
        self._failure: Exception | None = None

    def __enter__(self) -> OddRows:
        file = tempfile.TemporaryFile(prefix=f"{TEMPORARY}odd-")
        self._waiting = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self._writer = csv.writer(self._waiting, quoting=csv.QUOTE_ALL)
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.close()

    def __call__(self, row: arrow_csv.InvalidRow) -> str:
        try:
            self._take(row)
        except Exception as failure:  # Arrow would pass over it
            self._failure = self._failure or failure
        return "skip"

    def _take(self, row: arrow_csv.InvalidRow) -> None:
        place = row.number - self._header.lines + self._header.row
        self._skipped.append(place)
        fields = _split(row.text)
        behind = fields[self._header.width :]
        if _holds(self._text.unclosed, place):
            self._keep_identity(place, fields, aligned=True)
        elif fields and not any(value.strip() for value in fields):
            pass  # a blank line
        elif len(fields) != row.actual_columns or len(fields) < self._header.named or any(map(str.strip, behind)):
            self._reject(place, fields)
        elif len(fields) == self._header.named:
            self._keep(place, self._padded(fields))
        else:
            self._doubtful.append((place, self._padded(fields)))
            if len(self._doubtful) == shifted.AT_ONCE:
                self._judge_doubtful()

    def _padded(self, fields: list[str]) -> list[str]:
        return fields + [""] * (self._header.width - len(fields))

    def _judge_doubtful(self) -> None:
        """Accept rows whose values are in their own columns; the others are in error."""
        doubtful, self._doubtful = self._doubtful, []
        are_right = shifted.stand_in_their_columns([fields for _, fields in doubtful], self._layout) if doubtful else []
        for (place, fields), is_right in zip(doubtful, are_right, strict=True):
            if is_right:
                self._too_long.append(place)
                self._keep(place, fields[: self._header.width])
            else:
                self._reject(place, fields)

    def _reject(self, place: int, fields: list[str]) -> None:
        self._wrong.append(place)
        self._keep_identity(place, fields)

    def _keep_identity(self, place: int, fields: list[str], *, aligned: bool = False) -> None:
        """Keep only the identity of a row in error, to find the rows that depend on it.

        `aligned`: the fields are in their own columns. If they are not, the place of the defect is unknown.
        """
        if not self._is_named(fields, aligned=aligned):
            self._text.unnamed.append(place)
        position = self._identity_position()
        if position is None or position >= min(len(fields), self._header.width) or not fields[position].strip():
            return
        only = [""] * self._header.width
        only[position] = fields[position]
        self._keep(place, only, wrong=True)

    def _identity_position(self) -> int | None:
        identity = self._found.file.identity
        if identity is None or self._found.file.column(identity).refers_to:
            return None
        return self._header.positions.get(identity)

    def _is_named(self, fields: list[str], *, aligned: bool) -> bool:
        """Whether the row can be identified: its identity is complete, and in its place.

        Only ids, which have no comma, may come before it. A row with too few fields may have lost any of them.
        """
        position = self._identity_position()
        if position is None or position >= len(fields) - 1 or not fields[position].strip():
            return False
        ids_only = all((column := self._columns.get(place)) and _is_one_id(column) for place in range(position))
        return aligned or (ids_only and len(fields) > self._header.width)

    def _keep(self, place: int, fields: list[str], *, wrong: bool = False) -> None:
        self._writer.writerow([*fields, place, int(wrong)])

    def places(self, count: int) -> np.ndarray:
        """The places in the file of the next `count` rows of those that were not skipped."""
        # A copy: Arrow may go on meanwhile.
        skipped = np.array(self._skipped[self._seen :], dtype=np.int64)
        places = np.arange(self._next, self._next + count) + self._seen
        # Each skipped row, in order, moves every kept row at or after its place one on.
        places += np.searchsorted(skipped - np.arange(len(skipped)), places, side="right")
        self._next += count
        if count:
            self._seen += int(np.searchsorted(skipped, places[-1]))
        return places

    def finish(self) -> IO[bytes]:
        """The kept odd rows as CSV; after its fields, each has its place and whether it is in error.

        Call it after all other rows are read. Raises an error of :meth:`__call__`.
        """
        if self._failure is not None:
            raise self._failure
        self._judge_doubtful()
        self._found.find("field_count", "error", FIELD_COUNT, sorted(self._wrong))
        self._found.find("fields_behind", "warning", FIELDS_BEHIND, self._too_long)
        self._waiting.seek(0)
        return self._waiting.buffer

    @property
    def last_place(self) -> int:
        """The place of the last row, after all rows are read."""
        return max(self._next - 1 + len(self._skipped), self._header.row)

    @property
    def ends_in_error(self) -> bool:
        """Whether the last row has too few fields, or a quote that is never closed."""
        last = self.last_place
        return _holds(self._text.unclosed, last) or last in self._wrong


def _is_one_id(column: Column) -> bool:
    return column.kind is Kind.ID or (column.kind is Kind.TEXT and not column.is_free_text)


def _split(row: str) -> list[str]:
    """The fields of a row; none if it is too long for a roster's."""
    try:
        return next(csv.reader(io.StringIO(row, newline="")), [])
    except csv.Error:
        return []


def _holds(rows: Sequence[int] | array[int], row: int) -> bool:
    place = bisect_left(rows, row)
    return place < len(rows) and rows[place] == row
