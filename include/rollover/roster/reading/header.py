"""Finds the columns of a format in the header of a file, and checks the header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from rollover.roster.findings import Findings
from rollover.roster.formats.spec import STATUS, File, Format, same_header
from rollover.roster.reading.lexer import ROWS_LOOKED_AT
from rollover.roster.reading.of_file import FileFindings
from rollover.roster.reading.text import Text

HEADER_BYTES = 2**20
ENCODINGS = {"utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "cp1252": "Windows-1252"}
NEVER_ASKED_FOR = ("password",)
"""Columns of a format that nobody should send."""
SHOWN_HEADERS = 10
HEADER_LENGTH = 40
"""How many unknown headers a message names, and how many characters of each."""
CERTAIN_HEADERS = 3
"""A line with so many names of the format is a header, not a person's row."""
NEAR = 0.8
"""How similar two headers must be (1: equal) for one to be suggested."""
FIELDS_BEHIND = "There are blank fields behind the last column; they were left out."


@dataclass(frozen=True)
class Header:
    """The header of a file: the position of each column of the format."""

    positions: Mapping[str, int]
    width: int
    """How many fields the rows have."""
    named: int
    """How many of these fields the header names."""
    blank_behind: bool
    """Whether the fields after these are blank; else the header leaves the name of a column blank."""
    row: int
    """The line of the header: blank lines may come before it."""
    lines: int
    """How many lines of the file the header ends with."""
    is_alone: bool
    """Whether no row follows it."""


def read_header(
    text: Text,
    file: File,
    spec: Format,
    column_map: Mapping[str, str],
    findings: Findings,
    *,
    delta: bool = False,
) -> Header | None:
    """Read and judge the header; None if the file, or the `delta`, cannot be used.

    `column_map` gives the header that the district uses for a column of the format.
    """
    found = FileFindings(findings, file)
    _judge_text(text, found)
    start, ends = _first_rows(text)
    place = next((n for n, row in enumerate(start) if any(name.strip() for name in row)), None)
    if place is None:
        message = "The file is empty, and an empty file never means that everything is deleted. Send it with its rows."
        found.unusable("empty_file", message, row=1)
        return None
    names = [name.strip() for name in start[place]]
    named = max(n + 1 for n, name in enumerate(names) if name)
    usual = _usual_width(start[place + 1 :], named, len(names))
    width = usual or len(names)
    if width > len(names):
        found.find("fields_behind", "warning", FIELDS_BEHIND, [place + 1])
    if named < len(names) or "" in names[:named]:
        found.find("column_blank", "warning", "A column has no name. Leave it out.", [place + 1])
    columns = _Columns(names, spec, column_map, found, row=place + 1)
    if not columns.are_usable(delta=delta):
        return None
    return Header(columns.positions, width, named, usual is not None, place + 1, ends[place], len(start) == place + 1)


def _judge_text(text: Text, found: FileFindings) -> None:
    if text.encoding != "utf-8":
        found.find("encoding", "warning", encoding_message(text))
    if text.cr_only:
        message = "Lines end with a carriage return only; they were read so. End them with CR LF."
        found.find("line_ends", "warning", message)
    message = "A quote in the row is never closed. Close it, or double a quote that is part of a value."
    found.find("open_quote", "error", message, text.unclosed)
    message = "The row is longer than any of a roster, or the file was damaged on the way. Export it again."
    found.find("row_too_long", "error", message, text.too_long)


def encoding_message(text: Text) -> str:
    return f"The file is written in {ENCODINGS[text.encoding]}; it was read so. Save it as UTF-8."


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
            if len(rows) > ROWS_LOOKED_AT:
                break
    except csv.Error:  # a value longer than any in a roster; the rows so far are enough
        pass
    return rows, ends


def _usual_width(rows: Iterable[Sequence[str]], named: int, header: int) -> int | None:
    """The number of fields of most rows that have no more values than the header has names; None if there is no such
    row.

    Rows may lack the columns whose header is blank, or have blank fields after the last column.
    """
    filled = [row for row in rows if any(value.strip() for value in row)]
    widths = [len(row) for row in filled if len(row) >= named and not any(value.strip() for value in row[named:])]
    usual = max(sorted(set(widths), reverse=True), key=widths.count, default=None)
    is_header = usual is None or usual <= header or 2 * widths.count(usual) > max(len(filled), 2)
    return usual if is_header else header


class _Columns:
    """The positions of a format's columns in a header."""

    def __init__(
        self, names: list[str], spec: Format, column_map: Mapping[str, str], found: FileFindings, *, row: int
    ) -> None:
        self._names = names
        self._file = file = found.file
        self._spec = spec
        self._map = column_map
        self._found = found
        self._row = row
        self._twice: list[str] = []
        self.positions = {c.name: place for c in file.columns if (place := self._place(c.name, c.aliases)) is not None}
        ignored = {name: place for name in file.ignored if (place := self._place(name, (), read=False)) is not None}
        self._known = {**self.positions, **ignored}

    def are_usable(self, *, delta: bool) -> bool:
        """Check the header; returns whether it has every required column."""
        if self._twice:
            for name in self._twice:
                message = f"The column {self._expected(name)} is there twice. Keep one."
                self._found.unusable("column_twice", message, column=name, row=self._row)
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
        """The position of a column: by its exact name, by another known name, or by a similar one."""
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
        """Unknown headers, each with the missing column that it may stand for.

        Empty if the line may be a person's row and not a header.
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
                self._found.unusable("column_missing", message, column=name, row=self._row)
                usable = False
            elif self._spec.fixed_order or (column and column.required):
                outcome = "What is known of it stays. " if column and column.fills else ""
                message = f"The column {header} is missing. {outcome}Write the header of every column."
                self._warn("column_missing", message, name)
        return usable

    def _warn(self, code: str, message: str, column: str | None = None) -> None:
        self._found.find(code, "warning", message, [self._row], column=column)


def _are_similar(given: str, header: str) -> bool:
    return same_header(given) == same_header(header) != ""
