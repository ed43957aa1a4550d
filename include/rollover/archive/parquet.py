"""Rows of a table to Parquet and back, by COPY. Memory stays flat: a block of rows at a time.

PostgreSQL sends rows as CSV, in one form only (see :func:`_as_sent`). A file is right when its values, read from it
and written as CSV again, give the very bytes that PostgreSQL sent: the reader and the writer of CSV are two pieces of
code, and what one misread the other would not put right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from psycopg import sql
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Integer,
    Numeric,
    Table,
    Text,
    Time,
    text,
)

from rollover.archive.keys import Key
from rollover.database.fingerprint import NOTHING, Fingerprint, row_hash
from rollover.database.session import driver_of
from rollover.errors import ProofFailed

SCHEMA_VERSION = "1"
BLOCK_BYTES = 4 << 20
BLOCKS_BYTES = 64 << 20
"""What the blocks that are being filled may take together, where rows of several schools come at once."""
BLOCK_ROWS = 1 << 16
MARK = 32
"""Before each line, in hexadecimal digits: the number of its school, and the row's hash."""
LONGEST = 2**31 - 1
_MARK = np.dtype([("school", ">i8"), ("row", ">i8")])
LINE = "line_of_file"
"""The column that numbers the rows of a file where they are put back."""
IN_EVERY_ROW = ("tenant_id", "district_id", "school_year", "school_id")
"""Columns that have one value in a file: it is of one tenant, school year and school."""

# PostgreSQL's CSV writes NULL as nothing and an empty string as ""; so does Arrow's, both ways.
_WRITE = pacsv.WriteOptions(include_header=False, batch_size=BLOCK_ROWS)


@dataclass(frozen=True)
class Content:
    """What rows hold: their number, and the SHA-256 of what is in every one of them and then of the rest as CSV, in
    the order of the file. Not of one server alone."""

    rows: int
    sha256: str


@dataclass
class Told:
    """What a file says of itself, read back: `content`, the `least` and `most` of ids and times, the ids it names."""

    content: Content
    ranges: dict[str, tuple[Any, Any]]
    named: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Block:
    """Whole rows of one school as PostgreSQL sent them, and their fingerprint."""

    school_id: str
    lines: bytearray
    fingerprint: Fingerprint

    def __add__(self, more: Block) -> Block:
        return Block(self.school_id, self.lines + more.lines, self.fingerprint + more.fingerprint)


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema that holds every value of a table exactly."""
    fields = [pa.field(column.name, _arrow_type(column.type), nullable=True) for column in table.columns]
    return pa.schema(fields, metadata={"rollover.table": table.fullname, "rollover.schema_version": SCHEMA_VERSION})


class Writer:
    """Writes blocks of one school's rows to a stream as Parquet, zstd-compressed and, with a key, encrypted."""

    def __init__(self, table: Table, same: Mapping[str, str], stream: IO[bytes], key: Key | None = None) -> None:
        """`same`: the values of the columns that are the same in every row, by their names."""
        self._table, self._same = table, same
        self._sent, self._schema = _sent_schema(table), _written_schema(table)
        self._digest, self._rows = _digest_of(table, same), 0
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
        rows = _parsed(self._table, lines, self._sent)
        columns = {name: rows[name] for name in rows.column_names}
        columns |= {name: _repeated(self._same[name], len(rows)) for name in _same_columns(self._table)}
        self._parquet.write_table(pa.table(columns).select(self._schema.names).cast(self._schema))
        self._rows += len(rows)

    def close(self) -> Content:
        """End the file; returns what it must hold."""
        self._parquet.close()
        return Content(self._rows, self._digest.hexdigest())


