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
    Connection,
    Date,
    Table,
    TextClause,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from rollover.database.copying import CopyOut
from rollover.storage import TEMPORARY

_NEXT_ITEM = "\x1f"
_TYPES = {Boolean: "BOOLEAN", Date: "DATE", BigInteger: "BIGINT"}
# COPY's binary format: a header before all rows; per row, the number of columns, then each with its length.
_HEADER = 19
_BINARY_ROW = np.dtype(
    [
        *(("columns", ">i2"), ("bytes_1", ">i4"), ("row_hash", ">i8")),
        *(("bytes_2", ">i4"), ("block", ">u4"), ("line", ">u2"), ("bytes_3", ">i4"), ("is_active", "?")),
    ]
)


def load_live(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    table: Table,
    columns: list[str],
    where: TextClause | None = None,
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
    """Copy the hashes of a table's rows to the DuckDB table ``live_hashes``, with the place of each row (the parts of
    its ``ctid``) and whether it is active."""
    columns = "row_hash BIGINT, block BIGINT, line BIGINT, is_active BOOLEAN"
    duck.execute(f"CREATE OR REPLACE TABLE live_hashes ({columns})")
    query = f"COPY (SELECT row_hash, ctid, status = 'active' FROM {table.fullname}) TO STDOUT (FORMAT binary)"
    skip = _HEADER
    for batch in CopyOut(connection, query):
        count = (len(batch.rows) - skip) // _BINARY_ROW.itemsize  # what follows the last row is shorter than one
        rows = np.frombuffer(batch.rows, _BINARY_ROW, count, skip)
        numbers = {name: rows[name].astype(np.int64) for name in ("row_hash", "block", "line", "is_active")}
        duck.register("hashes", _without_pandas(numbers))
        duck.execute("INSERT INTO live_hashes FROM hashes")
        duck.unregister("hashes")
        skip = 0


def _without_pandas(columns: dict[str, np.ndarray[Any, np.dtype[np.int64]]]) -> pa.Table:
    """Numbers as a table; Arrow's usual way loads pandas, which takes longer than all the rest."""
    arrays = [pa.Array.from_buffers(pa.int64(), len(each), [None, pa.py_buffer(each)]) for each in columns.values()]
    return pa.Table.from_arrays(arrays, names=list(columns))


def _is_list(column: Any) -> bool:
    return isinstance(column.type, ARRAY)


def _type(column: Any) -> str:
    return next((name for kind, name in _TYPES.items() if isinstance(column.type, kind)), "VARCHAR")


def _from_text(column: Any) -> str:
    name = f'"{column.name}"'
    if not _is_list(column):
        return name
    return f"CASE WHEN {name} = '' THEN [] ELSE string_split({name}, chr(31)) END AS {name}"
