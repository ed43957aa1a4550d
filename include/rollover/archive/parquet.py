"""Rows of a table to Parquet and back, by COPY. Memory stays flat: a block of rows at a time.

PostgreSQL sends rows as CSV, in one form only (see :func:`_as_sent`). A file is right when its values, read from it
and written as CSV again, give the very bytes that PostgreSQL sent: the reader and the writer of CSV are two pieces of
code, and what one misread the other would not put right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from psycopg import sql
from sqlalchemy import BigInteger, Boolean, Column, Connection, Date, DateTime, Integer, Numeric, Table, Text, Time

from rollover.archive.keys import Key
from rollover.database.session import driver_of
from rollover.errors import ProofFailed

SCHEMA_VERSION = "1"
BLOCK_BYTES = 4 << 20
BLOCK_ROWS = 1 << 16
IN_EVERY_ROW = {"tenant_id", "district_id", "school_year", "school_id"}
"""Columns that have one value in a file: it is of one tenant, school year and school."""

# PostgreSQL's CSV writes NULL as nothing and an empty string as ""; so does Arrow's, both ways.
_WRITE = pacsv.WriteOptions(include_header=False, batch_size=BLOCK_ROWS)


@dataclass(frozen=True)
class Content:
    """What rows hold, in the order of their key: their number and the SHA-256 of their CSV. Not of one server alone."""

    rows: int
    sha256: str


@dataclass
class Told:
    """What a file says of itself, read back: `content`, the `least` and `most` of ids and times, the ids it names."""

    content: Content
    ranges: dict[str, tuple[Any, Any]]
    named: set[str] = field(default_factory=set)


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema that holds every value of a table exactly."""
    fields = [pa.field(column.name, _arrow_type(column.type), nullable=True) for column in table.columns]
    return pa.schema(fields, metadata={"rollover.table": table.fullname, "rollover.schema_version": SCHEMA_VERSION})


def write(table: Table, sent: Iterable[bytearray], stream: IO[bytes], key: Key | None) -> Content:
    """Write what PostgreSQL sent (see :func:`blocks`) to `stream` as Parquet, zstd-compressed and, with a key,
    encrypted; returns its content.

    Raises ProofFailed for a value that its column cannot hold.
    """
    schema, schema_sent = arrow_schema(table), _sent_schema(table)
    deltas = [column.name for column in table.columns if isinstance(column.type, BigInteger | DateTime)]
    digest, rows = hashlib.sha256(), 0
    with pq.ParquetWriter(
        stream,
        schema,
        compression="zstd",
        use_dictionary=[name for name in schema.names if name not in deltas],
        column_encoding=dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
        encryption_properties=key and key.encrypting(),
    ) as writer:
        for block in sent:
            digest.update(block)
            part = _parsed(table, block, schema_sent)
            writer.write_table(part.cast(schema))
            rows += len(part)
    return Content(rows, digest.hexdigest())


def content_of(connection: Connection, table: Table, relation: str) -> Content:
    """The content of a relation with the columns of `table`."""
    digest, rows = hashlib.sha256(), 0
    for block in blocks(connection, table, relation, "true", {}):
        digest.update(block)
        rows += _parsed(table, block, _sent_schema(table)).num_rows
    return Content(rows, digest.hexdigest())


def read(table: Table, stream: IO[bytes], naming: Iterable[str] = (), key: Key | None = None) -> Told:
    """Read a whole file; the columns `naming` hold ids whose values are collected."""
    file = _opened(stream, key)
    told = Told(Content(0, ""), _ranges(table, file.metadata))
    digest, rows, sent = hashlib.sha256(), 0, _sent_schema(table)
    for batch in file.iter_batches(batch_size=BLOCK_ROWS, use_threads=False):
        part = pa.Table.from_batches([batch])
        digest.update(_as_csv(part.cast(sent)))
        rows += part.num_rows
        for name in naming:
            told.named.update(pc.unique(part[name]).to_pylist())
    told.content = Content(rows, digest.hexdigest())
    return told


