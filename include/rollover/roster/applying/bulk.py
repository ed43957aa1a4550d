"""Copies rows in bulk from Parquet to PostgreSQL, a slice at a time, in the transaction of the given connection.

Only a table's owner can COPY to a table with row-level security, so rows go through a temporary table. Slices keep that
table and memory small, and take no more time than one COPY.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql
from sqlalchemy import Column, Connection, MetaData, Table, text

from rollover.database.copying import ahead
from rollover.database.session import driver_of
from rollover.roster.staged import key_columns

SLICE_ROWS = 50_000
Item = TypeVar("Item")

CHOSEN_ROWS = """
    SELECT {columns} FROM read_parquet($rows) rows SEMI JOIN (
        SELECT {keys} FROM read_parquet($difference) WHERE list_contains($changes, change)
    ) chosen USING ({keys})
    ORDER BY {keys}
"""
CHOSEN_KEYS = """
    SELECT {keys} FROM read_parquet($difference) WHERE list_contains($changes, change) ORDER BY {keys}
"""


def all_rows(rows: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, in stored order, in slices."""
    with pq.ParquetFile(rows) as file:
        yield from file.iter_batches(batch_size=SLICE_ROWS, columns=list(columns))


def chosen_rows(
    duck: duckdb.DuckDBPyConnection,
    table: Table,
    rows: Path,
    difference: Path,
    columns: Sequence[str],
    changes: Sequence[str],
) -> Iterator[pa.RecordBatch]:
    """The staged rows to which one of `changes` happens, in the order of their keys, in slices."""
    query = CHOSEN_ROWS.format(columns=", ".join(f'"{name}"' for name in columns), keys=", ".join(key_columns(table)))
    given = {"rows": str(rows), "difference": str(difference), "changes": list(changes)}
    yield from duck.sql(query, params=given).to_arrow_reader(SLICE_ROWS)


def chosen_keys(
    duck: duckdb.DuckDBPyConnection, table: Table, difference: Path, changes: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The keys of the rows to which one of `changes` happens, in order, in slices."""
    query = CHOSEN_KEYS.format(keys=", ".join(key_columns(table)))
    yield from duck.sql(query, params={"difference": str(difference), "changes": list(changes)}).to_arrow_reader(
        SLICE_ROWS
    )


def send(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    slices: Iterable[pa.RecordBatch],
    merge: Callable[[Table], int],
) -> int:
    """Put each slice into a temporary table with some columns of `table`, and call `merge` with that table.

    Returns the sum of the calls' results. The next slice is read and converted while PostgreSQL merges this one.
    """
    total = 0
    with _temporary(connection, table, columns) as incoming:
        statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(sql.Identifier("pg_temp", incoming.name))
        # Closed before anyone closes what the slices are read from: the thread has then ended.
        with closing(ahead(_as_csv(rows.select(list(columns))) for rows in slices)) as blocks:
            for block in blocks:
                with driver_of(connection).cursor() as cursor, cursor.copy(statement) as copy:
                    copy.write(block)
                total += merge(incoming)
                connection.execute(text(f"TRUNCATE pg_temp.{incoming.name}"))
    return total


@contextmanager
def planner(connection: Connection, *without: str) -> Iterator[None]:
    """Switch off some methods of PostgreSQL's planner, e.g. ``nestloop``, within the block.

    The planner's statistics lack the rows of this transaction: it assumes that a table is empty, and would read all of
    it for each row of another table.
    """
    for way in without:
        connection.execute(text(f"SET LOCAL enable_{way} = off"))
    yield
    for way in without:
        connection.execute(text(f"SET LOCAL enable_{way} TO DEFAULT"))


@contextmanager
def _temporary(connection: Connection, table: Table, columns: Sequence[str]) -> Iterator[Table]:
    chosen = [Column(name, table.c[name].type) for name in columns]
    temporary = Table(
        f"incoming_{table.name}", MetaData(), *chosen, prefixes=["TEMPORARY"], postgresql_on_commit="DROP"
    )
    temporary.create(connection, checkfirst=False)
    yield temporary
    temporary.drop(connection, checkfirst=False)


def _as_csv(rows: pa.RecordBatch) -> bytes:
    """Rows as COPY reads them: nulls are empty, lists are arrays."""
    frame = pl.DataFrame(pl.from_arrow(rows))
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    # Alone in its line, an unquoted \. ends the data.
    quotes: Literal["always", "necessary"] = "always" if frame.width == 1 else "necessary"
    return (
        frame.with_columns(_array_literal(name) for name in lists)
        .write_csv(include_header=False, quote_style=quotes)
        .encode()
    )


def _array_literal(name: str) -> pl.Expr:
    r"""A list of text as PostgreSQL writes an array: {"a","b"}, with \ before a quote or backslash."""
    escaped = pl.element().str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    items = pl.col(name).list.eval('"' + escaped + '"').list.join(",")
    return ("{" + items + "}").alias(name)
