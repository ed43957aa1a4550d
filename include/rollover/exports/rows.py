"""The rows of a report as they come from the server: a few hundred at a time, never all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import Connection, func, select

from rollover.database.session import driver_of
from rollover.exports.report import Report, Row, Scope

AT_ONCE = 500
PLANNING = {"cursor_tuple_fraction": "1", "enable_nestloop": "off", "work_mem": "64MB"}
"""A report reads all rows of a year and joins them on keys: by hashes. PostgreSQL guesses one row behind row-level
security, for which it would loop over whole tables; and of a cursor it expects that only the first tenth is wanted.
A sort of a year's events then fits into memory; of a larger district, it goes to the server's disk."""


@contextmanager
def planned_for_all_rows(connection: Connection) -> Iterator[None]:
    """Have PostgreSQL plan the queries of a block for every row of a year."""
    before = connection.execute(select(*[func.current_setting(name) for name in PLANNING])).one()
    _set(connection, PLANNING)
    yield
    _set(connection, dict(zip(PLANNING, before, strict=True)))


@contextmanager
def rows_of(connection: Connection, report: Report, scope: Scope) -> Iterator[Iterator[Row]]:
    """The report's rows, by the names of its columns, while the block lasts."""
    with (
        planned_for_all_rows(connection),
        driver_of(connection).cursor("report", row_factory=dict_row) as cursor,
    ):
        cursor.itersize = AT_ONCE
        cursor.execute(sql.SQL(report.query), scope.parameters)
        yield iter(cursor)


def count_rows(connection: Connection, report: Report, scope: Scope) -> int:
    """How many rows a report would have."""
    with planned_for_all_rows(connection), driver_of(connection).cursor() as cursor:
        cursor.execute(sql.SQL("SELECT count(*) FROM ({}) q").format(sql.SQL(report.query)), scope.parameters)
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _set(connection: Connection, values: dict[str, str]) -> None:
    connection.execute(select(*[func.set_config(name, value, True) for name, value in values.items()]))
