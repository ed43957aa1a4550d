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

FORMULA_SIGNS = "=+-@\t\r"
"""With one of these in front, a spreadsheet runs a text as a formula."""


def write(connection: Connection, report: Report, scope: Scope, stream: IO[bytes]) -> int:
    """Write the report to `stream`, UTF-8 with the mark by which Excel knows it; returns PostgreSQL's count of rows."""
    stream.write(codecs.BOM_UTF8)
    query = sql.SQL("COPY ({}) TO STDOUT WITH (FORMAT csv, HEADER, ENCODING 'UTF8')").format(_defused(report))
    with planned_for_all_rows(connection):
        copy = CopyOut(connection, query, scope.parameters)
        for batch in copy:
            stream.write(batch.rows)
        return copy.count


def rows_in(target: UPath, report: Report) -> int:
    """The rows below the header, as a reader of CSV counts them."""
    first = next(iter(report.columns))
    convert = pacsv.ConvertOptions(include_columns=[first], column_types={first: pa.string()})
    with target.open("rb") as stream:
        parse = pacsv.ParseOptions(newlines_in_values=True)
        return sum(len(batch) for batch in pacsv.open_csv(stream, parse_options=parse, convert_options=convert))


def _defused(report: Report) -> sql.Composed:
    """The report's query; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    cells = [
        sql.SQL(
            "CASE WHEN strpos({0}, left(q.{1}, 1)) > 0 AND q.{1} <> '' THEN '''' || q.{1} ELSE q.{1} END AS {1}"
        ).format(sql.Literal(FORMULA_SIGNS), sql.Identifier(name))
        if kind is Kind.TEXT
        else sql.SQL("q.{}").format(sql.Identifier(name))
        for name, kind in report.columns.items()
    ]
    return sql.SQL("SELECT {} FROM ({}) q").format(sql.SQL(", ").join(cells), sql.SQL(report.query))
