"""Converts rows to the form in which they are compared: CSV, as PostgreSQL sends it and as Arrow writes it.

Both write NULL as nothing and an empty string as "". Arrow reads and writes CSV by different code, so a mistake of the
reader is not undone by the writer, and shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Integer, Numeric, Table, Text, Time

from rollover.errors import ProofFailed

BLOCK_ROWS = 1 << 16
IN_EVERY_ROW = ("tenant_id", "district_id", "school_year", "school_id")
"""Columns with the same value in every row of a file: a file has one tenant, school year and school."""
TEXTS = pa.dictionary(pa.int32(), pa.string())
"""The type of text in memory: ids and codes repeat, so each value is stored once."""

_WRITE = pacsv.WriteOptions(include_header=False, batch_size=BLOCK_ROWS)


@dataclass(frozen=True)
class Content:
    """The content of rows: their number, and a SHA-256 over the values that all rows share and then over the other
    columns as CSV, in the order of the file. It is the same on every server."""

    rows: int
    sha256: str


def own_columns(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if column.name not in IN_EVERY_ROW]


def same_columns(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.name in IN_EVERY_ROW]


def digest_of(table: Table, same: Mapping[str, str]) -> Any:
    """A SHA-256 that begins with the values that all rows share."""
    return hashlib.sha256(json.dumps({name: same[name] for name in same_columns(table)}, sort_keys=True).encode())


def as_sent(column: Column[Any]) -> str:
    """SQL for a column, in the same form as Arrow writes it.

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


def sent_schema(table: Table) -> pa.Schema:
    """The Arrow schema of the rows that PostgreSQL sends."""

    def kind(column: Column[Any]) -> pa.DataType:
        match column.type:
            case DateTime() | Time():
                return pa.int64()
            case Text():
                return TEXTS
            case _:
                return arrow_type(column.type)

    return pa.schema((column.name, kind(column)) for column in own_columns(table))


def parsed(table: Table, block: bytearray, schema: pa.Schema) -> pa.Table:
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


def as_csv(rows: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    pacsv.write_csv(rows, out, _WRITE)
    content: bytes = out.getvalue().to_pybytes()
    return content


def arrow_type(kind: Any) -> pa.DataType:
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
