"""Shapes the roster tables from the accepted rows of a set's files, and from the live rows that stay."""

from __future__ import annotations

from collections.abc import Collection

import duckdb
from sqlalchemy import Table

from rollover.calendar import JULY, MonthDay, SchoolYear, begins_on
from rollover.database.tables.roster import ROSTER_TABLES, enrollments
from rollover.roster.formats.spec import Keeps
from rollover.roster.staged import key_columns, value_columns
from rollover.roster.validating.rules import CheckedSet


def shape(
    duck: duckdb.DuckDBPyConnection,
    files: CheckedSet,
    files_year: SchoolYear,
    *,
    kept: Collection[Keeps] = (),
    begins: MonthDay = JULY,
) -> None:
    """Check files and make ``roster_<table>`` of their accepted rows, and of the live rows that are `kept`.

    Enrollments, by far the most rows, are not stored twice. `files_year` is the school year of a set that names none.
    """
    files.check_files()
    duck.execute(f"SET VARIABLE files_year_begins = DATE '{begins_on(files_year, begins)}'")
    duck.execute(
        f"SET VARIABLE begins_in_last_year = {int(begins_on(files_year, begins).year == files_year.last_year)}"
    )
    for table in ROSTER_TABLES:
        shape_table(duck, files, table, kept)
    files.check_roster()
    files.rows.forget()


def shape_table(duck: duckdb.DuckDBPyConnection, files: CheckedSet, table: Table, kept: Collection[Keeps]) -> None:
    kind = "VIEW" if table is enrollments else "TABLE"
    duck.execute(f"CREATE OR REPLACE {kind} roster_{table.name} AS {files.format.shapes[table.name]}")
    for keeps in kept:
        if keeps.table == table.name:
            _keep_not_said(duck, table, keeps)


def _keep_not_said(duck: duckdb.DuckDBPyConnection, table: Table, keeps: Keeps) -> None:
    columns = ", ".join(f'"{name}"' for name in value_columns(table))
    same = " AND ".join(f'r."{key}" = live."{key}"' for key in key_columns(table))
    duck.execute(f"""
        INSERT INTO roster_{table.name} ({columns})
        SELECT {columns} FROM live_{table.name} live
        WHERE ({keeps.where}) AND NOT EXISTS (FROM roster_{table.name} r WHERE {same})
    """)
