"""Writes a report as CSV. PostgreSQL's COPY makes the lines, so memory stays flat whatever the size."""

from __future__ import annotations

import codecs
from typing import IO

import pyarrow as pa
import pyarrow.csv as pacsv
from psycopg import sql
from sqlalchemy import Connection
from upath import UPath

from rollover.database.copying import CopyOut
from rollover.exports.report import Kind, Report, Scope
from rollover.exports.rows import planned_for_all_rows
from rollover.sheet import defused_sql


def write(connection: Connection, report: Report, scope: Scope, stream: IO[bytes]) -> int:
    """Write the report to `stream`, in UTF-8 with a byte order mark for Excel; return PostgreSQL's count of rows."""
    stream.write(codecs.BOM_UTF8)
    query = f"COPY ({_defused(report)}) TO STDOUT WITH (FORMAT csv, HEADER, ENCODING 'UTF8')"
    with planned_for_all_rows(connection):
        copy = CopyOut(connection, query, scope.parameters)
        for batch in copy:
            stream.write(batch.rows)
        return copy.count


def rows_in(target: UPath, report: Report) -> int:
    """Count the rows below the header, as a reader of CSV does."""
    return rows_below(target, next(iter(report.columns)))


def rows_below(target: UPath, first: str) -> int:
    """Count the rows below the header of a CSV file of ours, by the name of its first column."""
    convert = pacsv.ConvertOptions(include_columns=[first], column_types={first: pa.string()})
    with target.open("rb") as stream:
        parse = pacsv.ParseOptions(newlines_in_values=True)
        return sum(len(batch) for batch in pacsv.open_csv(stream, parse_options=parse, convert_options=convert))


def _defused(report: Report) -> str:
    """Return the report's query, with an apostrophe before text that a spreadsheet would run as a formula."""
    names = {name: sql.Identifier(name).as_string() for name in report.columns}
    cells = (
        f"{defused_sql(f'q.{names[name]}') if kind is Kind.TEXT else f'q.{names[name]}'} AS {names[name]}"
        for name, kind in report.columns.items()
    )
    return f"SELECT {', '.join(cells)} FROM ({report.query}) q"  # noqa: S608
