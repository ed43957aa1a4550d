"""The typed rows of a set between the files and the database: one Parquet file per roster table."""

from __future__ import annotations

from typing import IO, Any, Self

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Boolean, Date, Table
from sqlalchemy.dialects.postgresql import ARRAY
from upath import UPath

from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.files import staged_file
from rollover.roster.read import ROW

ROW_HASH = "row_hash"
LEDGER_COLUMNS = frozenset({"tenant_id", "status", ROW_HASH, "import_id", "last_year_grade"})
"""Columns of a roster table that do not come from the files."""
_NULL, _NEXT_VALUE, _NEXT_ITEM = "\x00", "\x1f", "\x1e"

TABLES: dict[str, Table] = {table.name: table for table in ROSTER_TABLES}


def key_columns(table: Table) -> list[str]:
    """What identifies a row within a tenant."""
    return [column.name for column in table.primary_key.columns if column.name != "tenant_id"]


def value_columns(table: Table) -> list[str]:
    """The columns that the files fill, the key among them, in the table's order."""
    return [column.name for column in table.columns if column.name not in LEDGER_COLUMNS]


def row_hash(frame: pl.DataFrame, table: Table) -> pl.Series:
    """A 64-bit hash of each row's values: equal hashes tell that a row has not changed.

    It is kept in the database from year to year, so it must not depend on a library's version: values are
    joined as text and hashed with SipHash under a fixed key.
    """
    columns = value_columns(table)
    texts = [_as_text(table.c[name].type, name).fill_null(_NULL) for name in columns]
    joined = frame.select(pl.concat_str(texts, separator=_NEXT_VALUE)).to_series()
    hashes = pd.util.hash_array(joined.to_numpy().astype(object), categorize=False)
    return pl.Series(ROW_HASH, hashes.view(np.int64))


def _as_text(kind: Any, name: str) -> pl.Expr:
    return pl.col(name).list.join(_NEXT_ITEM) if isinstance(kind, ARRAY) else pl.col(name).cast(pl.String)


class StagedWriter:
    """Writes one table's rows, batch by batch; memory holds one batch."""

    def __init__(self, stream: IO[bytes], table: Table) -> None:
        self._table = table
        self._columns = value_columns(table)
        values = [(name, _arrow_type(table.c[name].type)) for name in self._columns]
        self._schema = pa.schema([(ROW, pa.int32()), *values, (ROW_HASH, pa.int64())])
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd", compression_level=1)

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows: ``row`` and every value column, hashed on the way."""
        frame = frame.with_columns(row_hash(frame, self._table))
        self._writer.write_table(frame.select(self._schema.names).to_arrow().cast(self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def _arrow_type(kind: Any) -> pa.DataType:
    if isinstance(kind, ARRAY):
        return pa.large_list(pa.large_string())
    if isinstance(kind, Date):
        return pa.date32()
    return pa.bool_() if isinstance(kind, Boolean) else pa.large_string()


def read_staged(storage: UPath, import_id: str, table: str, columns: list[str] | None = None) -> pl.DataFrame:
    """The staged rows of a table; all columns, or those that are asked for."""
    with staged_file(storage, import_id, table).open("rb") as stream:
        return pl.DataFrame(pl.from_arrow(pq.read_table(stream, columns=columns)))
