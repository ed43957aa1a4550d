"""Finds the rows of the live roster that a staged set would change, by comparing hashes and keys, not rows.

The differences of each table are a Parquet file: keys, and what happens to their rows; no keys if every row is added.
They are valid for one version of the live roster, which the file names; see
:mod:`rollover.roster.imports.roster_version`.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from sqlalchemy import Connection, Table, TextClause, exists, select, text
from upath import UPath

from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.columnar import beside, columnar, local_copy, quoted
from rollover.roster.imports.files import diff_file, staged_file
from rollover.roster.imports.roster_version import roster_version
from rollover.roster.live import load_live, load_live_hashes
from rollover.roster.staged import ROW_HASH, key_columns, with_hash
from rollover.storage import whole_file

Counts = dict[str, int]
"""Rows of one table: ``added, returned, changed, unchanged, removed``."""
CHANGE = "change"
"""What happens to a row: ``added``, ``returned`` (it was ``tobedeleted``), ``changed`` or ``removed``."""
BATCH_ROWS = 50_000
"""Rows that memory holds at once."""
_VERSION, _COUNTS = "roster_version", "counts"

# A row's hash includes its key: if a set and the live roster have the same hash, the row is unchanged.
NEW_ROWS = """
    CREATE OR REPLACE TABLE new_rows AS
    FROM staged ANTI JOIN (FROM live_hashes WHERE is_active) live USING (row_hash)
"""
SMALL = 50_000
"""If a set has so few rows of a table, all live ones are read: to find those that differ first takes longer."""
FEW = 50_000
"""So many live rows that differ from the set are looked up one by one, and may be in memory."""
PLACE = "format('({},{})', block, line)"
GONE = f"SELECT {PLACE} FROM (FROM live_hashes WHERE is_active) live ANTI JOIN staged USING (row_hash)"
INACTIVE = f"SELECT {PLACE} FROM live_hashes WHERE NOT is_active LIMIT {FEW + 1}"
# As a subquery, the places make a plan that goes to each of them.
AT_PLACES = "ctid = ANY (ARRAY(SELECT unnest(CAST(:places AS tid[]))))"
AT_PLACES_OR_INACTIVE = "(ctid = ANY (CAST(:places AS tid[])) OR status <> 'active')"
DIFFERENCE = "CREATE OR REPLACE TABLE difference AS {rows}"
NOTHING = "SELECT {keys}, NULL::VARCHAR AS change {rows} WHERE false"
ALL_ADDED = "SELECT {keys}, 'added' AS change FROM {staged}"
COMPARED = """
    SELECT * FROM (
        SELECT {keys},
               CASE WHEN live.status IS NULL THEN 'added'
                    WHEN staged.row_hash IS NULL THEN CASE live.status WHEN 'active' THEN 'removed' END
                    WHEN live.status <> 'active' THEN 'returned'
                    WHEN staged.row_hash <> live.row_hash THEN 'changed'
               END AS change
        FROM {staged} staged
        FULL JOIN {live} live USING ({keys})
    ) WHERE change IS NOT NULL
