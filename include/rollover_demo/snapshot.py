"""Copies every table as Parquet, to compare a database before and after. For the demo and the tests."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Date,
    DateTime,
    Engine,
    Integer,
    Table,
    Time,
    select,
    text,
    types,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from rollover.database.tables import metadata

BATCH = 50_000


def snapshot(owner: Engine, folder: Path) -> dict[str, int]:
    """Write each table of our schemas to ``<folder>/<schema>.<table>.parquet``, all as of one instant.

    `owner` bypasses row-level security. Rows come in the order of the primary key; exact numerics and JSON as
    text. Returns the rows per table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with owner.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(text("SET TimeZone TO 'UTC'"))
        return {table.fullname: _write(connection, table, folder) for table in metadata.sorted_tables}


def _write(connection: Connection, table: Table, folder: Path) -> int:
    schema = pa.schema([(column.name, _arrow_type(column.type)) for column in table.columns])
    written = 0
    with pq.ParquetWriter(folder / f"{table.fullname}.parquet", schema) as writer:
        for rows in _batches(connection, table):
            columns = zip(*rows, strict=True)
            arrays = [pa.array(map(_plain, values), field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            written += len(rows)
    return written


def _batches(connection: Connection, table: Table) -> Iterator[list[Any]]:
    # JSON is read as PostgreSQL prints it, so that equal documents are equal text.
    columns = [c.cast(types.Text).label(c.name) if isinstance(c.type, JSONB) else c for c in table.columns]
    query = select(*columns).order_by(*table.primary_key.columns)
    result = connection.execution_options(stream_results=True, max_row_buffer=BATCH).execute(query)
    for rows in result.partitions(BATCH):
        yield [tuple(row) for row in rows]


def _plain(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


def _arrow_type(kind: types.TypeEngine[Any]) -> pa.DataType:
    match kind:
        case BigInteger():
            return pa.int64()
        case Integer():
            return pa.int32()
        case Boolean():
            return pa.bool_()
        case DateTime():
            return pa.timestamp("us", tz="UTC")
        case Date():
            return pa.date32()
        case Time():
            return pa.time64("us")
        case ARRAY():
            return pa.list_(pa.string())
        case _:
            return pa.string()
