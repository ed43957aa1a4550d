"""What a staged set would change in the live roster: keys and hashes are compared, not rows.

The differences of each table are a Parquet file of their own: keys, and what happens to their rows. They hold for one
version of the live roster, which the file names; see :mod:`rollover.roster.version`.
"""

from __future__ import annotations

import json

import duckdb
import pyarrow.parquet as pq
from sqlalchemy import Connection, Table, func, select
from upath import UPath

from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.columnar import columnar, local_copy
from rollover.roster.files import diff_file, staged_file
from rollover.roster.live import load_live
from rollover.roster.staged import ROW_HASH, key_columns
from rollover.roster.version import roster_version
from rollover.storage import whole_file

Counts = dict[str, int]
"""Rows of one table: ``added, returned, changed, unchanged, removed``."""
CHANGE = "change"
"""What happens to a row: ``added``, ``returned`` (it was ``tobedeleted``), ``changed`` or ``removed``."""
BATCH_ROWS = 50_000
"""Rows that memory holds at once."""
_VERSION, _COUNTS = "roster_version", "counts"

STAGED_TOTALS = "SELECT count(*), coalesce(sum(row_hash), 0) FROM read_parquet($staged)"
DIFFERENCE = "CREATE OR REPLACE TABLE difference AS {rows}"
ALL_ADDED = "SELECT {keys}, 'added' AS change FROM read_parquet($staged)"
NONE = "SELECT {keys}, '' AS change FROM read_parquet($staged) LIMIT 0"
COMPARED = """
    SELECT * FROM (
        SELECT {keys},
               CASE WHEN live.status IS NULL THEN 'added'
                    WHEN staged.row_hash IS NULL THEN CASE live.status WHEN 'active' THEN 'removed' END
                    WHEN live.status <> 'active' THEN 'returned'
                    WHEN staged.row_hash <> live.row_hash THEN 'changed'
               END AS change
        FROM (SELECT {keys}, row_hash FROM read_parquet($staged)) staged
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


def written_counts(connection: Connection, import_id: str, storage: UPath) -> dict[str, Counts] | None:
    """The counts of the differences that lie in storage; None where these are not of the live roster as it is now."""
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
        rows = _find(connection, duck, table, {"staged": str(staged)})
    found = dict(duck.sql("SELECT change, count(*) FROM difference GROUP BY change").fetchall())
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


def _find(connection: Connection, duck: duckdb.DuckDBPyConnection, table: Table, staged: dict[str, str]) -> int:
    """Fill DuckDB's table ``difference`` with the keys of rows that differ; returns how many rows the set has.

    Where nothing is live, or the hashes of the live rows add up to those of the set's, no row has to be looked at.
    """
    keys = ", ".join(key_columns(table))
    rows, hashes = duck.sql(STAGED_TOTALS, params=staged).fetchall()[0]
    live_rows, active_rows, active_hashes = _live_totals(connection, table)
    if not live_rows:
        query = ALL_ADDED.format(keys=keys)
    elif (rows, hashes) == (active_rows, active_hashes):
        query = NONE.format(keys=keys)
    else:
        live = load_live(connection, duck, table, [*key_columns(table), ROW_HASH, "status"])
        query = COMPARED.format(keys=keys, live=live)
    duck.execute(DIFFERENCE.format(rows=query), staged)
    duck.execute(f"DROP TABLE IF EXISTS live_{table.name}")
    return int(rows)


def _live_totals(connection: Connection, table: Table) -> tuple[int, int, int]:
    """Rows; active rows; the sum of the active rows' hashes."""
    active = table.c.status == "active"
    hashes = func.coalesce(func.sum(table.c.row_hash).filter(active), 0)
    rows, active_rows, total = connection.execute(
        select(func.count(), func.count().filter(active), hashes).select_from(table)
    ).one()
    return rows, active_rows, int(total)
