"""Make a report's file: whole or not at all, read back, with its receipt."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, BinaryIO, cast

from psycopg import sql
from sqlalchemy import Connection
from upath import UPath

from rollover.database.session import driver_of
from rollover.errors import ProofFailed
from rollover.exports.definitions import Report
from rollover.storage import read_back, whole_file

TEXT_OIDS = (25, 1042, 1043)  # text, char, varchar
MAX_XLSX_ROWS = 1_048_575
NO_CLOCK = datetime(2000, 1, 1, tzinfo=UTC)
"""When every sheet was made, as it says itself: the same rows are the same bytes, whenever they are exported."""


@dataclass(frozen=True)
class Receipt:
    """What was written: `rows` without the header, `bytes` and SHA-256 of the file as read back."""

    report: str
    path: str
    rows: int
    bytes: int
    sha256: str


def write_report(connection: Connection, report: Report, parameters: dict[str, Any], target: UPath) -> Receipt:
    """Write a report to `target`; a file of that name is replaced when the new one is complete.

    Raises ProofFailed where the file, read back, has not as many rows as the database.
    """
    with whole_file(target) as stream:
        write = _write_csv if report.format == "csv" else _write_xlsx
        write(connection, report, parameters, stream)
    rows, expected = _rows_in(target, report), count_rows(connection, report, parameters)
    if rows != expected:
        raise ProofFailed(f"{target} has {rows} rows, the database {expected}.", "clear this task.")
    digest, size = read_back(target)
    return Receipt(report.name, str(target), rows, size, digest)


def count_rows(connection: Connection, report: Report, parameters: dict[str, Any]) -> int:
    """How many rows a report would have."""
    with driver_of(connection).cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({report.query}) q".encode(), parameters)  # noqa: S608
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _rows_in(target: UPath, report: Report) -> int:
    """The rows below the header, as a reader of the format sees them."""
    if report.format == "csv":
        with target.open("r", encoding="utf-8", newline="") as stream:
            return sum(1 for _ in csv.reader(stream)) - 1
    from openpyxl import load_workbook

    with target.open("rb") as stream:
        sheet = load_workbook(stream, read_only=True).worksheets[0]
        return sum(1 for _ in sheet.iter_rows(values_only=True)) - 1


def _write_csv(connection: Connection, report: Report, parameters: dict[str, Any], stream: IO[bytes]) -> None:
    cursor = driver_of(connection).cursor()
    query = sql.SQL("COPY ({}) TO STDOUT WITH (FORMAT csv, HEADER, ENCODING 'UTF8')")
    with cursor, cursor.copy(query.format(_defused(connection, report, parameters)), parameters) as copy:
        for chunk in copy:
            stream.write(chunk)


def _write_xlsx(connection: Connection, report: Report, parameters: dict[str, Any], stream: IO[bytes]) -> None:
    """One sheet with real types and a frozen header, one row per student."""
    import pandas as pd  # most of a second, and only this format needs it

    with driver_of(connection).cursor() as cursor:
        cursor.execute(_defused(connection, report, parameters), parameters)
        columns = [column.name for column in cursor.description or ()]
        frame = pd.DataFrame(cursor.fetchall(), columns=columns)
    if len(frame) > MAX_XLSX_ROWS:
        raise ProofFailed(f"{report.title} has {len(frame)} rows, more than a sheet holds.", "split the district.")
    with pd.ExcelWriter(
        cast(BinaryIO, stream), engine="xlsxwriter", engine_kwargs={"options": {"strings_to_formulas": False}}
    ) as book:
        frame.to_excel(book, sheet_name=report.title, index=False, freeze_panes=(1, 0))
        book.sheets[report.title].autofit()
        book.book.set_properties({"created": NO_CLOCK})


def _defused(connection: Connection, report: Report, parameters: dict[str, Any]) -> sql.Composed:
    """The report's query; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    query = sql.SQL(report.query)
    with driver_of(connection).cursor() as cursor:
        cursor.execute(sql.SQL("SELECT * FROM ({}) q LIMIT 0").format(query), parameters)
        described = cursor.description or ()
    cells = [
        sql.SQL(r"CASE WHEN q.{0} ~ '^[=+\-@\t\r]' THEN '''' || q.{0} ELSE q.{0} END AS {0}").format(
            sql.Identifier(column.name)
        )
        if column.type_code in TEXT_OIDS
        else sql.SQL("q.{}").format(sql.Identifier(column.name))
        for column in described
    ]
    return sql.SQL("SELECT {} FROM ({}) q").format(sql.SQL(", ").join(cells), query)
