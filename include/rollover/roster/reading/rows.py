"""Reads the rows of a file in batches of columns, each row with its place in the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import IO

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from rollover.roster.findings import Findings
from rollover.roster.formats.spec import Column, File, Format
from rollover.roster.reading import shifted
from rollover.roster.reading.columns import KEPT_OUT, ROW
from rollover.roster.reading.header import Header
from rollover.roster.reading.odd_rows import FIELD_COUNT, OddRows
from rollover.roster.reading.of_file import FileFindings
from rollover.roster.reading.text import BROKEN, Text

BLOCK_BYTES = 8 * 2**20
LAST_LINE_BYTES = 2**16
NOT_CSV = "not_csv"
UNREAD = "unread "
"""The prefix of columns that are only checked."""
BEHIND = "behind "
"""The prefix of columns in which no row should have a value."""


def batches(
    text: Text, file: File, spec: Format, header: Header, findings: Findings, *, delta: bool = False
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file in batches: the columns of `file` that it has, as text; ``row``, the place in the file;
    and ``kept_out``, whether the row is rejected.

    Values come without surrounding spaces, an empty one as null. A row with too few or too many fields is a finding
    and rejected, unless the missing or additional fields are blank and the others in their place
    (:mod:`rollover.roster.reading.shifted`); so is a row with an undecodable character. Empty lines are skipped.
    Memory has one batch, whatever the file's size and however many of its rows are odd.
    """
    if header.is_alone:
        return
    found = FileFindings(findings, file)
    tidy = _Tidy(text, header, found)
    columns = _columns(header, text)
    with OddRows(shifted.Layout(file, spec, header.positions, header.width, delta), header, text, found) as odd:
        try:
            with text.open() as stream:
                for frame in _frames(stream, columns, header.width, header.lines, odd, newlines=text.line_breaks):
                    yield tidy(frame, pl.Series(ROW, odd.places(frame.height), dtype=pl.Int32))
        except pa.ArrowInvalid:
            # The library's message may quote the file: not shown.
            found.unusable(NOT_CSV, "The file is not CSV as RFC 4180 has it from some row on. Export it again.")
        marks = {ROW: str(header.width), KEPT_OUT: str(header.width + 1)}
        for frame in _frames(odd.finish(), _columns(header) | marks, header.width + 2):
            yield tidy(frame.drop(marks), frame[ROW].cast(pl.Int32), frame[KEPT_OUT] == "1")
        _judge_end(text, header, odd, found)


def _columns(header: Header, text: Text | None = None) -> dict[str, str]:
    """The columns of a file that are read, by name: their positions, which are Arrow's names for them.

    If the `text` has invalid characters, they include the columns that are not needed, to check them.
    """
    columns = {name: str(position) for name, position in header.positions.items()}
    if header.blank_behind:
        columns |= {f"{BEHIND}{n}": str(n) for n in range(header.named, header.width)}
    if text is not None and (text.line_breaks or text.nul or text.broken_characters):
        read = set(columns.values())
        columns |= {f"{UNREAD}{n}": str(n) for n in range(header.width) if str(n) not in read}
    return columns


def _frames(
    stream: IO[bytes],
    columns: Mapping[str, str],
    width: int,
    skip_lines: int = 0,
    odd: OddRows | None = None,
    *,
    newlines: bool = True,
) -> Iterator[pl.DataFrame]:
    """Yield the `columns` of a stream after `skip_lines`. `odd` takes the rows that have another `width`; `newlines`
    says whether a value may have a line break."""
    if not stream.read(1):  # which Arrow refuses
        return
    stream.seek(-1, io.SEEK_CUR)
    fields = sorted(set(columns.values()), key=int)
    names = [str(n) for n in range(width)]
    reader = arrow_csv.open_csv(
        stream,
        read_options=arrow_csv.ReadOptions(
            column_names=names, skip_rows=skip_lines, block_size=BLOCK_BYTES, use_threads=False
        ),
        parse_options=arrow_csv.ParseOptions(
            newlines_in_values=newlines, ignore_empty_lines=False, invalid_row_handler=odd
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(fields, pa.string()), include_columns=fields, strings_can_be_null=False
        ),
    )
    for batch in reader:
        frame = pl.DataFrame(pl.from_arrow(batch))
        yield frame.select(pl.col(field).alias(name) for name, field in columns.items())


def _judge_end(text: Text, header: Header, odd: OddRows, found: FileFindings) -> None:
    """Check a last line that does not end."""
    if text.last_line_ends:
        return
    last = [odd.last_place]
    if odd.ends_in_error:  # it is unknown how many rows are missing: the set needs review
        text.is_cut_off = True
        message = "The file ends inside a row: it was cut off, and nobody can tell how much is missing. Send it whole."
        found.find("cut_off", "error", message, last)
    elif column := _last_column(text, header, found.file):
        message = "The last line does not end. If the file was cut off there, its last value is not whole. "
        found.find("last_line_end", "warning", f"{message}End every line with CR LF.", last, column=column.name)


