"""Runs SQL over archived years. DuckDB reads the Parquet files in place; nothing is written.

The SQL is somebody else's text, so DuckDB is confined before it sees it: it can read the files of the chosen years and
no other file, no network, no extension, no Python variable, and its settings are locked. Files that are encrypted or
not on a local disk are read by pyarrow, as DuckDB asks for their rows: keys and storage credentials never reach DuckDB,
whose own reader also fails on encrypted pages after a column's first.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterable, Iterator
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
from rollover.sheet import defused, defused_sql
from rollover.storage import LOCAL, TEMPORARY

FILE = "_file"
"""The column with the file that a row is from."""
Years = Iterable[tuple[UPath, Manifest]]
NEVER_A_FORMULA = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN|DATE|TIME.*|UUID")
"""DuckDB types whose text is safe in a spreadsheet. Any other type may be text that somebody typed."""


def readable(years: Years, keys: Keys) -> tuple[list[tuple[UPath, Manifest]], list[str]]:
    """Return the years whose keys are available, and a sentence for each of the others."""
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
    """Open a connection with a view per table, e.g. ``hero.tracking_events``, over files of archived years.

    Every view has tenant_id and school_year, even if its table lacks them. SQL may leave out the schema. Raises Refused
    if no year is archived, or a key is missing. Raises ProofFailed if a file is not the one that was written.
    """
    parts: dict[str, list[str]] = {}
    with _private() as connection:
        own_files: list[str] = []
        for folder, manifest in years:
            for file in manifest.files:
                check(folder, file)
            if folder.protocol in LOCAL:
                own_files += [_location(folder / file.path) for file in manifest.files if file.key_id is None]
            for table, select in _selects(connection, folder, manifest, keys):
                parts.setdefault(table, []).append(select)
        if not parts:
            raise Refused("No archived year fits.", "`rollover archive list` names those there are.")
        for table, selects in sorted(parts.items()):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
            connection.execute(f"CREATE VIEW {table} AS {' UNION ALL BY NAME '.join(selects)}")
        connection.execute(f"SET search_path = '{','.join(dict.fromkeys(table.split('.')[0] for table in parts))}'")
        _confine(connection, own_files)
        yield connection


@contextmanager
def _private() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB in memory, with built-in extensions only. It spills to a folder of its own: DuckDB may read its
    temporary folder, so nothing else must be in it."""
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}query-") as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": folder,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        }
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection


def _confine(connection: duckdb.DuckDBPyConnection, files: Collection[str]) -> None:
    """Allow the connection to read only `files`, irrevocably."""
    connection.execute("SET python_enable_replacements = false")  # else a table's name may be a variable of ours
    connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, files))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def ask(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """Return the result of one SELECT. Raises Refused for anything else, and for what DuckDB does not understand."""
    try:
        statements = connection.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise Refused("This is not one SELECT.", "an archive can only be read: ask one thing at a time.")
        with without_values():
            return connection.sql(sql)
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise Refused(f"DuckDB says: {error}.", "correct the query.") from None  # of its text only, not of the data


def as_csv(result: duckdb.DuckDBPyRelation) -> pa.RecordBatchReader:
    """Read the rows of a result as text, in batches. Text that a spreadsheet would run as a formula gets an apostrophe
    in front, as in the exports. So do column names, which are text of the query."""
    texts = result.project("COLUMNS(*)::VARCHAR")  # CSV has no other type, and no list
    cells = []
    for place, (name, kind) in enumerate(zip(texts.columns, result.types, strict=True), start=1):
        cell = f"#{place}" if NEVER_A_FORMULA.fullmatch(str(kind)) else defused_sql(f"#{place}")
        shown = defused(name).replace('"', '""')
        cells.append(f'{cell} AS "{shown}"')
    return texts.project(", ".join(cells)).to_arrow_reader()


@contextmanager
def without_values() -> Iterator[None]:
    """Raise errors of reading rows by their kind only, since DuckDB's texts quote values.

    What DuckDB says of the query's own text (a word that it does not know) is left to the caller.
    """
    try:
        yield
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException):
        raise
    except duckdb.PermissionException:
        raise Refused(
            "The query reads something that is not one of the archived tables that were chosen.",
            "name tables only, as `SHOW ALL TABLES` lists them; no files, addresses, settings or extensions.",
        ) from None
    except duckdb.Error as error:
        raise Refused(
            f"The query failed: {type(error).__name__}.", "cast and divide only what can be, or restore a missing file."
        ) from None


def _selects(
    connection: duckdb.DuckDBPyConnection, folder: UPath, manifest: Manifest, keys: Keys
) -> Iterator[tuple[str, str]]:
    """Yield each table of a year that has files, with the SELECT of its rows.

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
            if key is None and folder.protocol in LOCAL:
                sources.append(_plain(folder, part))
                continue
            name = f"{manifest.tenant} {manifest.school_year} {table} {key_id}"
            connection.register(name, _by_arrow(folder, part, key))
            sources.append(f'"{name}"')
        rows = " UNION ALL BY NAME ".join(f"SELECT * FROM {source}" for source in sources)  # noqa: S608
        select = f"SELECT {columns}, * EXCLUDE ({', '.join([*own, FILE])}) FROM ({rows})"  # noqa: S608
        if files[0].bound:
            one = ", ".join(column.name for column in table_of(table).primary_key.columns if column.name not in year)
            select += f" QUALIFY row_number() OVER (PARTITION BY {one} ORDER BY {FILE}) = 1"
        yield table, f"({select})"


def _plain(folder: UPath, files: list[ArchivedFile]) -> str:
    """Return SQL for the rows of local files, which DuckDB reads."""
    paths = ", ".join(_quoted(_location(folder / file.path)) for file in files)
    return f"(SELECT *, filename AS {FILE} FROM read_parquet([{paths}], union_by_name = true))"  # noqa: S608


def _by_arrow(folder: UPath, files: list[ArchivedFile], key: Key | None) -> ds.Dataset:
    """Open files that are encrypted or remote with pyarrow, which reads only the columns and parts that a query needs.
    Raises ProofFailed if one is damaged or missing."""
    reading = key.decrypting_many() if key else ds.ParquetFileFormat()
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
