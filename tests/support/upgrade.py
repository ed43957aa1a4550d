"""A database of a released version with a season in it, upgraded to the newest: what was lost on the way."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, Engine, text

from rollover.database import migrate
from rollover.database.school_years import ensure_school_year
from rollover.database.session import connect, driver_of
from rollover.database.tables import metadata
from rollover_demo.postgres import PostgresServer

SEASON = Path(__file__).parents[1] / "database" / "season_0.1.0.sql"
YEARS = ("2025-26", "2026-27")
Rows = dict[str, Counter[tuple[str, ...]]]
"""By table: how often each row is there, its values as PostgreSQL prints them, in the order of the columns' names."""

OUR_COLUMNS = text("""
    SELECT c.oid::regclass::text, array_agg(a.attname::text ORDER BY a.attname)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'public')
    GROUP BY c.oid
""")
OUR_CHECKS = text("""
    SELECT conrelid::regclass::text, conname FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
    WHERE contype = 'c' AND NOT t.relispartition
""")


def digest(revision: str, versions: Path) -> str:
    """The SHA-256 of a migration: of its module and of every file in the folder of the same name."""
    (module,) = versions.glob(f"{revision}_*.py")
    files = sorted(module.with_suffix("").glob("*")) if module.with_suffix("").is_dir() else []
    found = hashlib.sha256()
    for file in [module, *files]:
        found.update(f"{file.name}\0{file.read_text(encoding='utf-8')}\0".encode())
    return found.hexdigest()


@contextmanager
def a_database(server: PostgresServer) -> Iterator[str]:
    """The name of an empty database, which is gone afterwards."""
    name = f"upgrade_{uuid.uuid4().hex[:12]}"
    server.create(name)
    yield name
    server.drop(name)


@contextmanager
def upgraded_season(server: PostgresServer, revision: str = "0001") -> Iterator[tuple[str, list[str]]]:
    """A database made at `revision`, filled with the stored season and upgraded; and what is wrong with it."""
    with a_database(server) as name:
        owner = connect(server.url(name))
        with owner.begin() as connection:
            command.upgrade(migrate.config(connection), revision)
            driver_of(connection).execute(SEASON.read_bytes())
        before = rows(owner)
        empty = [f"the season has no row of {table}" for table, found in before.items() if not found]
        migrate.upgrade(owner)
        yield name, empty + lost(before, rows(owner, before)) + undeclared(owner) + different(server, name)


def rows(owner: Engine, only: Rows | None = None) -> Rows:
    """Every row of our tables; with `only`, of its tables and with its columns, as far as they are still there."""
    with owner.connect() as connection:
        columns = {table: tuple(names) for table, names in connection.execute(OUR_COLUMNS)}
        if only is not None:
            columns = {table: _shown(only[table], columns.get(table, ())) for table in only}
        return {table: _rows(connection, table, names) for table, names in columns.items()}


def _rows(connection: Connection, table: str, columns: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    if not columns:
        return Counter()
    values = ", ".join(f"'{name}=' || coalesce(\"{name}\"::text, 'null')" for name in columns)
    return Counter(tuple(row) for row in connection.execute(text(f"SELECT {values} FROM {table}")))


def _shown(found: Counter[tuple[str, ...]], columns: tuple[str, ...]) -> tuple[str, ...]:
    names = {value.partition("=")[0] for row in found for value in row}
    return tuple(name for name in columns if name in names)


def lost(before: Rows, after: Rows) -> list[str]:
    """The tables of which rows, or values of rows, are not there any more."""
    return [f"rows of {table} are lost or changed" for table, found in before.items() if found - after[table]]


def undeclared(owner: Engine) -> list[str]:
    """Where the database and the tables that the code declares differ."""
    with owner.connect() as connection:
        options = {"include_schemas": True, "include_name": _is_ours, "version_table": "schema_version"}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        checks = {tuple(row) for row in connection.execute(OUR_CHECKS)}
    declared = {
        (table.fullname, f"ck_{table.name}_{check.name}" if not str(check.name).startswith("ck_") else str(check.name))
        for table in metadata.tables.values()
        for check in table.constraints
        if isinstance(check, CheckConstraint)
    }
    return [f"declared otherwise: {item}" for item in [*found, *sorted(checks ^ declared)]]


def _is_ours(name: str | None, kind: str, parents: object) -> bool:
    return not (kind == "table" and name is not None and (name == "schema_version" or "__" in name))


def different(server: PostgresServer, database: str) -> list[str]:
    """The lines in which an upgraded database differs from one that was made new."""
    with a_database(server) as name:
        owner = connect(server.url(name))
        migrate.upgrade(owner)
        with owner.begin() as connection:
            for year in YEARS:
                ensure_school_year(connection, year)
        new, upgraded = (Counter(server.schema(one).splitlines()) for one in (name, database))
    return [f"not as a new database has it: {line}" for line in [*(new - upgraded), *(upgraded - new)]]