def _last_column(text: Text, header: Header, file: File) -> Column | None:
    """The column in which the last line ends, if it is read. A file that was cut off in or right before its last value
    looks complete, except for the line end."""
    with text.open() as stream:
        stream.seek(max(text.skip_bytes, stream.seek(0, io.SEEK_END) - LAST_LINE_BYTES))
        lines = stream.read().decode("utf-8", "replace").splitlines()
    fields = next(csv.reader(lines[-1:]), [])
    ends = (column for column in file.columns if header.positions.get(column.name) == len(fields) - 1)
    return next(ends, None)


class _Tidy:
    """Makes values of a file's fields, and marks the rows that are rejected."""

    def __init__(self, text: Text, header: Header, found: FileFindings) -> None:
        self._text = text
        self._find = found.find
        self._unclosed = pl.Series(text.unclosed, dtype=pl.Int32)
        self._compared = [
            column.name for column in found.file.columns if column.name in header.positions and not column.is_free_text
        ]

    def __call__(self, frame: pl.DataFrame, places: pl.Series, wrong: pl.Series | None = None) -> pl.DataFrame:
        """Values without surrounding spaces, with empty ones as null, and without blank rows."""
        stripped = frame.with_columns(pl.all().str.strip_chars())
        tidied = stripped.with_columns(pl.when(pl.all() != "").then(pl.all()))
        kept_out = pl.repeat(False, frame.height, eager=True) if wrong is None else wrong
        self._judge_spaces(frame, tidied, places)
        if behind := [name for name in frame.columns if name.startswith(BEHIND)]:
            is_shifted = tidied.select(pl.any_horizontal(pl.col(behind).is_not_null())).to_series()
            self._find("field_count", "error", FIELD_COUNT, places.filter(is_shifted))
            kept_out = kept_out | is_shifted
            tidied = tidied.drop(behind).with_columns(pl.when(~is_shifted).then(pl.all()))
        if len(self._unclosed):
            kept_out = kept_out | places.is_in(self._unclosed.implode())
        read = [name for name in tidied.columns if not name.startswith(UNREAD)]
        tidied = tidied.with_columns(places, kept_out.alias(KEPT_OUT))
        is_blank = pl.all_horizontal(pl.col(read).is_null())
        if kept_out.any():
            self._text.unnamed.extend(tidied.filter(is_blank & pl.col(KEPT_OUT))[ROW].to_list())
        return self._marked(tidied.filter(~is_blank), read)

    def _judge_spaces(self, frame: pl.DataFrame, tidied: pl.DataFrame, places: pl.Series) -> None:
        """Find spaces around a value that is compared with others: they are part of it by RFC 4180."""
        for name in self._compared:
            given, taken = frame[name], tidied[name]
            if given.str.len_bytes().sum() != taken.str.len_bytes().sum():
                message = f"{name} has spaces around it; they were left out."
                where = places.filter((given != taken).fill_null(False))
                self._find("value_spaces", "warning", message, where, column=name)

    def _marked(self, frame: pl.DataFrame, read: list[str]) -> pl.DataFrame:
        """Mark rows with invalid characters, and make a finding of rows with a line break in a value."""
        unread = [name for name in frame.columns if name.startswith(UNREAD)]
        if self._text.broken_characters:
            message = "The row holds bytes that are no character. Save the file as UTF-8."
            frame = self._mark("not_utf8", message, frame, BROKEN, read, unread)
        if self._text.nul:
            message = "The row holds a NUL character. Export the file again."
            frame = self._mark("nul", message, frame, r"\x00", read, unread)
        if self._text.line_breaks:
            message = "A value of the row holds a line break. It was kept; write values in one line."
            broken = _contains(frame, [*read, *unread], r"[\r\n]") & ~frame[KEPT_OUT]
            self._find("line_break", "warning", message, frame[ROW].filter(broken))
        return frame.select(*read, ROW, KEPT_OUT)

    def _mark(
        self, code: str, message: str, frame: pl.DataFrame, pattern: str, read: list[str], unread: list[str]
    ) -> pl.DataFrame:
        """Reject rows with a character in a column that is read; in other columns it is harmless."""
        broken = _contains(frame, read, pattern) & ~frame[KEPT_OUT]
        self._find(code, "error", message, frame[ROW].filter(broken))
        frame = frame.with_columns(frame[KEPT_OUT] | broken)
        harmless = _contains(frame, unread, pattern) & ~frame[KEPT_OUT]
        self._find(code, "warning", f"{message} It is not in a value that counts.", frame[ROW].filter(harmless))
        return frame


def _contains(frame: pl.DataFrame, names: list[str], pattern: str) -> pl.Series:
    if not names:
        return pl.repeat(False, frame.height, eager=True)
    found = pl.any_horizontal(pl.col(names).str.contains(pattern).fill_null(False))
    return frame.select(found).to_series()
