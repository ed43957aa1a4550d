"""Checks whether the values of a row with additional blank fields are in their own columns.

Two mistakes look the same: commas that were added at the end of a row, and a comma in a value that is not quoted, which
moves all following values one column on, if the last column of the row was blank. A row is accepted if every value with
a type fits its column, and no reading that joins two fields fits as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from rollover.roster.findings import KEPT_PER_CODE, Finding, Findings
from rollover.roster.formats.spec import Column, File, Format, Kind
from rollover.roster.reading.clean import clean
from rollover.roster.reading.columns import KEPT_OUT, ROW

AT_ONCE = 50
"""Rows that are checked together."""
READINGS = KEPT_PER_CODE // AT_ONCE
"""The most readings of one row. A row with more possible readings is in error."""
DOES_NOT_FIT = frozenset(
    {
        *("bad_value", "bad_date", "bad_year", "bad_datetime", "grade_unknown", "value_missing"),
        *("id_characters", "id_length"),
    }
)
"""Findings of a value that cannot be one of its column."""
TELLS_ITS_COLUMN = frozenset({Kind.ENUM, Kind.DATE, Kind.DATETIME, Kind.YEAR, Kind.BOOLEAN, Kind.GRADE, Kind.GRADES})
"""Kinds whose values can hardly stand in another column by chance."""


@dataclass(frozen=True)
class Layout:
    """The layout of a file: the ``positions`` of the columns that are read, among ``width`` fields."""

    file: File
    spec: Format
    positions: Mapping[str, int]
    width: int
    delta: bool

    def may_hold_a_comma(self, place: int) -> bool:
        """Whether the column at a position is not read, or has text or a list."""
        column = self._at.get(place)
        return column is None or column.may_hold_a_comma

    @cached_property
    def _at(self) -> dict[int, Column]:
        return {place: self.file.column(name) for name, place in self.positions.items()}

    def readings(self, fields: Sequence[str]) -> Iterator[list[str]]:
        """The row as it is; then with each two neighbouring values joined that may be one value with a comma."""
        yield list(fields[: self.width])
        for place in range(self.width - 1):
            two = fields[place : place + 2]
            if all(value.strip() for value in two) and all(map(self.may_hold_a_comma, (place, place + 1))):
                yield [*fields[:place], ",".join(two), *fields[place + 2 :], ""][: self.width]


def stand_in_their_columns(rows: Sequence[Sequence[str]], layout: Layout) -> list[bool]:
    """For each of at most :data:`AT_ONCE` rows with more fields than columns, the last ones blank: whether it can be
    accepted."""
    if not layout.positions:
        return [False] * len(rows)
    readings = [list(layout.readings(fields)) for fields in rows]
    every = [reading for each in readings for reading in each[:READINGS]]
    scores = iter(_scores(every, layout))
    judged = []
    for each in readings:
        as_it_stands, *others = [next(scores) for _ in each[:READINGS]]
        is_certain = len(each) <= READINGS and as_it_stands > max(others, default=-1)
        judged.append(as_it_stands >= 0 and is_certain)
    return judged


def _scores(readings: list[list[str]], layout: Layout) -> list[int]:
    """How many values of each reading identify their column; -1 if a value does not fit its column."""
    values = {name: [row[place] for row in readings] for name, place in layout.positions.items()}
    marks = {ROW: pl.Series(range(len(readings)), dtype=pl.Int32), KEPT_OUT: [False] * len(readings)}
    stripped = pl.col(*values).str.strip_chars()
    frame = pl.DataFrame({**marks, **values}).with_columns(pl.when(stripped != "").then(stripped))
    findings = Findings()
    clean(frame, layout.file, layout.spec, findings, delta=layout.delta)
    unfit = {found.row for found in findings.kept if _does_not_fit(found)}
    tells = [pl.col(name).is_not_null() for name in values if layout.file.column(name).kind in TELLS_ITS_COLUMN]
    addresses = [name for name in values if "email" in name.lower()]
    tells += [pl.col(name).str.contains("@", literal=True).fill_null(False) for name in addresses]
    counted = frame.select(pl.sum_horizontal(pl.col(ROW) * 0, *tells)).to_series().to_list()
    return [-1 if row in unfit else count for row, count in enumerate(counted)]


def _does_not_fit(found: Finding) -> bool:
    """Whether a value cannot be one of its column. A blank one that has a substitute can."""
    return found.code in DOES_NOT_FIT and (found.code != "value_missing" or found.severity == "error")
