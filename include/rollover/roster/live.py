"""The live roster as DuckDB tables, beside the set that it is compared with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, Any

import duckdb
import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus
from sqlalchemy import BigInteger, Boolean, Connection, Date, Table
from sqlalchemy.dialects.postgresql import ARRAY

from rollover.database.session import driver_of

_NEXT_ITEM = "\x1f"
_TYPES = {Boolean: "BOOLEAN", Date: "DATE", BigInteger: "BIGINT"}


def load_live(connection: Connection, duck: duckdb.DuckDBPyConnection, table: Table, columns: list[str]) -> str:
    """Copy some columns of a live roster table, all rows of the session's tenant, to the DuckDB table ``live_<table>``.

    Returns that table's name. Rows of every status are there; ask for ``status`` to tell them apart.
    """
    name = f"live_{table.name}"
    chosen = [table.c[column] for column in columns]
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(_as_text(column) for column in chosen), sql.Identifier(str(table.schema), table.name)
    )
    with tempfile.NamedTemporaryFile(prefix="rollover-live-", suffix=".csv") as file:
        copy_out(connection, query, file)
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


def copy_out(connection: Connection, query: sql.Composable, target: IO[bytes]) -> None:
    """Write the result of a query to a stream, as CSV.

    psycopg gives COPY's rows one by one, each through several layers of Python; libpq's own call is twice as fast.
    """
    driver = driver_of(connection)
    server = driver.pgconn
    results = [server.exec_(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query).as_bytes(driver))]
    if results[0].status == ExecStatus.COPY_OUT:
        size, row = server.get_copy_data(0)
        while size > 0:
            target.write(row)
            size, row = server.get_copy_data(0)
        while (result := server.get_result()) is not None:
            results.append(result)
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)


def _is_list(column: Any) -> bool:
    return isinstance(column.type, ARRAY)


def _type(column: Any) -> str:
    return next((name for kind, name in _TYPES.items() if isinstance(column.type, kind)), "VARCHAR")


def _as_text(column: Any) -> sql.Composable:
    name = sql.Identifier(column.name)
    return sql.SQL("array_to_string({}, {})").format(name, sql.Literal(_NEXT_ITEM)) if _is_list(column) else name


def _from_text(column: Any) -> str:
    name = f'"{column.name}"'
    if not _is_list(column):
        return name
    return f"CASE WHEN {name} = '' THEN [] ELSE string_split({name}, chr(31)) END AS {name}"
