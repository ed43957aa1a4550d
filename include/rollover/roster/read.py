"""Read a CSV file of a set in batches of columns, each row with its place in the file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv
from upath import UPath

from rollover.roster.findings import Findings
from rollover.roster.model import File

ROW = "row"
BLOCK_BYTES = 8 * 2**20
HEADER_BYTES = 2**16
BOM = b"\xef\xbb\xbf"
FIRST_DATA_ROW = 2
OWN_COLUMN = "metadata."
BROKEN_OFF = frozenset({"not_utf8", "not_csv"})
"""The codes of findings after which nothing more of a file is read."""


@dataclass(frozen=True)
class Header:
    """The first line of a file: where each column of the format stands."""

    width: int
    positions: dict[str, int] = field(default_factory=dict)


def read_header(path: UPath, file: File, findings: Findings) -> Header | None:
    """Read and judge the header; None where the file cannot be read any further."""
    with path.open("rb") as stream:
        start = stream.read(HEADER_BYTES).removeprefix(BOM)
    line = re.split(rb"\r\n|\r|\n", start, maxsplit=1)[0]
    names = [name.strip() for name in next(csv.reader([line.decode("utf-8", errors="replace")]), [])]
    if not any(names):
        findings.add("empty_file", "error", file.name, "The file is empty. Send it with its header and rows.", rows=[1])
        return None
    return _place(names, file, findings)


def _place(names: list[str], file: File, findings: Findings) -> Header | None:
    known = {name.lower(): name for name in file.header}
    positions: dict[str, int] = {}
    unknown = 0
    for position, given in enumerate(names):
        name = known.get(given.lower())
        if name is None:
            unknown += given != "" and not given.startswith(OWN_COLUMN)
        elif name in positions:
            message = "The column is there twice. Keep one."
            findings.add("column_twice", "error", file.name, message, column=name, rows=[1])
            return None
        else:
            positions[name] = position
            if name != given:
                message = f"The column is not spelled {name}. Headers are case-sensitive."
                findings.add("column_spelling", "warning", file.name, message, column=name, rows=[1])
    if unknown:
        message = f"{unknown} columns are not of OneRoster 1.1 and are left out. Name your own ones metadata.*."
        findings.add("column_unknown", "warning", file.name, message, rows=[1])
    # Also a column whose values are optional: without it every value would look as if the district had cleared it.
    missing = [c.name for c in file.columns if c.name not in positions]
    for name in missing:
        message = (
            f"The column {name} is missing. A OneRoster 1.1 file has every column in its header, also one without "
            "values. Export the file with it."
        )
        findings.add("column_missing", "error", file.name, message, column=name, rows=[1])
    return None if missing else Header(len(names), positions)


def batches(path: UPath, file: File, header: Header, findings: Findings) -> Iterator[pl.DataFrame]:
    """The rows of a file in batches: the format's columns as text, and ``row``, the place in the file.

    Only the columns that `file` lists are read, and ``status``. Values come without surrounding spaces, an
    empty one as null. Rows with too few or too many fields are findings and left out; so is every row from
    the first byte on that is not UTF-8. Empty lines are passed over.
    """
    skipped: list[int] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        skipped.append(row.number)
        return "skip"

    wanted = [name for name in ("status", *(c.name for c in file.columns)) if name in header.positions]
    fields = [str(header.positions[name]) for name in wanted]
    kept = 0
    with path.open("rb") as stream:
        try:
            for batch in _reader(stream, header.width, fields, skip):
                frame = pl.DataFrame(pl.from_arrow(batch)).rename(dict(zip(fields, wanted, strict=True)))
                rows = _places(kept, frame.height, skipped)
                kept += frame.height
                yield (
                    _tidied(frame)
                    .with_columns(pl.Series(ROW, rows, dtype=pl.Int32))
                    .filter(~pl.all_horizontal(pl.col(wanted).is_null()))
                )
        except pa.ArrowInvalid as error:
            # The library's message may quote the file: neither shown nor chained.
            _unreadable(path, file, findings, utf8="UTF8" in str(error))
    message = f"The row does not have {header.width} fields like the header. Quote values that hold a comma."
    findings.add("field_count", "error", file.name, message, rows=skipped)


def _reader(stream: IO[bytes], width: int, fields: list[str], skip: object) -> arrow_csv.CSVStreamingReader:
    return arrow_csv.open_csv(
        stream,
        read_options=arrow_csv.ReadOptions(
            column_names=[str(n) for n in range(width)], skip_rows=1, block_size=BLOCK_BYTES, use_threads=False
        ),
        parse_options=arrow_csv.ParseOptions(
            newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(fields, pa.large_string()), include_columns=fields, strings_can_be_null=False
        ),
    )


def _places(kept: int, count: int, skipped: list[int]) -> np.ndarray:
    """The places in the file of rows number `kept` and following of those that were not skipped."""
    places = np.arange(kept, kept + count) + FIRST_DATA_ROW
    # Skipped row number k (in order) pushes every kept row on that would stand at or after it.
    thresholds = np.array(skipped) - np.arange(len(skipped))
    return places + np.searchsorted(thresholds, places, side="right")


def _tidied(frame: pl.DataFrame) -> pl.DataFrame:
    text = pl.all().str.strip_chars()
    return frame.with_columns(pl.when(text != "").then(text))


def _unreadable(path: UPath, file: File, findings: Findings, *, utf8: bool) -> None:
    if not utf8:
        message = "The file is not CSV as RFC 4180 has it. Export it anew."
        findings.add("not_csv", "error", file.name, message)
        return
    message = "The row holds characters that are not UTF-8. Save the file as UTF-8."
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                findings.add("not_utf8", "error", file.name, message, rows=[number])
                return
