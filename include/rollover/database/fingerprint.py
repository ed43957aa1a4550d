"""What a set of rows is, in one row count and one checksum that does not depend on their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table

from rollover.database.held import is_held
from rollover.database.tables.base import is_activity

# 64 bits of each row's text, summed. Rows are compared within one server and one session's time zone.
CHECKSUM = "coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)"


@dataclass(frozen=True)
class Fingerprint:
    """Two sets of rows with the same fingerprint hold the same rows."""

    rows: int
    checksum: Decimal


def scope(
    table: Table, *, school_year: str | None, school_id: str | None = None, held: bool | None = None
) -> tuple[str, dict[str, Any]]:
    """The WHERE clause, with its parameters in psycopg's form, of one tenant's rows of a table.

    The tenant comes from the session. Activity tables need their school year; others have none. `held`: only the rows
    that a hold is on, or only the others; both, where it is None.
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


def fingerprint(connection: Connection, relation: str) -> Fingerprint:
    """The fingerprint of everything in a relation, e.g. a temporary table."""
    row = connection.exec_driver_sql(f"SELECT count(*), {CHECKSUM} FROM {relation} t").one()  # noqa: S608
    return Fingerprint(row[0], row[1])


def fingerprints_by_school(
    connection: Connection, table: Table, school_year: str | None, *, held: bool | None = None
) -> Mapping[str, Fingerprint]:
    """The fingerprint of each school's rows of a table; schools without rows are absent. `held`: see :func:`scope`."""
    where, bound = scope(table, school_year=school_year, held=held)
    sql = f"SELECT t.school_id, count(*), {CHECKSUM} FROM {table.fullname} t WHERE {where} GROUP BY t.school_id"  # noqa: S608
    return {row[0]: Fingerprint(row[1], row[2]) for row in connection.exec_driver_sql(sql, bound)}


def delete_rows(connection: Connection, table: Table, *, school_year: str | None, school_id: str) -> Fingerprint:
    """Delete one school's rows of a table that are not held. Returns the fingerprint of exactly the rows that went."""
    where, bound = scope(table, school_year=school_year, school_id=school_id, held=False)
    sql = f"WITH t AS (DELETE FROM {table.fullname} t WHERE {where} RETURNING t.*) SELECT count(*), {CHECKSUM} FROM t"  # noqa: S608
    row = connection.exec_driver_sql(sql, bound).one()
    return Fingerprint(row[0], row[1])
