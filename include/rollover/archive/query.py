"""SQL over archived years: DuckDB reads the Parquet files where they lie. Nothing is written, no server is asked.

Of encrypted files pyarrow reads what DuckDB asks for: DuckDB's own reader fails on pages after a column's first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from upath import UPath

from rollover.archive.keys import Key, Keys
from rollover.archive.manifest import ArchivedFile, Manifest, check
from rollover.archive.tables import table_of
from rollover.errors import ProofFailed, Refused
from rollover.storage import LOCAL

FILE = "_file"
"""The column that says which file a row is from."""
Years = Iterable[tuple[UPath, Manifest]]


def readable(years: Years, keys: Keys) -> tuple[list[tuple[UPath, Manifest]], list[str]]:
    """The years whose keys are at hand, and why the others cannot be read, a sentence each."""
    found, closed = [], []
    for folder, manifest in years:
        try:
            for key_id in {file.key_id for file in manifest.files}:
                keys.to_read(manifest.tenant, key_id)
            found.append((folder, manifest))
        except Refused as error:
            closed.append(f"{manifest.school_year} of {manifest.tenant} cannot be read. {error}")
    return found, closed


@contextmanager
def archived(years: Years, keys: Keys) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a view per table, e.g. ``hero.tracking_events``, over the files of some archived years.

    Every view has tenant_id and school_year, also where the rows have none of their own. The schema may be left out.
    Raises Refused where there is nothing to look at, or a key is not there; ProofFailed where a file is not the one
    that was written: what DuckDB would read of it may be wrong.
    """
    parts: dict[str, list[str]] = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for folder, manifest in years:
            if folder.protocol not in LOCAL:
                connection.register_filesystem(folder.fs)
            for file in manifest.files:
                check(folder, file)
            for table, select in _selects(connection, folder, manifest, keys):
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


def _selects(
    connection: duckdb.DuckDBPyConnection, folder: UPath, manifest: Manifest, keys: Keys
) -> Iterator[tuple[str, str]]:
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
        sources = []
        for key_id in sorted({file.key_id or "" for file in files}):
            part = [file for file in files if (file.key_id or "") == key_id]
            key = keys.to_read(manifest.tenant, key_id or None)
            if key is None:
                sources.append(_plain(folder, part))
                continue
            name = f"{manifest.tenant} {manifest.school_year} {table} {key_id}"
            connection.register(name, _encrypted(folder, part, key))
            sources.append(f'"{name}"')
        rows = " UNION ALL BY NAME ".join(f"SELECT * FROM {source}" for source in sources)  # noqa: S608
        select = f"SELECT {columns}, * EXCLUDE ({', '.join([*own, FILE])}) FROM ({rows})"  # noqa: S608
        if files[0].bound:
            one = ", ".join(column.name for column in table_of(table).primary_key.columns if column.name not in year)
            select += f" QUALIFY row_number() OVER (PARTITION BY {one} ORDER BY {FILE}) = 1"
        yield table, f"({select})"


def _plain(folder: UPath, files: list[ArchivedFile]) -> str:
    """The rows of files, as DuckDB reads them."""
    paths = ", ".join(_quoted(_location(folder / file.path)) for file in files)
    return f"(SELECT *, filename AS {FILE} FROM read_parquet([{paths}], union_by_name = true))"  # noqa: S608


def _encrypted(folder: UPath, files: list[ArchivedFile], key: Key) -> ds.Dataset:
    """The rows of encrypted files, as pyarrow reads them: only the columns and the parts of a file that a query asks
    for. Raises ProofFailed where one is damaged or missing."""
    reading = key.decrypting_many()
    local = folder.protocol in LOCAL
    system = pafs.LocalFileSystem() if local else pafs.PyFileSystem(pafs.FSSpecHandler(folder.fs))
    parts = [
        reading.make_fragment(
            (folder / file.path).path, system, partition_expression=ds.field(FILE) == _location(folder / file.path)
        )
        for file in files
    ]
    try:
        schema = pa.unify_schemas([part.physical_schema for part in parts])
    except OSError as error:
        raise ProofFailed(
            f"A file of {folder} cannot be read: {type(error).__name__}.", "restore it from the storage's versions."
        ) from None
    return ds.FileSystemDataset(parts, schema.append(pa.field(FILE, pa.string())), reading, system)


def _location(path: UPath) -> str:
    return path.path if path.protocol in LOCAL else str(path)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
