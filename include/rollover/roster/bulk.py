"""Rows between polars and PostgreSQL by COPY. Everything runs in the transaction of the given connection."""

from __future__ import annotations

import io
from collections.abc import Iterator

import polars as pl
from psycopg import sql
from sqlalchemy import Connection

from rollover.database.session import driver_of

_SLICE_ROWS = 100_000


def copy_out(connection: Connection, query: sql.Composed, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """The result of a query as a frame of the given schema."""
    received = io.BytesIO()
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query)
    with driver_of(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for block in copy:
            received.write(block)
    if not received.tell():
        return pl.DataFrame(schema=schema)
    return pl.read_csv(received.getvalue(), has_header=False, schema=schema)


def copy_in(connection: Connection, table: str, frame: pl.DataFrame) -> None:
    """Add a frame's rows to a temporary table with columns of the same names.

    Lists become text arrays, nulls stay nulls.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier("pg_temp", table), sql.SQL(", ").join(map(sql.Identifier, frame.columns))
    )
    with driver_of(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for rows in _slices(frame):
            copy.write(rows.write_csv(include_header=False))


def _slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    for rows in frame.iter_slices(_SLICE_ROWS):
        yield rows.with_columns(_array_literal(name) for name in lists)


def _array_literal(name: str) -> pl.Expr:
    r"""A list of text as PostgreSQL writes an array: {"a","b"}, with \ before a quote or backslash."""
    escaped = pl.element().str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    items = pl.col(name).list.eval('"' + escaped + '"').list.join(",")
    return ("{" + items + "}").alias(name)