"""


def write_differences(connection: Connection, import_id: str, storage: UPath) -> dict[str, Counts]:
    """Compare every staged table with the live one, as the session's transaction sees it; returns counts per table.

    The keys of the rows that differ go to storage, in their order. Rows that are ``tobedeleted`` and not in the set
    stay as they are and count nowhere. Memory stays flat: a join that needs more than DuckDB may use goes on on disk.
    """
    version = roster_version(connection)
    with columnar() as duck:
        return {table.name: _write(connection, duck, table, import_id, storage, version) for table in ROSTER_TABLES}


def all_added(counts: Counts) -> bool:
    """Whether every row of a table is added: then the file of its differences need not name them."""
    return bool(counts["added"]) and not any(rows for change, rows in counts.items() if change != "added")


def written_counts(connection: Connection, import_id: str, storage: UPath) -> dict[str, Counts] | None:
    """The counts of the differences in storage; None if they are of an older version of the live roster."""
    version = roster_version(connection)
    counts = {}
    for table in ROSTER_TABLES:
        path = diff_file(storage, import_id, table.name)
        if not path.exists():
            return None
        with path.open("rb") as stream:
            said = pq.read_metadata(stream).metadata
        if int(said[_VERSION.encode()]) != version:
            return None
        counts[table.name] = json.loads(said[_COUNTS.encode()])
    return counts


def _write(
    connection: Connection, duck: duckdb.DuckDBPyConnection, table: Table, import_id: str, storage: UPath, version: int
) -> Counts:
    keys = ", ".join(key_columns(table))
    with local_copy(staged_file(storage, import_id, table.name)) as staged:
        rows = pq.read_metadata(staged).num_rows
        is_first = not connection.scalar(select(exists().select_from(table)))
        _find(connection, duck, table, staged, is_first=is_first, is_small=rows <= SMALL)
    found = dict(duck.sql("SELECT change, count(*) FROM difference GROUP BY change").fetchall())
    found |= {"added": rows} if is_first else {}
    counts = {change: found.get(change, 0) for change in ("added", "returned", "changed")}
    counts |= {"unchanged": rows - sum(counts.values()), "removed": found.get("removed", 0)}
    differences = duck.sql(f"SELECT * FROM difference ORDER BY {keys}").to_arrow_reader(BATCH_ROWS)
    with (
        whole_file(diff_file(storage, import_id, table.name)) as stream,
        pq.ParquetWriter(stream, differences.schema, compression="zstd", use_dictionary=[CHANGE]) as writer,
    ):
        for batch in differences:
            writer.write_batch(batch)
        writer.add_key_value_metadata({_VERSION: str(version), _COUNTS: json.dumps(counts)})
    return counts


def _find(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    table: Table,
    staged: Path,
    *,
    is_first: bool,
    is_small: bool,
) -> None:
    """Fill DuckDB's table ``difference`` with the keys of rows that differ, and with none if no row is live.

    Of a large table, only the hashes of unchanged live rows are read.
    """
    keys = ", ".join(key_columns(table))
    rows = f"FROM read_parquet({quoted(staged)})"
    if is_first:
        duck.execute(DIFFERENCE.format(rows=NOTHING.format(keys=keys, rows=rows)))
        return
    hashed = f"CREATE OR REPLACE TABLE staged AS SELECT {keys}, {ROW_HASH} FROM ({with_hash(table, rows)})"
    if is_small:
        duck.execute(hashed)
        compared, where = "staged", None
    else:
        compared, where = _differing(connection, duck, table, hashed)
    live = load_live(connection, duck, table, [*key_columns(table), ROW_HASH, "status"], where)
    duck.execute(DIFFERENCE.format(rows=COMPARED.format(keys=keys, live=live, staged=compared)))
    duck.execute(f"DROP TABLE {live}")


def _differing(
    connection: Connection, duck: duckdb.DuckDBPyConnection, table: Table, hashed: str
) -> tuple[str, TextClause | None]:
    """Find by their hashes which rows may differ: the table of those of the set, and which of the live ones.

    `hashed` makes the table ``staged``.
    """
    with ThreadPoolExecutor(1) as aside:  # while PostgreSQL sends the others
        staged_hashes = aside.submit(beside(duck).execute, hashed)
        load_live_hashes(connection, duck, table)
        staged_hashes.result()
    where = _where_they_differ(duck)
    if where is None:
        return "staged", None
    duck.execute(NEW_ROWS)
    return "new_rows", where


def _where_they_differ(duck: duckdb.DuckDBPyConnection) -> TextClause | None:
    """Which live rows may differ from the set: active ones without a row of the same hash, and those that are not
    active. They are looked up by their places; None if they are too many for that."""
    gone = [place for (place,) in duck.execute(GONE).fetchall()]
    inactive = [place for (place,) in duck.execute(INACTIVE).fetchall()]
    if len(gone) > FEW:
        return None
    if len(inactive) > FEW:
        return text(AT_PLACES_OR_INACTIVE).bindparams(places=gone)
    return text(AT_PLACES).bindparams(places=gone + inactive)
