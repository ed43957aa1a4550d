"""Finds the rows of the live roster that a staged set would change, by comparing hashes and keys, not rows.

The differences of each table are a Parquet file: keys, and what happens to their rows. They are valid for one version
of the live roster, which the file names; see :mod:`rollover.roster.imports.roster_version`.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from sqlalchemy import BigInteger, Connection, Table, any_, exists, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from upath import UPath

from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.columnar import columnar, local_copy, quoted
from rollover.roster.imports.files import diff_file, staged_file
from rollover.roster.imports.roster_version import roster_version
from rollover.roster.live import load_live, load_live_hashes
from rollover.roster.staged import ROW_HASH, key_columns
from rollover.storage import whole_file

Counts = dict[str, int]
"""Rows of one table: ``added, returned, changed, unchanged, removed``."""
CHANGE = "change"
"""What happens to a row: ``added``, ``returned`` (it was ``tobedeleted``), ``changed`` or ``removed``."""
BATCH_ROWS = 50_000
"""Rows that memory holds at once."""
_VERSION, _COUNTS = "roster_version", "counts"

# A row's hash includes its key: if a set and the live roster have the same hash, the row is unchanged.
NEW_ROWS = "CREATE OR REPLACE TABLE new_rows AS FROM staged ANTI JOIN live_hashes USING (row_hash)"
GONE_HASHES = "SELECT row_hash FROM live_hashes ANTI JOIN staged USING (row_hash)"
FEW = 50_000
"""So many live rows that differ from the set are looked up one by one, and may be in memory."""
DIFFERENCE = "CREATE OR REPLACE TABLE difference AS {rows}"
ALL_ADDED = "SELECT {keys}, 'added' AS change FROM staged"
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
        _find(connection, duck, table, staged)
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


def _find(connection: Connection, duck: duckdb.DuckDBPyConnection, table: Table, staged: Path) -> None:
    """Fill DuckDB's table ``difference`` with the keys of rows that differ.

    Only the hashes of unchanged live rows are read, and nothing if no row is live.
    """
    keys = ", ".join(key_columns(table))
    duck.execute(f"CREATE OR REPLACE VIEW staged AS SELECT {keys}, row_hash FROM read_parquet({quoted(staged)})")
    if not connection.scalar(select(exists().select_from(table))):
        duck.execute(DIFFERENCE.format(rows=ALL_ADDED.format(keys=keys)))
        return
    load_live_hashes(connection, duck, table)
    duck.execute(NEW_ROWS)
    gone = duck.sql(GONE_HASHES).fetchnumpy()[ROW_HASH]
    where, compared = None, "staged"
    if len(gone) <= FEW:
        are_gone = table.c.row_hash == any_(literal(gone.tolist(), ARRAY(BigInteger)))
        where, compared = or_(are_gone, table.c.status != "active"), "new_rows"
    live = load_live(connection, duck, table, [*key_columns(table), ROW_HASH, "status"], where)
    duck.execute(DIFFERENCE.format(rows=COMPARED.format(keys=keys, live=live, staged=compared)))
    duck.execute(f"DROP TABLE {live}")