def columns_in(stream: IO[bytes], key: Key | None = None) -> list[str]:
    """The names of a file's columns."""
    names: list[str] = _opened(stream, key).schema_arrow.names
    return names


def copy_in(connection: Connection, table: Table, stream: IO[bytes], target: str, key: Key | None = None) -> None:
    """Load a Parquet file into a relation with the columns of `table`."""
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')").format(sql.SQL(target), names)
    with driver_of(connection).cursor() as cursor, cursor.copy(query) as copy:
        for batch in _opened(stream, key).iter_batches(batch_size=BLOCK_ROWS, use_threads=False):
            copy.write(_as_csv(pa.Table.from_batches([batch])))


def blocks(
    connection: Connection, table: Table, relation: str, where: str, bound: dict[str, Any]
) -> Iterator[bytearray]:
    """The rows ``t`` of a relation as CSV, by key, in blocks of whole rows. The same on every server."""
    names = ", ".join(_as_sent(column) for column in table.columns)
    texts = ", ".join(f'"{column.name}"' for column in table.columns if isinstance(column.type, Text))
    key = [column for column in table.primary_key.columns if column.name not in IN_EVERY_ROW]
    order = ", ".join(f't."{c.name}"' + (' COLLATE "C"' if isinstance(c.type, Text) else "") for c in key) or "1"
    query = (
        f"COPY (SELECT {names} FROM {relation} t WHERE {where} ORDER BY {order}) "  # noqa: S608
        f"TO STDOUT (FORMAT csv, ENCODING 'UTF8'{f', FORCE_QUOTE ({texts})' if texts else ''})"
    )
    block = bytearray()
    with driver_of(connection).cursor() as cursor, cursor.copy(query.encode(), bound) as copy:
        for row in copy:  # psycopg and libpq hand over one row at a time
            block += row
            if len(block) >= BLOCK_BYTES:
                yield block
                block = bytearray()
    if block:
        yield block


def _as_sent(column: Column[Any]) -> str:
    """A column as PostgreSQL sends it: in the form in which Arrow writes it, too.

    Times are microseconds, exact and the same in every session; booleans are words; text is quoted, NULL is not.
    """
    name = f't."{column.name}"'
    match column.type:
        case DateTime() | Time():
            return f"(extract(epoch FROM {name}) * 1000000)::bigint"
        case Boolean():
            return f"{name}::text"
        case _:
            return name


def _sent_schema(table: Table) -> pa.Schema:
    """The Arrow schema of what PostgreSQL sends."""
    return pa.schema(
        (column.name, pa.int64() if isinstance(column.type, DateTime | Time) else _arrow_type(column.type))
        for column in table.columns
    )


def _parsed(table: Table, block: bytearray, schema: pa.Schema) -> pa.Table:
    try:
        return pacsv.read_csv(
            pa.BufferReader(block),
            read_options=pacsv.ReadOptions(column_names=schema.names, block_size=len(block) + 1, use_threads=False),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                column_types=schema,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
                true_values=["true"],
                false_values=["false"],
            ),
        )
    except pa.ArrowInvalid:
        # Its text quotes the value.
        raise ProofFailed(f"{table.fullname} holds a value that its column cannot.", "report this.") from None


def _opened(stream: IO[bytes], key: Key | None) -> pq.ParquetFile:
    return pq.ParquetFile(stream, decryption_properties=key and key.decrypting())


def _as_csv(rows: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    pacsv.write_csv(rows, out, _WRITE)
    content: bytes = out.getvalue().to_pybytes()
    return content


def _ranges(table: Table, metadata: pq.FileMetaData) -> dict[str, tuple[Any, Any]]:
    """The least and the most of a file's numbered ids and of its times: of nothing that names a person."""
    kinds = BigInteger | DateTime | Date
    found: dict[str, tuple[Any, Any]] = {}
    for position, column in enumerate(table.columns):
        if not isinstance(column.type, kinds):
            continue
        groups = [metadata.row_group(n).column(position).statistics for n in range(metadata.num_row_groups)]
        known = [group for group in groups if group is not None and group.has_min_max]
        if known:
            found[column.name] = (min(group.min for group in known), max(group.max for group in known))
    return found


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
