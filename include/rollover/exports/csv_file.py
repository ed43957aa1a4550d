"""A report as CSV, straight from PostgreSQL: COPY writes it, so memory stays flat whatever its size."""

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
    """Write the report to `stream`, UTF-8 with the mark by which Excel knows it; returns PostgreSQL's count of rows."""
    stream.write(codecs.BOM_UTF8)
    query = f"COPY ({_defused(report)}) TO STDOUT WITH (FORMAT csv, HEADER, ENCODING 'UTF8')"
    with planned_for_all_rows(connection):
        copy = CopyOut(connection, query, scope.parameters)
        for batch in copy:
            stream.write(batch.rows)
        return copy.count


def rows_in(target: UPath, report: Report) -> int:
    """The rows below the header, as a reader of CSV counts them."""
    return rows_below(target, next(iter(report.columns)))


def rows_below(target: UPath, first: str) -> int:
    """The rows below the header of any CSV file of ours, by the name of its first column."""
    convert = pacsv.ConvertOptions(include_columns=[first], column_types={first: pa.string()})
    with target.open("rb") as stream:
        parse = pacsv.ParseOptions(newlines_in_values=True)
        return sum(len(batch) for batch in pacsv.open_csv(stream, parse_options=parse, convert_options=convert))


def _defused(report: Report) -> str:
    """The report's query; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    names = {name: sql.Identifier(name).as_string() for name in report.columns}
    cells = (
        f"{defused_sql(f'q.{names[name]}') if kind is Kind.TEXT else f'q.{names[name]}'} AS {names[name]}"
        for name, kind in report.columns.items()
    )
    return f"SELECT {', '.join(cells)} FROM ({report.query}) q"  # noqa: S608
