"""Completes a set from the live roster: with columns and files that it lacks, and the records of its rejected rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import duckdb
import polars as pl
from sqlalchemy import Connection, Table, select

from rollover.database.session import lock_tenant
from rollover.database.tables import ledger
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.formats import FORMATS, Format
from rollover.roster.formats.spec import Keeps
from rollover.roster.imports import Import
from rollover.roster.imports.roster_version import roster_version
from rollover.roster.live import load_live
from rollover.roster.staged import ALL, key_columns, value_columns
from rollover.roster.validating.rejected_rows import keep_live
from rollover.roster.validating.rules import CheckedSet
from rollover.roster.validating.shape import shape_table

LINKS = """
    CREATE VIEW live_links AS SELECT person_id, list(agent ORDER BY agent) AS agents FROM (
        SELECT student_id AS person_id, guardian_id AS agent FROM live_guardians
        UNION ALL SELECT guardian_id, student_id FROM live_guardians
    ) GROUP BY person_id
"""
PERSON_IDS = (
    *(("people", "sourced_id"), ("guardians", "student_id"), ("guardians", "guardian_id")),
    ("enrollments", "person_id"),
)
"""The columns of the live roster with a person's id."""


def reads_live(found: Import) -> bool:
    """Whether a set is completed from the live roster, because it lacks columns or files."""
    return bool(not found.is_whole or found.details.reading.not_said or kept_live(FORMATS[str(found.format)], found))


def load_what_is_not_said(
    connection: Connection, duck: duckdb.DuckDBPyConnection, found: Import, *, renamed: bool
) -> None:
    """Load the live rows that complete the set: all of them for a delta, else single columns."""
    spec = FORMATS[str(found.format)]
    whole = {name for name, column, *_ in found.details.reading.not_said if column == ALL}
    whole |= {keeps.table for keeps in kept_live(spec, found)}
    for table in ROSTER_TABLES:
        silent = {column for name, column, *_ in found.details.reading.not_said if name == table.name}
        is_all_kept = not found.is_whole or table.name in whole
        if not is_all_kept and not silent:
            continue
        columns = value_columns(table) if is_all_kept else [*key_columns(table), *sorted(silent)]
        _load_active(connection, duck, found, table, columns, renamed=renamed)
    if not found.is_whole:
        duck.execute(LINKS)


def _load_active(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    found: Import,
    table: Table,
    columns: list[str],
    *,
    renamed: bool,
) -> None:
    name = load_live(connection, duck, table, [*columns, "status"])
    duck.execute(f"DELETE FROM {name} WHERE status <> 'active'")
    if renamed:
        _rename(connection, duck, found, table, columns)


def _rename(
    connection: Connection, duck: duckdb.DuckDBPyConnection, found: Import, table: Table, columns: Collection[str]
) -> None:
    """Change the ids of people in a loaded live table by the import's map."""
    ids = select(ledger.id_maps.c.old_id, ledger.id_maps.c.new_id).where(ledger.id_maps.c.import_id == found.import_id)
    pairs = [tuple(row) for row in connection.execute(ids)]
    duck.register("id_map", pl.DataFrame(pairs, schema=["old_id", "new_id"], orient="row").to_arrow())
    for its_table, column in PERSON_IDS:
        if its_table == table.name and column in columns:
            duck.execute(f"UPDATE live_{table.name} SET {column} = new_id FROM id_map WHERE {column} = old_id")
    duck.unregister("id_map")


def kept_live(spec: Format, found: Import) -> list[Keeps]:
    """The live rows that stay because the set lacks their file or column."""
    reading = found.details.reading
    files = [file.keeps for file in spec.files if file.name not in reading.files_read]
    columns = [column.keeps for file in spec.files for column in file.columns if column.fills in reading.not_said]
    return [keeps for keeps in (*files, *columns) if keeps is not None]


@dataclass(frozen=True)
class Kept:
    """The live records that stay because rows about them were rejected."""

    rows: dict[str, int] = field(default_factory=dict)
    unnamed: dict[str, int] = field(default_factory=dict)
    laid_over: int | None = None
    """The version of the live roster that was read; None if nothing of it was."""


def keep_what_rejected_rows_are_about(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    checked: CheckedSet,
    found: Import,
    taken: dict[str, int],
    *,
    renamed: bool,
) -> Kept:
    """Keep the live records that rejected rows are about.

    The tenant's lock keeps the live roster unchanged until the ledger has its version.
    """
    details, reading = found.details, found.details.reading
    full = [name for name in reading.files_read if name not in reading.deltas]
    laid_over: int | None = None

    def load(table: Table) -> None:
        nonlocal laid_over
        lock_tenant(connection)
        laid_over = roster_version(connection)
        _load_whole(connection, duck, found, table, renamed=renamed)

    stayed = keep_live(
        duck,
        checked,
        {name: details.rows[name] - taken[name] for name in full},
        {name: count for name, count in reading.not_identified.items() if name in full},
        load,
        lambda table: shape_table(duck, checked, table, kept_live(checked.format, found)),
    )
    return Kept(stayed.rows, stayed.unnamed, laid_over)


def _load_whole(
    connection: Connection, duck: duckdb.DuckDBPyConnection, found: Import, table: Table, *, renamed: bool
) -> None:
    """Load the active rows of a live table, unless they are loaded with every column."""
    query = "SELECT column_name FROM duckdb_columns() WHERE table_name = $name AND database_name = current_database()"
    there = {column for (column,) in duck.execute(query, {"name": f"live_{table.name}"}).fetchall()}
    if not there.issuperset(value_columns(table)):
        duck.execute(f"DROP TABLE IF EXISTS live_{table.name}")
        _load_active(connection, duck, found, table, value_columns(table), renamed=renamed)
