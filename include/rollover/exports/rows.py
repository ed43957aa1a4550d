"""Reads the rows of a report from the server, a few hundred at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from sqlalchemy import Connection, func, select

from rollover.database.held import anything_is_held, is_held
from rollover.database.tables import product_tables
from rollover.exports.report import Report, Row, Scope

AT_ONCE = 500
PLANNING = {"cursor_tuple_fraction": "1", "enable_nestloop": "off", "work_mem": "64MB"}
"""Settings for queries that read all rows of a year and join them by hash. Without them PostgreSQL expects one row
behind row-level security, and would loop over whole tables; and it expects that only the first tenth of a cursor is
read. With this memory, a year's events are sorted in memory; those of a larger district are sorted on the server's
disk."""


@contextmanager
def planned_for_all_rows(connection: Connection) -> Iterator[None]:
    """Make PostgreSQL plan the queries of this block for all rows of a year."""
    before = connection.execute(select(*[func.current_setting(name) for name in PLANNING])).one()
    _set(connection, PLANNING)
    yield
    _set(connection, dict(zip(PLANNING, before, strict=True)))


@contextmanager
def rows_of(connection: Connection, report: Report, scope: Scope) -> Iterator[Iterator[Row]]:
    """Open the report's rows, by column name, for this block."""
    options = {"yield_per": AT_ONCE}
    with (
        planned_for_all_rows(connection),
        connection.exec_driver_sql(report.query, scope.parameters, execution_options=options) as found,
    ):
        yield cast("Iterator[Row]", iter(found.mappings()))  # by name; SQLAlchemy's could also be asked by column


def count_rows(connection: Connection, report: Report, scope: Scope, *, leave_out_held: bool = False) -> int:
    """Count the rows of a report; with `leave_out_held`, without rows that are on hold."""
    query = report.query
    if leave_out_held and anything_is_held(connection):
        query = _without_held(query, report.product)
    with planned_for_all_rows(connection):
        found = connection.exec_driver_sql(f"SELECT count(*) FROM ({query}) q", scope.parameters)  # noqa: S608
        return int(found.scalar_one())


def _without_held(query: str, product: str) -> str:
    """Return a report's query that reads each table of the product without the rows on hold."""
    tables = {table.fullname: table for table in product_tables(product)}

    def not_held(match: re.Match[str]) -> str:
        name = match.group()
        return f"(SELECT t.* FROM {name} t WHERE NOT {is_held(tables[name])})"  # noqa: S608

    return re.sub(rf"\b{product}\.(?:{'|'.join(table.name for table in tables.values())})\b", not_held, query)


def _set(connection: Connection, values: dict[str, str]) -> None:
    connection.execute(select(*[func.set_config(name, value, True) for name, value in values.items()]))
