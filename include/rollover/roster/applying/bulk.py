"""Copies rows in bulk from Parquet to PostgreSQL, a slice at a time, in the transaction of the given connection.

New rows are copied straight into the roster. Only a table's owner can COPY to a table with row-level security, so they
go to the partition that holds its rows: the role that works may write every column of it except the tenant, which
PostgreSQL fills in. What changes rows that are there goes through a temporary table. Slices keep memory small, and take
no more time than one COPY.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import duckdb
import polars as pl
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql
from sqlalchemy import Column, Connection, MetaData, Table, text

from rollover.database.copying import ahead
from rollover.database.session import driver_of
from rollover.database.tables import roster
from rollover.roster.staged import key_columns, with_hash

SLICE_ROWS = 50_000
SLICES_AHEAD = 6
"""So many slices of new rows may wait for PostgreSQL: the rows of the next table are sorted meanwhile."""
Item = TypeVar("Item")

# In the order of the key, an index takes rows twice as fast.
ALL_ROWS = "FROM read_parquet($rows) ORDER BY {keys}"
CHOSEN_ROWS = """
    FROM read_parquet($rows) rows SEMI JOIN (
        SELECT {keys} FROM read_parquet($difference) WHERE list_contains($changes, change)
    ) chosen USING ({keys})
    ORDER BY {keys}
"""
CHOSEN_KEYS = """
    SELECT {keys} FROM read_parquet($difference) WHERE list_contains($changes, change) ORDER BY {keys}
"""


def all_rows(duck: duckdb.DuckDBPyConnection, table: Table, rows: Path) -> Iterator[pa.RecordBatch]:
    """All staged rows with their hashes, in the order of their keys, in slices."""
    yield from _slices(duck, with_hash(table, ALL_ROWS.format(keys=_keys(table))), {"rows": str(rows)})


def chosen_rows(
    duck: duckdb.DuckDBPyConnection, table: Table, rows: Path, difference: Path, changes: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The staged rows to which one of `changes` happens, with their hashes, in the order of their keys, in slices."""
    given = {"rows": str(rows), "difference": str(difference), "changes": list(changes)}
    yield from _slices(duck, with_hash(table, CHOSEN_ROWS.format(keys=_keys(table))), given)


def chosen_keys(
    duck: duckdb.DuckDBPyConnection, table: Table, difference: Path, changes: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The keys of the rows to which one of `changes` happens, in order, in slices."""
    given = {"difference": str(difference), "changes": list(changes)}
    yield from _slices(duck, CHOSEN_KEYS.format(keys=_keys(table)), given)


def _slices(duck: duckdb.DuckDBPyConnection, query: str, given: Mapping[str, object]) -> Iterator[pa.RecordBatch]:
    yield from duck.sql(query, params=given).to_arrow_reader(SLICE_ROWS)


def _keys(table: Table) -> str:
    return ", ".join(key_columns(table))


@dataclass(frozen=True)
class NewRows:
    """Rows to add to a roster table: some of its columns, in slices."""

    table: Table
    columns: Sequence[str]
    slices: Iterable[pa.RecordBatch]

    def with_columns(self, same: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
        """The slices, with columns in which all rows have the same value."""
        for rows in self.slices:
            chosen = rows.select(list(self.columns))
            for column, value in same.items():
                # Arrow's own function for it loads pandas.
                chosen = chosen.append_column(column, pl.repeat(value, rows.num_rows, eager=True).to_arrow())
            yield chosen


def add(connection: Connection, parts: Iterable[NewRows], same: Mapping[str, str]) -> dict[str, int]:
    """Add rows to roster tables, for the session's tenant; returns how many, by table.

    `same` are columns in which all rows have the same value. The next slices are read, sorted and converted while
    PostgreSQL takes this one.
    """

    def blocks() -> Generator[tuple[NewRows, bytes]]:
        for part in parts:
            yield from ((part, block) for block in _encoded(part.with_columns(same)))

    added = {}
    with closing(ahead(blocks(), SLICES_AHEAD)) as ready:
        for part, of_part in groupby(ready, key=itemgetter(0)):
            name = sql.Identifier(*roster.rows_of(part.table))
            columns = sql.SQL(", ").join(map(sql.Identifier, (*part.columns, *same)))
            statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(name, columns)
            with driver_of(connection).cursor() as cursor:
                with cursor.copy(statement) as copy:
                    for _, block in of_part:
                        copy.write(block)
                added[part.table.name] = cursor.rowcount
    return added


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
        statement = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier("pg_temp", incoming.name))
        # Closed before anyone closes what the slices are read from: the thread has then ended.
        with closing(ahead(b"".join(_encoded([rows.select(list(columns))])) for rows in slices)) as blocks:
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


def _encoded(slices: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """Slices of rows in COPY's binary format, which PostgreSQL takes faster than text."""
    encoder: ArrowToPostgresBinaryEncoder | None = None
    for rows in slices:
        if encoder is None:
            encoder = ArrowToPostgresBinaryEncoder(rows.schema)
            yield encoder.write_header()
        yield encoder.write_batch(rows)
    if encoder is not None:
        yield encoder.finish()
