"""What a staged set would change in the live roster: keys and hashes are compared, not rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from psycopg import sql
from sqlalchemy import Connection, Table
from upath import UPath

from rollover.roster.bulk import copy_out
from rollover.roster.staged import ROW_HASH, key_columns, read_staged


@dataclass(frozen=True)
class Difference:
    """One table's staged rows against the live ones, as frames of keys.

    A row that comes back after it was ``tobedeleted`` counts as added.
    """

    added: pl.DataFrame
    changed: pl.DataFrame
    removed: pl.DataFrame
    unchanged: int

    @property
    def counts(self) -> dict[str, int]:
        return {
            "added": self.added.height,
            "changed": self.changed.height,
            "unchanged": self.unchanged,
            "removed": self.removed.height,
        }


def difference(connection: Connection, table: Table, storage: UPath, import_id: str) -> Difference:
    """Compare one staged table with the live one, as the session's transaction sees it.

    Rows that are ``tobedeleted`` and not in the set stay as they are and count nowhere.
    """
    keys = key_columns(table)
    staged = read_staged(storage, import_id, table.name, [*keys, ROW_HASH]).unique(keys, keep="first")
    both = staged.join(_live(connection, table), on=keys, how="full", coalesce=True)
    is_staged, is_active = pl.col(ROW_HASH).is_not_null(), pl.col("live_active").fill_null(0) == 1
    same = pl.col(ROW_HASH) == pl.col("live_hash")
    return Difference(
        added=both.filter(is_staged & ~is_active).select(keys),
        changed=both.filter(is_staged & is_active & ~same).select(keys),
        removed=both.filter(~is_staged & is_active).select(keys),
        unchanged=both.filter(is_staged & is_active & same).height,
    )


def _live(connection: Connection, table: Table) -> pl.DataFrame:
    keys = key_columns(table)
    query = sql.SQL("SELECT {}, row_hash, (status = 'active')::int FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, keys)), sql.Identifier(str(table.schema), table.name)
    )
    schema: dict[str, Any] = {**dict.fromkeys(keys, pl.String), "live_hash": pl.Int64, "live_active": pl.Int8}
    return copy_out(connection, query, schema)
