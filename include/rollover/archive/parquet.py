"""Rows of a table to Parquet and back, by COPY. Memory stays flat: a batch at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from psycopg import sql
from sqlalchemy import BigInteger, Boolean, Connection, Date, DateTime, Integer, Numeric, Table, Text, Time

from rollover.database.session import driver_of
from rollover.errors import ProofFailed

BATCH_BYTES = 4 << 20
SCHEMA_VERSION = "1"

# PostgreSQL's CSV writes NULL as nothing and an empty string as ""; so does Arrow's, both ways.
_READ = pacsv.ReadOptions(block_size=BATCH_BYTES)
_PARSE = pacsv.ParseOptions(newlines_in_values=True)


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema that holds every value of a table exactly."""
    fields = [pa.field(column.name, _arrow_type(column.type), nullable=True) for column in table.columns]
    return pa.schema(fields, metadata={"rollover.table": table.fullname, "rollover.schema_version": SCHEMA_VERSION})


def copy_out(connection: Connection, table: Table, where: str, bound: dict[str, Any], stream: IO[bytes]) -> None:
    """Write the rows of a table that fit `where` to `stream` as Parquet, zstd-compressed, by primary key."""
    schema = arrow_schema(table)
    order = ", ".join(f"t.{column.name}" for column in table.primary_key.columns)
    names = ", ".join(f't."{column.name}"' for column in table.columns)
    query = (
        f"COPY (SELECT {names} FROM {table.fullname} t WHERE {where} ORDER BY {order}) TO STDOUT (FORMAT csv, HEADER)"  # noqa: S608
    )
    convert = pacsv.ConvertOptions(
        column_types=schema,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
        true_values=["t"],
        false_values=["f"],
    )
    with (
        pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        driver_of(connection).cursor() as cursor,
        cursor.copy(query.encode(), bound) as copy,
    ):
        reader = io.BufferedReader(_CopyReader(iter(copy)), BATCH_BYTES)
        try:
            for batch in pacsv.open_csv(reader, read_options=_READ, parse_options=_PARSE, convert_options=convert):
                writer.write_batch(batch.cast(schema) if batch.schema != schema else batch)
        except pa.ArrowInvalid:
            # Its text quotes the value.
            raise ProofFailed(f"{table.fullname} holds a value that its column cannot.", "report this.") from None


def copy_in(connection: Connection, table: Table, stream: IO[bytes], target: str) -> None:
    """Load a Parquet file into a relation with the columns of `table`."""
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(sql.SQL(target), names)
    options = pacsv.WriteOptions(include_header=False)
    with driver_of(connection).cursor() as cursor, cursor.copy(query) as copy:
        for batch in pq.ParquetFile(stream).iter_batches():
            part = io.BytesIO()
            pacsv.write_csv(pa.Table.from_batches([batch]), part, options)
            copy.write(part.getvalue())


class _CopyReader(io.RawIOBase):
    """The chunks of a COPY as a file."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _arrow_type(kind: Any) -> pa.DataType:
    match kind:
        case BigInteger():
            return pa.int64()
        case Integer():
            return pa.int32()
        case Numeric(precision=int(precision), scale=int(scale)):
            return pa.decimal128(precision, scale)
        case DateTime():
            return pa.timestamp("us", tz="UTC")
        case Date():
            return pa.date32()
        case Time():
            return pa.time64("us")
        case Boolean():
            return pa.bool_()
        case Text():
            return pa.string()
    raise TypeError(f"no Arrow type for {kind!r}: add it before a table of the archive uses it")
