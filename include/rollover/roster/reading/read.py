"""Read a CSV file of a set in batches of columns, each row with its place in the file."""

from __future__ import annotations

import csv
import io
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import IO, Any

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from rollover.roster.findings import KEPT_PER_CODE, Findings
from rollover.roster.formats.spec import STATUS, Column, File, Format, Kind, same_header
from rollover.roster.reading import shifted
from rollover.roster.reading.columns import KEPT_OUT, ROW
from rollover.roster.reading.text import BROKEN, Text
from rollover.storage import TEMPORARY

BLOCK_BYTES = 8 * 2**20
HEADER_BYTES = 2**20
LAST_LINE_BYTES = 2**16
LOOK_AT_ROWS = 100
"""How many rows are looked at to tell how many fields a row of the file has."""
ENCODINGS = {"utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "cp1252": "Windows-1252"}
NEVER_ASKED_FOR = ("password",)
"""Columns of a format that nobody should send."""
SHOWN_HEADERS = 10
HEADER_LENGTH = 40
"""How many unknown headers a message names, and how much of each."""
CERTAIN_HEADERS = 3
"""So many names of the format in one line: it is a header, not a person's row."""
NEAR = 0.8
"""How alike two headers are, of 1, for one to be suggested."""
NOT_CSV = "not_csv"
FIELD_COUNT = "The row does not have as many fields as the header has names. Quote values that hold a comma."
UNREAD = "unread "
"""How the names of columns begin that are only looked at."""
BEHIND = "behind "
"""The same of those in which no row should have a value."""


@dataclass(frozen=True)
class Header:
    """The first line of a file: where each column of the format stands."""

    positions: Mapping[str, int]
    width: int
    """How many fields the rows have."""
    named: int
    """How many of them the header names."""
    blank_behind: bool
    """Whether the fields behind these are blank; else they are a column that the header leaves blank."""
    row: int
    """The header's own place: blank lines may come before it."""
    lines: int
    """How many lines of the file the header ends with."""
    is_alone: bool
    """Nothing follows it."""


def read_header(
    text: Text,
    file: File,
    spec: Format,
    column_map: Mapping[str, str],
    findings: Findings,
    *,
    delta: bool = False,
) -> Header | None:
    """Read and judge the header; None where the file, or the `delta`, cannot be used.

    `column_map` says under which header the district sends a column of the format.
    """
    _judge_text(text, file, findings)
    start, ends = _first_rows(text)
    place = next((n for n, row in enumerate(start) if any(name.strip() for name in row)), None)
    if place is None:
        message = "The file is empty, and an empty file never means that everything is deleted. Send it with its rows."
        _unusable(findings, file, "empty_file", message, row=1)
        return None
    names = [name.strip() for name in start[place]]
    named = max(n + 1 for n, name in enumerate(names) if name)
    usual = _usual_width(start[place + 1 :], named, len(names))
    width = usual or len(names)
    if width > len(names):
        _fields_behind(findings, file, [place + 1])
    if named < len(names) or "" in names[:named]:
        findings.add("column_blank", "warning", file.name, "A column has no name. Leave it out.", rows=[place + 1])
    columns = _Columns(names, file, spec, column_map, findings, row=place + 1)
    if not columns.are_usable(delta=delta):
        return None
    return Header(columns.positions, width, named, usual is not None, place + 1, ends[place], len(start) == place + 1)


def _usual_width(rows: Iterable[Sequence[str]], named: int, header: int) -> int | None:
    """How many fields the rows have that hold no more values than the header has names; None where none is so.

    Where most of them leave out what the header leaves blank, or go on behind it, that is how the file is.
    """
    filled = [row for row in rows if any(value.strip() for value in row)]
    widths = [len(row) for row in filled if len(row) >= named and not any(value.strip() for value in row[named:])]
    usual = max(sorted(set(widths), reverse=True), key=widths.count, default=None)
    is_header = usual is None or usual <= header or 2 * widths.count(usual) > max(len(filled), 2)
    return usual if is_header else header


def _fields_behind(findings: Findings, file: File, rows: Sequence[int], count: int | None = None) -> None:
    message = "There are blank fields behind the last column; they were left out."
    findings.add("fields_behind", "warning", file.name, message, rows=rows, count=count)


def _judge_text(text: Text, file: File, findings: Findings) -> None:
    if text.encoding != "utf-8":
        word = ENCODINGS[text.encoding]
        message = f"The file is written in {word}; it was read so. Save it as UTF-8."
        findings.add("encoding", "warning", file.name, message)
    if text.cr_only:
        message = "Lines end with a carriage return only; they were read so. End them with CR LF."
        findings.add("line_ends", "warning", file.name, message)
    message = "A quote in the row is never closed. Close it, or double a quote that is part of a value."
    _add(findings, "open_quote", file, message, text.unclosed)
    message = "The row is longer than any of a roster, or the file was damaged on the way. Export it again."
    _add(findings, "row_too_long", file, message, text.too_long)


def _add(findings: Findings, code: str, file: File, message: str, rows: Sequence[int]) -> None:
    """Add an error for each of `rows`, which may be many."""
    findings.add(code, "error", file.name, message, rows=list(rows[:KEPT_PER_CODE]), count=len(rows))


def _first_rows(text: Text) -> tuple[list[list[str]], list[int]]:
    """The rows at the beginning of a file, and the number of lines up to the end of each."""
    with text.open() as stream:
        start = io.TextIOWrapper(io.BytesIO(stream.read(HEADER_BYTES)), encoding="utf-8", errors="replace", newline="")
    rows: list[list[str]] = []
    ends: list[int] = []
    reader = csv.reader(start)
    try:
        for row in reader:
            rows.append(row)
            ends.append(reader.line_num)
            if len(rows) > LOOK_AT_ROWS:
                break
    except csv.Error:  # a value longer than any in a roster; what was read tells enough
        pass
    return rows, ends


def _unusable(
    findings: Findings, file: File, code: str, message: str, *, column: str | None = None, row: int | None = None
) -> None:
    """A required file that cannot be used refuses the set; another one is left out."""
    if file.required:
        findings.refuse(code, file.name, message, column=column, row=row)
    else:
        findings.add(code, "error", file.name, f"{message} The file was left out.", column=column, rows=[row])


class _Columns:
    """Where the columns of a format stand in a header."""

    def __init__(
        self,
        names: list[str],
        file: File,
        spec: Format,
        column_map: Mapping[str, str],
        findings: Findings,
        *,
        row: int,
    ) -> None:
        self._names = names
        self._file = file
        self._spec = spec
        self._map = column_map
        self._findings = findings
        self._row = row
        self._twice: list[str] = []
        self.positions = {c.name: place for c in file.columns if (place := self._place(c.name, c.aliases)) is not None}
        ignored = {name: place for name in file.ignored if (place := self._place(name, (), read=False)) is not None}
        self._known = {**self.positions, **ignored}

    def are_usable(self, *, delta: bool) -> bool:
        """Judge the header; whether it has all that a row cannot be without."""
        if self._twice:
            for name in self._twice:
                message = f"The column {self._expected(name)} is there twice. Keep one."
                _unusable(self._findings, self._file, "column_twice", message, column=name, row=self._row)
            return False
        for name, place in self.positions.items():
            self._judge_spelling(name, self._names[place])
        self._judge_unknown()
        if self._spec.fixed_order:
            self._judge_order()
        return self._has_all_it_needs(delta=delta)

    def _expected(self, name: str) -> str:
        return self._map.get(name, name)

    def _place(self, name: str, aliases: tuple[str, ...], *, read: bool = True) -> int | None:
        """Where the column stands: under its very name, under another that it has, or under a similar one."""
        headers = (self._expected(name), *(aliases if name not in self._map else ()))
        for same in (lambda given, header: given == header, _are_similar):
            for header in headers:
                places = [place for place, given in enumerate(self._names) if same(given, header)]
                if len(places) > 1 and read:
                    self._twice.append(name)
                if places:
                    return places[0]
        return None

    def _judge_spelling(self, name: str, given: str) -> None:
        expected = self._expected(name)
        aliases = () if self._spec.fixed_order else self._file.column(name).aliases
        if given not in (expected, expected.replace("_", " "), *aliases):
            message = f"The column is not spelled {expected}; it was read as that."
            self._warn("column_spelling", message, name)

    def _judge_unknown(self) -> None:
        known = set(self._known.values())
        unknown = [
            given
            for place, given in enumerate(self._names)
            if given != "" and place not in known and not self._is_own(given)
        ]
        if unknown:
            message = (
                f"{len(unknown)} columns are not of {self._spec.label} and are left out{self._named(unknown)}. "
                f"Name your own ones {self._spec.own_columns}*."
            )
            self._warn("column_unknown", message)

    def _named(self, unknown: list[str]) -> str:
        """Headers that nobody knows, each with the missing column that it may be meant for.

        Nothing where the line may be no header at all, but a person's row.
        """
        if len(self._known) < CERTAIN_HEADERS:
            return ""
        missing = {same_header(name): self._expected(name) for name in self._file.header if name not in self._known}
        shown = []
        for given in unknown[:SHOWN_HEADERS]:
            near = get_close_matches(same_header(given), missing, n=1, cutoff=NEAR)
            name = "".join(sign if sign.isprintable() else " " for sign in given)[:HEADER_LENGTH]
            shown.append(f"{name} (do you mean {missing[near[0]]}?)" if near else name)
        return f": {', '.join(shown)}{' …' if len(unknown) > SHOWN_HEADERS else ''}"

    def _is_own(self, given: str) -> bool:
        return given.lower().startswith(self._spec.own_columns)

    def _judge_order(self) -> None:
        there = [self._known[name] for name in self._file.header if name in self._known]
        own = [place for place, given in enumerate(self._names) if self._is_own(given)]
        if there != sorted(there) or (own and min(own) < max(there, default=0)):
            self._warn("column_order", "The columns are not in the order of the format; they were read by their names.")

    def _has_all_it_needs(self, *, delta: bool) -> bool:
        usable = True
        for name in self._file.header:
            if name in self._known or name in NEVER_ASKED_FOR:
                continue
            column = self._file.column(name) if name not in self._file.ignored else None
            header = self._expected(name)
            needed = column and column.required and column.instead is None
            if needed or (delta and name == STATUS):
                message = f"The column {header} is missing. Export the file with it."
                _unusable(self._findings, self._file, "column_missing", message, column=name, row=self._row)
                usable = False
            elif self._spec.fixed_order or (column and column.required):
                outcome = "What is known of it stays. " if column and column.fills else ""
                message = f"The column {header} is missing. {outcome}Write the header of every column."
                self._warn("column_missing", message, name)
        return usable

    def _warn(self, code: str, message: str, column: str | None = None) -> None:
        self._findings.add(code, "warning", self._file.name, message, column=column, rows=[self._row])


def _are_similar(given: str, header: str) -> bool:
    return same_header(given) == same_header(header) != ""


def batches(
    text: Text, file: File, spec: Format, header: Header, findings: Findings, *, delta: bool = False
) -> Iterator[pl.DataFrame]:
    """The rows of a file in batches: the columns of `file` that it has, as text, ``row``, the place in the file, and
    ``kept_out``.

    Values come without surrounding spaces, an empty one as null. A row with too few or too many fields is a finding
    and kept out, unless what is missing or too much is blank and the rest in its place
    (:mod:`rollover.roster.reading.shifted`); so is a row with a character that is none. Empty lines are passed over.
    Memory holds a batch, whatever the file's size and however many of its rows are odd.
    """
    if header.is_alone:
        return
    tidy = _Tidy(text, file, header, findings)
    layout = shifted.Layout(file, spec, header.positions, header.width, delta)
    with _OddRows(layout, header, text, findings) as odd:
        try:
            with text.open() as stream:
                for frame in _frames(stream, header, skip_lines=header.lines, text=text, odd=odd):
                    yield tidy(frame, odd.places(frame.height))
        except pa.ArrowInvalid:
            # The library's message may quote the file: not shown.
            message = "The file is not CSV as RFC 4180 has it from some row on. Export it again."
            _unusable(findings, file, NOT_CSV, message)
        if odd.failure is not None:
            raise odd.failure
        for frame, rows, wrong in odd.frames():
            yield tidy(frame, rows, wrong)
        odd.report()
        if not text.last_line_ends and odd.ends_in_error:
            _judge_cut_off(text, file, findings, row=odd.last_place)
        elif not text.last_line_ends:
            _judge_last_line(text, file, header, findings, row=odd.last_place)


def _judge_cut_off(text: Text, file: File, findings: Findings, *, row: int) -> None:
    """Nobody knows how many rows are missing: the set waits for a person."""
    text.is_cut_off = True
    message = "The file ends inside a row: it was cut off, and nobody can tell how much is missing. Send it whole."
    findings.add("cut_off", "error", file.name, message, rows=[row])


def _judge_last_line(text: Text, file: File, header: Header, findings: Findings, *, row: int) -> None:
    """A file that was cut off in its last value, or right before it, looks whole but for the line end. That is only
    harmless where the value is not read."""
    with text.open() as stream:
        stream.seek(max(text.skip_bytes, stream.seek(0, io.SEEK_END) - LAST_LINE_BYTES))
        lines = stream.read().decode("utf-8", "replace").splitlines()
    fields = _split(lines[-1]) if lines else []
    ends = [column for column in file.columns if header.positions.get(column.name) == len(fields) - 1]
    if ends:
        message = "The last line does not end. If the file was cut off there, its last value is not whole. "
        message += "End every line with CR LF."
        findings.add("last_line_end", "warning", file.name, message, column=ends[0].name, rows=[row])


def is_told_apart(column: Column) -> bool:
    """Whether a column's values are compared with others, so that every character of them counts."""
    return not column.is_free_text


def _frames(
    stream: IO[bytes], header: Header, *, skip_lines: int = 0, text: Text | None = None, odd: Any = None
) -> Iterator[pl.DataFrame]:
    """The columns that a file has, as they stand there; `odd` takes rows that do not have the header's width.

    Of a `text` with characters that cannot be right, the columns that are not read are there too, to be looked at.
    """
    values = text is None or text.line_breaks
    columns = {name: str(position) for name, position in header.positions.items()}
    if header.blank_behind:
        columns |= {f"{BEHIND}{n}": str(n) for n in range(header.named, header.width)}
    if text is not None and (text.line_breaks or text.nul or text.broken_characters):
        read = set(columns.values())
        columns |= {f"{UNREAD}{n}": str(n) for n in range(header.width) if str(n) not in read}
    fields = sorted(set(columns.values()), key=int)
    reader = arrow_csv.open_csv(
        stream,
        read_options=arrow_csv.ReadOptions(
            column_names=[str(n) for n in range(header.width)],
            skip_rows=skip_lines,
            block_size=BLOCK_BYTES,
            use_threads=False,
        ),
        parse_options=arrow_csv.ParseOptions(
            newlines_in_values=values, ignore_empty_lines=False, invalid_row_handler=odd
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(fields, pa.large_string()), include_columns=fields, strings_can_be_null=False
        ),
    )
    for batch in reader:
        frame = pl.DataFrame(pl.from_arrow(batch))
        yield frame.select(pl.col(field).alias(name) for name, field in columns.items())


class _OddRows:
    """Rows that do not have as many fields as the others. They wait in a file of their own."""

    def __init__(self, layout: shifted.Layout, header: Header, text: Text, findings: Findings) -> None:
        self._layout = layout
        self._file = file = layout.file
        self._header = header
        self._unclosed = text.unclosed
        self._unnamed = text.unnamed
        self._findings = findings
        self._columns = {place: file.column(name) for name, place in header.positions.items()}
        self._doubtful: list[tuple[int, list[str]]] = []
        """Rows with blank fields behind, which wait to be looked at together."""
        self._skipped = array("i")
        """The places of all of them, in order."""
        self._seen = 0
        """How many of them stand before the rows that :meth:`places` was asked for last."""
        self._next = header.row + 1
        self._kept = array("i")
        """The places of those that wait."""
        self._kept_wrong = bytearray()
        """Which of these are in error."""
        self._wrong = array("i")
        self._too_long = array("i")
        self.failure: Exception | None = None

    def __enter__(self) -> _OddRows:
        self._file_waiting: IO[bytes] = tempfile.TemporaryFile(prefix=f"{TEMPORARY}odd-")
        self._waiting = io.TextIOWrapper(self._file_waiting, encoding="utf-8", newline="")
        self._writer = csv.writer(self._waiting, quoting=csv.QUOTE_ALL)
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.close()

    def __call__(self, row: arrow_csv.InvalidRow) -> str:
        """Called by the reader for each of them; every one is taken out of its stream."""
        try:
            self._take(row)
        except Exception as failure:  # the reader would pass over it
            self.failure = self.failure or failure
        return "skip"

    def _take(self, row: arrow_csv.InvalidRow) -> None:
        place = row.number - self._header.lines + self._header.row
        self._skipped.append(place)
        fields = _split(row.text)
        behind = fields[self._header.width :]
        if _holds(self._unclosed, place):
            self._keep_identity(place, fields, aligned=True)
        elif fields and not any(value.strip() for value in fields):
            pass  # a blank line
        elif len(fields) != row.actual_columns or any(value.strip() for value in behind):
            self._put_out(place, fields)
        elif len(fields) == self._header.named:
            self._keep(place, fields + [""] * (self._header.width - len(fields)))
        elif len(fields) > self._header.named:
            self._doubtful.append((place, fields + [""] * (self._header.width - len(fields))))
            if len(self._doubtful) == shifted.AT_ONCE:
                self._judge_doubtful()
        else:
            self._put_out(place, fields)

    def _judge_doubtful(self) -> None:
        """Take rows whose values stand in their own columns; the others are in error."""
        doubtful, self._doubtful = self._doubtful, []
        if not doubtful:
            return
        are_right = shifted.stand_in_their_columns([fields for _, fields in doubtful], self._layout)
        for (place, fields), is_right in zip(doubtful, are_right, strict=True):
            if is_right:
                self._too_long.append(place)
                self._keep(place, fields[: self._header.width])
            else:
                self._put_out(place, fields)

    def _put_out(self, place: int, fields: list[str]) -> None:
        self._wrong.append(place)
        self._keep_identity(place, fields)

    def _keep_identity(self, place: int, fields: list[str], *, aligned: bool = False) -> None:
        """Of a row in error only the identity counts, for what depends on it.

        `aligned` fields stand where they belong; else nobody knows where the defect is.
        """
        if not self._is_named(fields, aligned=aligned):
            self._unnamed.append(place)
        position = self._identity_position()
        if position is None or position >= min(len(fields), self._header.width) or not fields[position].strip():
            return
        only = [""] * self._header.width
        only[position] = fields[position]
        self._keep(place, only, wrong=True)

    def _identity_position(self) -> int | None:
        identity = self._file.identity
        if identity is None or self._file.column(identity).refers_to:
            return None
        return self._header.positions.get(identity)

    def _is_named(self, fields: list[str], *, aligned: bool) -> bool:
        """Whether it is certain who the row is about: the identity is whole, and in its place.

        Nothing but ids, which hold no comma, may stand before it. A row with too few fields may have lost any of them.
        """
        position = self._identity_position()
        if position is None or position >= len(fields) - 1 or not fields[position].strip():
            return False
        ids_only = all((column := self._columns.get(place)) and _is_one_id(column) for place in range(position))
        return aligned or (ids_only and len(fields) > self._header.width)

    def _keep(self, place: int, fields: list[str], *, wrong: bool = False) -> None:
        self._writer.writerow(fields)
        self._kept.append(place)
        self._kept_wrong.append(wrong)

    def places(self, count: int) -> np.ndarray:
        """The places in the file of the next `count` rows of those that were not skipped."""
        # A copy: the reader may go on meanwhile.
        skipped = np.array(self._skipped[self._seen :], dtype=np.int64)
        places = np.arange(self._next, self._next + count) + self._seen
        # Skipped row number k (in order) pushes every kept row on that would stand at or after it.
        places += np.searchsorted(skipped - np.arange(len(skipped)), places, side="right")
        self._next += count
        if count:
            self._seen += int(np.searchsorted(skipped, places[-1]))
        return places

    @property
    def last_place(self) -> int:
        """The place of the last row, once all are read."""
        return max(self._next - 1 + len(self._skipped), self._header.row)

    @property
    def ends_in_error(self) -> bool:
        """Whether the last row has too few fields, or a quote that is never closed."""
        last = self.last_place
        return _holds(self._unclosed, last) or last in self._wrong

    def frames(self) -> Iterator[tuple[pl.DataFrame, np.ndarray, pl.Series]]:
        """The odd rows with their places, and which of them are in error."""
        self._judge_doubtful()
        if not self._kept:
            return
        self._waiting.seek(0)
        self._file_waiting.seek(0)
        done = 0
        for frame in _frames(self._file_waiting, self._header):
            these = slice(done, done + frame.height)
            wrong = pl.Series([bool(flag) for flag in self._kept_wrong[these]], dtype=pl.Boolean)
            yield frame, np.array(self._kept[these], dtype=np.int64), wrong
            done += frame.height

    def report(self) -> None:
        _add(self._findings, "field_count", self._file, FIELD_COUNT, sorted(self._wrong))
        _fields_behind(self._findings, self._file, self._too_long[:KEPT_PER_CODE], len(self._too_long))


def _is_one_id(column: Column) -> bool:
    return column.kind is Kind.ID or (column.kind is Kind.TEXT and not column.is_free_text)


def _split(row: str) -> list[str]:
    """The fields of a row; none where it is too long for a roster's."""
    try:
        return next(csv.reader(io.StringIO(row, newline="")), [])
    except csv.Error:
        return []


def _holds(rows: array[int], row: int) -> bool:
    place = bisect_left(rows, row)
    return place < len(rows) and rows[place] == row


class _Tidy:
    """Makes values of what a file's fields hold, and marks the rows that cannot be taken."""

    def __init__(self, text: Text, file: File, header: Header, findings: Findings) -> None:
        self._text = text
        self._file = file
        self._findings = findings
        self._unclosed = pl.Series(text.unclosed, dtype=pl.Int32)
        self._told_apart = [
            column.name for column in file.columns if column.name in header.positions and is_told_apart(column)
        ]

    def __call__(self, frame: pl.DataFrame, rows: np.ndarray, wrong: pl.Series | None = None) -> pl.DataFrame:
        """Values without surrounding spaces, empty ones null; without rows that hold no value."""
        stripped = pl.all().str.strip_chars()
        tidied = frame.with_columns(pl.when(stripped != "").then(stripped))
        kept_out = pl.repeat(False, frame.height, eager=True) if wrong is None else wrong
        places = pl.Series(ROW, rows, dtype=pl.Int32)
        self._judge_spaces(frame, tidied, rows)
        if behind := [name for name in frame.columns if name.startswith(BEHIND)]:
            is_shifted = tidied.select(pl.any_horizontal(pl.col(behind).is_not_null())).to_series()
            self._report("field_count", "error", FIELD_COUNT, places.filter(is_shifted))
            kept_out = kept_out | is_shifted
            frame, tidied = frame.drop(behind), tidied.drop(behind).with_columns(pl.when(~is_shifted).then(pl.all()))
        if len(self._unclosed):
            kept_out = kept_out | places.is_in(self._unclosed.implode())
        read = [name for name in frame.columns if not name.startswith(UNREAD)]
        tidied = tidied.with_columns(places, kept_out.alias(KEPT_OUT))
        is_blank = pl.all_horizontal(pl.col(read).is_null())
        if kept_out.any():
            self._text.unnamed.extend(tidied.filter(is_blank & pl.col(KEPT_OUT))[ROW].to_list())
        return self._marked(tidied.filter(~is_blank), read)

    def _judge_spaces(self, frame: pl.DataFrame, tidied: pl.DataFrame, rows: np.ndarray) -> None:
        """Spaces around a value that is compared with others: they are part of it by RFC 4180."""
        for name in self._told_apart:
            given, taken = frame[name], tidied[name]
            if given.str.len_bytes().sum() != taken.str.len_bytes().sum():
                message = f"{name} has spaces around it; they were left out."
                places = pl.Series(rows).filter((given != taken).fill_null(False))
                self._report("value_spaces", "warning", message, places, column=name)

    def _marked(self, frame: pl.DataFrame, read: list[str]) -> pl.DataFrame:
        """Mark rows whose characters cannot be right, and name those with a line break in a value."""
        unread = [name for name in frame.columns if name.startswith(UNREAD)]
        if self._text.broken_characters:
            message = "The row holds bytes that are no character. Save the file as UTF-8."
            frame = self._mark("not_utf8", message, frame, BROKEN, read, unread)
        if self._text.nul:
            frame = self._mark(
                "nul", "The row holds a NUL character. Export the file again.", frame, r"\x00", read, unread
            )
        if self._text.line_breaks:
            message = "A value of the row holds a line break. It was kept; write values in one line."
            broken = _contains(frame, [*read, *unread], r"[\r\n]") & ~frame[KEPT_OUT]
            self._report("line_break", "warning", message, frame[ROW].filter(broken))
        return frame.select(*read, ROW, KEPT_OUT)

    def _mark(
        self, code: str, message: str, frame: pl.DataFrame, pattern: str, read: list[str], unread: list[str]
    ) -> pl.DataFrame:
        """Keep rows out in which a character stands in a column that is read; in another it is harmless."""
        broken = _contains(frame, read, pattern) & ~frame[KEPT_OUT]
        self._report(code, "error", message, frame[ROW].filter(broken))
        frame = frame.with_columns(frame[KEPT_OUT] | broken)
        harmless = _contains(frame, unread, pattern) & ~frame[KEPT_OUT]
        self._report(code, "warning", f"{message} It is not in a value that counts.", frame[ROW].filter(harmless))
        return frame

    def _report(self, code: str, severity: Any, message: str, rows: pl.Series, *, column: str | None = None) -> None:
        if rows.is_empty():
            return
        first = rows.head(KEPT_PER_CODE).to_list()
        self._findings.add(code, severity, self._file.name, message, column=column, rows=first, count=len(rows))


def _contains(frame: pl.DataFrame, names: list[str], pattern: str) -> pl.Series:
    if not names:
        return pl.repeat(False, frame.height, eager=True)
    found = pl.any_horizontal(pl.col(names).str.contains(pattern).fill_null(False))
    return frame.select(found).to_series()
