"""Rows of a table to Parquet and back. Memory stays flat: a block of rows at a time.

A file is right when its values, read from it and written as CSV again, give the very bytes that PostgreSQL sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql
from sqlalchemy import BigInteger, Connection, Date, DateTime, Table, Text

from rollover.archive.form import (
    BLOCK_ROWS,
    TEXTS,
    Content,
    arrow_type,
    as_csv,
    digest_of,
    parsed,
    same_columns,
    sent_schema,
)
from rollover.archive.keys import Key
from rollover.database.session import driver_of

SCHEMA_VERSION = "1"


@dataclass
class Verified:
    """What a file says of itself, read back: `content`, the `least` and `most` of ids and times, the ids it names."""

    content: Content
    ranges: dict[str, tuple[Any, Any]]
    named: set[str] = field(default_factory=set)


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema that holds every value of a table exactly."""
    fields = [pa.field(column.name, arrow_type(column.type), nullable=True) for column in table.columns]
    return pa.schema(fields, metadata={"rollover.table": table.fullname, "rollover.schema_version": SCHEMA_VERSION})


class Writer:
    """Writes blocks of one school's rows to a stream as Parquet, zstd-compressed and, with a key, encrypted."""

    def __init__(self, table: Table, same: Mapping[str, str], stream: IO[bytes], key: Key | None = None) -> None:
        """`same`: the values of the columns that are the same in every row, by their names."""
        self._table, self._same = table, same
        self._sent, self._schema = sent_schema(table), _written_schema(table)
        self._digest, self._rows = digest_of(table, same), 0
        deltas = [column.name for column in table.columns if isinstance(column.type, BigInteger | DateTime)]
        self._parquet = pq.ParquetWriter(
            stream,
            self._schema,
            compression="zstd",
            use_dictionary=[name for name in self._schema.names if name not in deltas],
            column_encoding=dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
            encryption_properties=key and key.encrypting(),
            store_schema=False,  # what our dictionaries are in memory is nobody's business
        )

    def add(self, lines: bytearray) -> None:
        """Write a block. Raises ProofFailed for a value that its column cannot hold."""
        self._digest.update(lines)
        rows = parsed(self._table, lines, self._sent)
        columns = {name: rows[name] for name in rows.column_names}
        columns |= {name: _repeated(self._same[name], len(rows)) for name in same_columns(self._table)}
        self._parquet.write_table(pa.table(columns).select(self._schema.names).cast(self._schema))
        self._rows += len(rows)

    def close(self) -> Content:
        """End the file; returns what it must hold."""
        self._parquet.close()
        return Content(self._rows, self._digest.hexdigest())


def read(table: Table, stream: IO[bytes], naming: Iterable[str] = (), key: Key | None = None) -> Verified:
    """Read a whole file; the columns `naming` hold ids whose values are collected."""
    texts = [column.name for column in table.columns if isinstance(column.type, Text)]
    file = _opened(stream, key, read_dictionary=texts)
    verified = Verified(Content(0, ""), _ranges(table, file.metadata))
    same: dict[str, set[Any]] = {name: set() for name in same_columns(table)}
    rows, sent, digest = 0, sent_schema(table), None
    for group in range(file.num_row_groups):  # as it was written, a block at a time
        part = file.read_row_group(group, use_threads=False)
        for name, values in same.items():
            values.update(_values(part[name]))
        for name in naming:
            verified.named.update(_values(part[name]) - {None})
        digest = digest or digest_of(table, {name: next(iter(values)) for name, values in same.items()})
        digest.update(as_csv(part.select(sent.names).cast(sent)))
        rows += part.num_rows
    if digest is not None and all(len(values) == 1 for values in same.values()):
        verified.content = Content(rows, digest.hexdigest())
    return verified


def _values(texts: pa.ChunkedArray) -> set[Any]:
    """The distinct values of a text column, from its dictionaries."""
    found = {value for chunk in texts.chunks for value in chunk.dictionary.to_pylist()}
    return found | {None} if texts.null_count else found


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
            copy.write(as_csv(pa.Table.from_batches([batch])))


def _repeated(value: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, dtype=np.int32)), pa.array([value]))


def _written_schema(table: Table) -> pa.Schema:
    schema = arrow_schema(table)
    for place, column in enumerate(table.columns):
        if isinstance(column.type, Text):
            schema = schema.set(place, pa.field(column.name, TEXTS))
    return schema


def _opened(stream: IO[bytes], key: Key | None, read_dictionary: list[str] | None = None) -> pq.ParquetFile:
    return pq.ParquetFile(stream, read_dictionary=read_dictionary, decryption_properties=key and key.decrypting())


def _ranges(table: Table, metadata: pq.FileMetaData) -> dict[str, tuple[Any, Any]]:
    """The smallest and largest value of each numeric id and each time column.

    Text columns are left out: they may name a person."""
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
