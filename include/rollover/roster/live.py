"""The live roster as DuckDB tables, beside the set that it is compared with."""

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
    LargeBinary,
    Select,
    Table,
    Text,
    cast,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from rollover.storage import TEMPORARY

_NEXT_ITEM = "\x1f"
_TYPES = {Boolean: "BOOLEAN", Date: "DATE", BigInteger: "BIGINT"}
_BLOCKS, _BLOCKS_AT_ONCE = 256, 4
_BLOCKS_OF_HASHES = 16


def load_live(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    table: Table,
    columns: list[str],
    where: ColumnElement[bool] | None = None,
) -> str:
    """Copy some columns of a live roster table, the rows of the session's tenant, to the DuckDB table ``live_<table>``.

    Returns that table's name. Rows of every status are there, unless `where` says otherwise; ask for ``status`` to tell
    them apart.
    """
    name = f"live_{table.name}"
    chosen = [table.c[column] for column in columns]
    with tempfile.NamedTemporaryFile(prefix=f"{TEMPORARY}live-", suffix=".csv") as file:
        for block in connection.scalars(_as_csv(table, chosen).where(true() if where is None else where)):
            file.write(f"{block}\n".encode())
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
    """Copy the hashes of a table's active rows to the DuckDB table ``live_hashes``, eight bytes each on the way."""
    each = func.string_agg(func.int8send(table.c.row_hash), literal(b"", LargeBinary), type_=LargeBinary)
    some = select(each).where(table.c.status == "active").group_by(table.c.row_hash.op("%")(_BLOCKS_OF_HASHES))
    blocks = connection.scalars(some.execution_options(yield_per=1))
    hashes = [np.frombuffer(block, dtype=">i8").astype(np.int64) for block in blocks]
    duck.register("hashes", pa.table({"row_hash": np.concatenate([np.array([], dtype=np.int64), *hashes])}))
    duck.execute("CREATE OR REPLACE TABLE live_hashes AS FROM hashes")
    duck.unregister("hashes")


def _as_csv(table: Table, columns: list[Any]) -> Select[Any]:
    """The rows as CSV, in a few hundred blocks: PostgreSQL puts them together faster than a driver hands over rows."""
    fields = [_field(column) for column in columns]
    line = fields[0]
    for each in fields[1:]:
        line = line + "," + each
    first_key = next(column for column in table.primary_key.columns if column.name != "tenant_id")
    blocks = select(func.string_agg(line, "\n")).group_by(func.hashtext(first_key).op("%")(_BLOCKS))
    return blocks.execution_options(yield_per=_BLOCKS_AT_ONCE)


def _field(column: Any) -> ColumnElement[str]:
    value: ColumnElement[str] = cast(column, Text)
    if _is_list(column):
        value = func.array_to_string(column, _NEXT_ITEM, type_=Text)
    if _type(column) == "VARCHAR":
        value = '"' + func.replace(value, '"', '""', type_=Text) + '"'
    return func.coalesce(value, "", type_=Text) if column.nullable else value


def _is_list(column: Any) -> bool:
    return isinstance(column.type, ARRAY)


def _type(column: Any) -> str:
    return next((name for kind, name in _TYPES.items() if isinstance(column.type, kind)), "VARCHAR")


def _from_text(column: Any) -> str:
    name = f'"{column.name}"'
    if not _is_list(column):
        return name
    return f"CASE WHEN {name} = '' THEN [] ELSE string_split({name}, chr(31)) END AS {name}"