def content_of(connection: Connection, table: Table, relation: str) -> Content:
    """The content of a relation with the columns of `table` and :data:`LINE`, whose rows are those of one file."""
    names = _same_columns(table)
    digest, rows = hashlib.sha256(), 0
    if names:
        found = connection.execute(text(f"SELECT DISTINCT {', '.join(names)} FROM {relation}")).mappings().all()  # noqa: S608
        if len(found) > 1:
            raise ProofFailed(f"{relation} holds rows of more than one school.", "report this.")
        digest = _digest_of(table, dict(found[0])) if found else digest
    for lines in _lines(connection, table, relation):
        digest.update(lines)
        rows += _parsed(table, lines, _sent_schema(table)).num_rows
    return Content(rows, digest.hexdigest())


def read(table: Table, stream: IO[bytes], naming: Iterable[str] = (), key: Key | None = None) -> Told:
    """Read a whole file; the columns `naming` hold ids whose values are collected."""
    texts = [column.name for column in table.columns if isinstance(column.type, Text)]
    file = _opened(stream, key, read_dictionary=texts)
    told = Told(Content(0, ""), _ranges(table, file.metadata))
    same: dict[str, set[Any]] = {name: set() for name in _same_columns(table)}
    rows, sent, digest = 0, _sent_schema(table), None
    for group in range(file.num_row_groups):  # as it was written, a block at a time
        part = file.read_row_group(group, use_threads=False)
        for name, values in same.items():
            values.update(pc.unique(part[name]).to_pylist())
        for name in naming:
            told.named.update(pc.unique(part[name]).to_pylist())
        digest = digest or _digest_of(table, {name: next(iter(values)) for name, values in same.items()})
        digest.update(_as_csv(part.select(sent.names).cast(sent)))
        rows += part.num_rows
    if digest is not None and all(len(values) == 1 for values in same.values()):
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
    connection: Connection,
    table: Table,
    schools: Collection[str],
    where: str,
    bound: Mapping[str, Any],
    *,
    school_of: str = "t.school_id",
) -> Iterator[Block]:
    """The rows ``t`` of a table that fit `where`, in blocks of one school.

    Read once, in one statement: rows come as they lie, and those of the schools are told apart here. To sort them
    would take PostgreSQL as long as to send them. `school_of`: SQL that says which of the `schools` a row belongs to;
    other rows must not come.
    """
    known = _schools_by_mark(connection, schools)
    size = min(BLOCK_BYTES, BLOCKS_BYTES // max(len(known), 1))
    mark = f"encode(int8send(hashtextextended({school_of}, 0)) || int8send({row_hash(table)}), 'hex')"
    query = _copy(table, table.fullname, where, mark)
    filling = {school_id: Block(school_id, bytearray(), NOTHING) for school_id in known.values()}
    for rows in _batches(connection, query, bound):
        for more in _told_apart(rows, known):
            block = filling[more.school_id] = filling[more.school_id] + more
            if len(block.lines) >= size:
                yield block
                filling[more.school_id] = Block(more.school_id, bytearray(), NOTHING)
    yield from (block for block in filling.values() if block.lines)


def _batches(connection: Connection, query: str, bound: Mapping[str, Any]) -> Iterator[pa.BinaryArray]:
    """The rows of a COPY, many at once: psycopg and libpq hand over one at a time, so here as little as can be is done
    with each."""
    batch, ends = bytearray(), [0]

    def gathered() -> pa.BinaryArray:
        offsets = pa.py_buffer(np.asarray(ends, dtype=np.int32))
        return pa.BinaryArray.from_buffers(pa.binary(), len(ends) - 1, [None, offsets, pa.py_buffer(batch)])

    with driver_of(connection).cursor() as cursor, cursor.copy(query.encode(), bound) as copy:
        for row in copy:
            batch += row
            ends.append(len(batch))
            if len(batch) >= BLOCK_BYTES:
                yield gathered()
                batch, ends = bytearray(), [0]
    if batch:
        yield gathered()


def _told_apart(rows: pa.BinaryArray, known: Mapping[int, str]) -> Iterator[Block]:
    """The lines of each school among some rows, without the mark that goes before them. Raises ProofFailed for a row
    of another school: it would be in no file."""
    marks = np.frombuffer(bytes.fromhex(pc.binary_slice(rows, 0, MARK).buffers()[2].to_pybytes().decode()), dtype=_MARK)
    if not np.isin(marks["school"], list(known)).all():
        raise ProofFailed("A row came that is of none of the schools that were asked for.", "report this.")
    lines = pc.binary_slice(rows, MARK + len(","), LONGEST)
    for number, school_id in known.items():
        own = np.flatnonzero(marks["school"] == number)
        if len(own):
            hashes = Decimal(sum(marks["row"][own].tolist()))
            yield Block(school_id, bytearray(lines.take(pa.array(own)).buffers()[2]), Fingerprint(len(own), hashes))


def _schools_by_mark(connection: Connection, schools: Collection[str]) -> dict[int, str]:
    """Schools by a number that stands for each before a line: as CSV, an id may hold anything."""
    query = text("SELECT school, hashtextextended(school, 0) FROM unnest(CAST(:schools AS text[])) school")
    found = {mark: school for school, mark in connection.execute(query, {"schools": list(schools)})}
    if len(found) != len(set(schools)):
        raise ProofFailed("Two schools have the same hash.", "report this.")
    return found


def _lines(connection: Connection, table: Table, relation: str) -> Iterator[bytearray]:
    """The rows of a relation as CSV, by :data:`LINE`, in blocks of whole rows. The same on every server."""
    block = bytearray()
    query = _copy(table, relation, f"true ORDER BY t.{LINE}")
    with driver_of(connection).cursor() as cursor, cursor.copy(query.encode()) as copy:
        for row in copy:
            block += row
            if len(block) >= BLOCK_BYTES:
                yield block
                block = bytearray()
    if block:
        yield block


def _copy(table: Table, relation: str, where: str, *before: str) -> str:
    """COPY of rows ``t``: what differs between rows of a file, after what is asked for `before` it."""
    columns = _own_columns(table)
    names = ", ".join([*before, *(_as_sent(column) for column in columns)])
    texts = ", ".join(f'"{column.name}"' for column in columns if isinstance(column.type, Text))
    return (
        f"COPY (SELECT {names} FROM {relation} t WHERE {where}) "  # noqa: S608
        f"TO STDOUT (FORMAT csv, ENCODING 'UTF8'{f', FORCE_QUOTE ({texts})' if texts else ''})"
    )


def _own_columns(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if column.name not in IN_EVERY_ROW]


def _same_columns(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.name in IN_EVERY_ROW]


def _digest_of(table: Table, same: Mapping[str, str]) -> Any:
    """A SHA-256 that has begun with what is in every row."""
    return hashlib.sha256(json.dumps({name: same[name] for name in _same_columns(table)}, sort_keys=True).encode())


def _repeated(value: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, dtype=np.int32)), pa.array([value]))


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


_TEXTS = pa.dictionary(pa.int32(), pa.string())  # in memory: ids and codes come again and again


def _sent_schema(table: Table) -> pa.Schema:
    """The Arrow schema of what PostgreSQL sends."""

    def kind(column: Column[Any]) -> pa.DataType:
        match column.type:
            case DateTime() | Time():
                return pa.int64()
            case Text():
                return _TEXTS
            case _:
                return _arrow_type(column.type)

    return pa.schema((column.name, kind(column)) for column in _own_columns(table))


def _written_schema(table: Table) -> pa.Schema:
    schema = arrow_schema(table)
    for place, column in enumerate(table.columns):
        if isinstance(column.type, Text):
            schema = schema.set(place, pa.field(column.name, _TEXTS))
    return schema


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


def _opened(stream: IO[bytes], key: Key | None, read_dictionary: list[str] | None = None) -> pq.ParquetFile:
    return pq.ParquetFile(stream, read_dictionary=read_dictionary, decryption_properties=key and key.decrypting())


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
