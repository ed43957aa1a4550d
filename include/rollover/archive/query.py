"""SQL over archived years: DuckDB reads the Parquet files where they lie. Nothing is written, no server is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import duckdb
from upath import UPath

from rollover.archive.manifest import Manifest, check
from rollover.archive.tables import table_of
from rollover.errors import Refused
from rollover.storage import LOCAL


@contextmanager
def archived(years: Iterable[tuple[UPath, Manifest]]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a view per table, e.g. ``hero.tracking_events``, over the files of some archived years.

    Every view has tenant_id and school_year, also where the rows have none of their own. The schema may be left out.
    Raises Refused where there is nothing to look at, ProofFailed where a file is not the one that was written: what
    DuckDB would read of it may be wrong.
    """
    parts: dict[str, list[str]] = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for folder, manifest in years:
            if folder.protocol not in LOCAL:
                connection.register_filesystem(folder.fs)
            for file in manifest.files:
                check(folder, file)
            for table, select in _selects(folder, manifest):
                parts.setdefault(table, []).append(select)
        if not parts:
            raise Refused("No archived year fits.", "`rollover archive list` names those there are.")
        for table, selects in sorted(parts.items()):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
            connection.execute(f"CREATE VIEW {table} AS {' UNION ALL BY NAME '.join(selects)}")
        connection.execute(f"SET search_path = '{','.join(dict.fromkeys(table.split('.')[0] for table in parts))}'")
        yield connection


def ask(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """The result of one SELECT. Raises Refused for anything else, and for what DuckDB does not understand."""
    try:
        statements = connection.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise Refused("This is not one SELECT.", "an archive can only be read: ask one thing at a time.")
        return connection.sql(sql)
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise Refused(f"DuckDB says: {error}.", "correct the query.") from None  # of its text only, not of the data


@contextmanager
def without_values() -> Iterator[None]:
    """Raise what fails while rows are read by its kind only: DuckDB's texts quote values."""
    try:
        yield
    except duckdb.Error as error:
        raise Refused(
            f"The query failed: {type(error).__name__}.", "cast and divide only what can be, or restore a missing file."
        ) from None


def _selects(folder: UPath, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Each table of a year that has files, and the SELECT of its rows.

    What was bound by several plans, or to several schools, is there once: as the first plan found it.
    """
    year = {"tenant_id": manifest.tenant, "school_year": manifest.school_year}
    columns = ", ".join(f"{_quoted(value)} AS {name}" for name, value in year.items())
    for table in manifest.tables:
        files = [file for file in manifest.files if file.table == table]
        if not files:
            continue
        own = [name for name in year if name in table_of(table).c]
        others = f"* EXCLUDE ({', '.join(own)})" if own else "*"
        paths = ", ".join(_quoted(_location(folder / file.path)) for file in files)
        select = f"SELECT {columns}, {others} FROM read_parquet([{paths}], union_by_name = true)"  # noqa: S608
        if files[0].bound:
            key = ", ".join(column.name for column in table_of(table).primary_key.columns if column.name not in year)
            select += f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY filename) = 1"
        yield table, f"({select})"


def _location(path: UPath) -> str:
    return path.path if path.protocol in LOCAL else str(path)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
