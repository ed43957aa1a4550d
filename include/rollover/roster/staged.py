"""Reads and writes the accepted rows of a set, between the files and the database: one Parquet file per roster
table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from sqlalchemy import Table, Text
from sqlalchemy.dialects.postgresql import ARRAY
from upath import UPath

from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.columnar import columnar, local_copy, quoted
from rollover.roster.imports.files import staged_file

ROW_HASH = "row_hash"
LEDGER_COLUMNS = frozenset({"tenant_id", "status", ROW_HASH, "import_id", "last_year_grade"})
"""Columns of a roster table that do not come from the files."""
ALL = "*"
"""In place of a column: the set lacks the whole table."""
_NULL, _NEXT_VALUE, _NEXT_ITEM = "chr(29)", "chr(31)", "chr(30)"

TABLES: dict[str, Table] = {table.name: table for table in ROSTER_TABLES}


def key_columns(table: Table) -> list[str]:
    """The columns that identify a row within a tenant."""
    return [column.name for column in table.primary_key.columns if column.name != "tenant_id"]


def value_columns(table: Table) -> list[str]:
    """The columns that the files fill, the key among them, in the table's order."""
    return [column.name for column in table.columns if column.name not in LEDGER_COLUMNS]


def row_hash(table: Table) -> str:
    """SQL for 64 bits of the MD5 of a row's values: equal hashes show that a row has not changed.

    They are kept in the database from year to year, so they must not depend on a library's version.
    """
    texts = ", ".join(_as_text(column) for column in table.columns if column.name in value_columns(table))
    # As md5_number_lower(…) >> 1, which takes three times as long.
    return f"((md5_number(concat_ws({_NEXT_VALUE}, {texts})) >> 65)::BIGINT)"


def _as_text(column: Any) -> str:
    name = f'"{column.name}"'
    text = f"array_to_string({name}, {_NEXT_ITEM})" if isinstance(column.type, ARRAY) else f"{name}::VARCHAR"
    return f"coalesce({text}, {_NULL})"


def hashed(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Rows with ``row_hash``, sorted by key, for code that writes a roster without an import."""
    with columnar() as duck:
        duck.register("rows", frame.to_arrow())
        keys = ", ".join(f'"{key}"' for key in key_columns(table))
        query = duck.sql(f"SELECT *, {row_hash(table)} AS {ROW_HASH} FROM rows ORDER BY {keys}")
        done: pl.DataFrame = query.pl()
        return done


def write_staged(
    duck: duckdb.DuckDBPyConnection, table: Table, not_said: Collection[Sequence[str]], target: Path
) -> int:
    """Write ``roster_<table>``, in no order, to a Parquet file; returns the number of rows.

    Each of `not_said` is a column that keeps the values of ``live_<table>``, and the role of the people that it does so
    for, if not for all. If it is the whole table, its live rows are used if the people that they name still exist.
    """
    if any(column == ALL for column, *_ in not_said):
        return _write(duck, table, _live_links(table), target)
    keys = key_columns(table)
    source = f"roster_{table.name}"
    if not not_said:
        return _write(duck, table, f"FROM {source}", target)
    silent = {column: [roles for name, *roles in not_said if name == column] for column, *_ in not_said}
    kept = ", ".join(_kept(column, roles) for column, roles in silent.items())
    values = ", ".join(f'r."{name}"' for name in value_columns(table) if name not in silent)
    same = " AND ".join(f'live."{key}" = r."{key}"' for key in keys)
    rows = f"SELECT {values}, {kept} FROM {source} r LEFT JOIN live_{table.name} live ON {same}"
    return _write(duck, table, rows, target)


def _kept(column: str, roles: list[list[str]]) -> str:
    """SQL for a column that keeps its live values, for everybody or for people of some roles."""
    if [] in roles:
        return f'live."{column}" AS "{column}"'
    of_these = ", ".join(f"'{role}'" for (role,) in roles)
    return f'CASE WHEN r.role IN ({of_these}) THEN live."{column}" ELSE r."{column}" END AS "{column}"'


def _live_links(table: Table) -> str:
    there = " ".join(
        f'SEMI JOIN roster_people p_{key} ON p_{key}.sourced_id = live."{key}"' for key in key_columns(table)
    )
    return f"SELECT live.* FROM live_{table.name} live {there}"


def _write(duck: duckdb.DuckDBPyConnection, table: Table, rows: str, target: Path) -> int:
    values = ", ".join(_value(column) for column in table.columns if column.name in value_columns(table))
    done = duck.execute(
        f"COPY (SELECT {values} FROM ({rows})) TO {quoted(target)} "
        "(FORMAT parquet, COMPRESSION lz4, DICTIONARY_SIZE_LIMIT 0)"  # most values are there once
    ).fetchone()
    assert done is not None
    return int(done[0])


def _value(column: Any) -> str:
    """A column as its table requires it: a list is never null."""
    name = f'"{column.name}"'
    if isinstance(column.type, ARRAY):
        return f"coalesce({name}, [])::VARCHAR[] AS {name}"
    return f"{name}::VARCHAR AS {name}" if isinstance(column.type, Text) else name


def with_hash(table: Table, rows: str) -> str:
    """SQL for rows of a staged file with ``row_hash``. To hash a row takes longer than to read it: only those that the
    query `rows` yields are."""
    values = ", ".join(f'"{name}"' for name in value_columns(table))
    return f"SELECT {values}, {row_hash(table)} AS {ROW_HASH} FROM ({rows})"


def read_staged(storage: UPath, import_id: str, table: str, columns: list[str] | None = None) -> pl.DataFrame:
    """The staged rows of a table; all columns, or those that are asked for."""
    with local_copy(staged_file(storage, import_id, table)) as path:
        return pl.read_parquet(path, columns=columns)
