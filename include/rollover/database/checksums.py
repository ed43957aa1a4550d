"""Computes the number of rows in a set, and a checksum that does not depend on their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table

from rollover.database.held import anything_is_held, is_held
from rollover.database.tables.base import is_activity


@dataclass(frozen=True)
class RowsChecksum:
    """Two sets of rows with the same checksum hold the same rows.

    Rows are compared within one server: the hashes are PostgreSQL's own, and another version may have others.
    """

    rows: int
    checksum: Decimal
    bytes: int = field(default=0, compare=False)
    """The size of the rows in the database, if it was requested."""

    def __add__(self, other: RowsChecksum) -> RowsChecksum:
        """The checksum of both sets together."""
        return RowsChecksum(self.rows + other.rows, self.checksum + other.checksum, self.bytes + other.bytes)


NOTHING = RowsChecksum(0, Decimal(0))


def _checksum_sql(table: Table) -> str:
    """SQL over rows ``t`` of a table: 64 bits of each row's values, summed."""
    return f"coalesce(sum({row_hash(table)}), 0)"


def row_hash(table: Table) -> str:
    """SQL over a row ``t``: 64 bits of its values.

    The row's hash is hashed again: PostgreSQL combines the values' hashes linearly, so without it the sum would not
    change if two rows exchanged a value.
    """
    values = ", ".join(f't."{column.name}"' for column in table.columns)
    return f"hashint8extended(hash_record_extended(ROW({values}), 0), 0)"


def where_clause(
    table: Table, *, school_year: str | None, school_id: str | None = None, held: bool | None = None
) -> tuple[str, dict[str, Any]]:
    """The WHERE clause, with its parameters in psycopg's form, of one tenant's rows of a table.

    The tenant comes from the session. Activity tables need their school year; others have none. `held`: only the rows
    on hold, or only the others; all rows if it is None.
    """
    conditions, bound = ["t.tenant_id = (SELECT current_setting('rollover.tenant_id'))"], {}
    if is_activity(table):
        if school_year is None:
            raise ValueError(f"{table.fullname} needs a school year")
        conditions.append("t.school_year = %(school_year)s")
        bound["school_year"] = school_year
    if school_id is not None:
        conditions.append("t.school_id = %(school_id)s")
        bound["school_id"] = school_id
    if held is not None:
        conditions.append(is_held(table) if held else f"NOT {is_held(table)}")
    return " AND ".join(conditions), bound


def rows_checksum(
    connection: Connection,
    table: Table,
    where: str = "true",
    bound: Mapping[str, Any] | None = None,
    *,
    relation: str | None = None,
) -> RowsChecksum:
    """The checksum of the rows ``t`` of a table that match `where`, or of a `relation` with the same columns."""
    sql = f"SELECT count(*), {_checksum_sql(table)} FROM {relation or table.fullname} t WHERE {where}"  # noqa: S608
    row = connection.exec_driver_sql(sql, dict(bound or {})).one()
    return RowsChecksum(row[0], row[1])


def checksums_by_school(
    connection: Connection,
    table: Table,
    school_year: str | None,
    *,
    held: bool | None = None,
    sizes: bool = False,
) -> Mapping[str, RowsChecksum]:
    """The checksum of each school's rows of a table, with their bytes if requested; schools without rows are absent.

    `held`: see :func:`where_clause`.
    """
    if held is not None and not anything_is_held(connection):  # a question that PostgreSQL asks on one core only
        if held:
            return {}
        held = None
    where, bound = where_clause(table, school_year=school_year, held=held)
    sums = f"{_checksum_sql(table)}, {'sum(pg_column_size(t.*))' if sizes else '0'}"
    sql = f"SELECT t.school_id, count(*), {sums} FROM {table.fullname} t WHERE {where} GROUP BY t.school_id"  # noqa: S608
    found = connection.exec_driver_sql(sql, bound)
    return {school_id: RowsChecksum(rows, Decimal(hashes), size) for school_id, rows, hashes, size in found}
