"""Loads the live roster into DuckDB tables, to compare a set with it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Date,
    Table,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from rollover.database.copying import CopyOut
from rollover.storage import TEMPORARY

_NEXT_ITEM = "\x1f"
_TYPES = {Boolean: "BOOLEAN", Date: "DATE", BigInteger: "BIGINT"}
# COPY's binary format: before and after all rows, and a row with one bigint that is not null.
_HEADER, _TRAILER = 19, 2
_BINARY_ROW = np.dtype([("columns", ">i2"), ("bytes", ">i4"), ("row_hash", ">i8")])


def load_live(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    table: Table,
    columns: list[str],
    where: ColumnElement[bool] | None = None,
) -> str:
    """Copy some columns of a live roster table, the rows of the session's tenant, to the DuckDB table ``live_<table>``.

    Returns that table's name. It has rows of every status, unless `where` selects some; add the column ``status`` to
    distinguish them.
    """
    name = f"live_{table.name}"
    chosen = [table.c[column] for column in columns]
    sent = [func.array_to_string(column, _NEXT_ITEM) if _is_list(column) else column for column in chosen]
    rows = select(*sent).where(true() if where is None else where).compile(dialect=connection.dialect)
    with tempfile.NamedTemporaryFile(prefix=f"{TEMPORARY}live-", suffix=".csv") as file:
        for batch in CopyOut(connection, f"COPY ({rows}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')", rows.params):
            file.write(batch.rows)
        file.flush()
        types = {column.name: "VARCHAR" if _is_list(column) else _type(column) for column in chosen}
        values = ", ".join(_from_text(column) for column in chosen)
        # A null is an empty field, an empty text is "" in quotes.
        read = "read_csv($path, header = false, columns = $types, quote = '\"', escape = '\"', nullstr = '', "
        read += "allow_quoted_nulls = false, delim = ',', auto_detect = false, parallel = false)"
        duck.execute(
            f"CREATE TABLE {name} AS SELECT {values} FROM {read}", {"path": str(Path(file.name)), "types": types}
        )
    return name


def load_live_hashes(connection: Connection, duck: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Copy the hashes of a table's active rows to the DuckDB table ``live_hashes``."""
    query = f"COPY (SELECT row_hash FROM {table.fullname} WHERE status = 'active') TO STDOUT (FORMAT binary)"
    sent = b"".join(batch.rows for batch in CopyOut(connection, query))
    rows = np.frombuffer(sent[_HEADER:-_TRAILER], dtype=_BINARY_ROW)
    duck.register("hashes", pa.table({"row_hash": rows["row_hash"].astype(np.int64)}))
    duck.execute("CREATE OR REPLACE TABLE live_hashes AS FROM hashes")
    duck.unregister("hashes")


def _is_list(column: Any) -> bool:
    return isinstance(column.type, ARRAY)


def _type(column: Any) -> str:
    return next((name for kind, name in _TYPES.items() if isinstance(column.type, kind)), "VARCHAR")


def _from_text(column: Any) -> str:
    name = f'"{column.name}"'
    if not _is_list(column):
        return name
    return f"CASE WHEN {name} = '' THEN [] ELSE string_split({name}, chr(31)) END AS {name}"
