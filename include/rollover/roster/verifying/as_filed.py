"""Checks that the live roster has exactly the rows of a set's files, by their number and the sum of their hashes.

Neither side is read into memory: PostgreSQL adds up the live rows, DuckDB the staged ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
from sqlalchemy import Connection, Table, func, select
from upath import UPath

from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.columnar import columnar, local_copy
from rollover.roster.imports import Decision, Import
from rollover.roster.imports.files import staged_file
from rollover.roster.live import load_live
from rollover.roster.staged import ROW_HASH, key_columns, with_hash

ALL = ""
"""The key of all rows of a table whose rows belong to no school."""
SHOWN_SCHOOLS = 5
Totals = dict[str, tuple[int, int]]
"""By school: the number of rows, and the sum of their hashes."""

STAGED = "FROM read_parquet($staged)"
STAGED_TOTALS = "SELECT count(*), sum(row_hash) {school} FROM ({staged}) {by}"
# If a person allowed additions only, rows that existed before may differ from the set. The rows that the import added
# may not, and none may be missing.
ADDITIONS = """
    SELECT count(*) FILTER (WHERE live.status IS DISTINCT FROM 'active' AND staged.row_hash IS NOT NULL),
           count(*) FILTER (WHERE live.status = 'active' AND live.row_hash <> staged.row_hash
                              AND live.import_id = $import_id),
           count(*) FILTER (WHERE live.status = 'active' AND live.row_hash <> staged.row_hash
                              AND live.import_id <> $import_id),
           count(*) FILTER (WHERE live.status = 'active' AND staged.row_hash IS NULL)
    FROM (SELECT {keys}, row_hash FROM ({staged})) staged
    FULL JOIN {live} live USING ({keys})
"""


@dataclass
class AsFiled:
    """The result. ``wrong`` has sentences, ``schools`` the schools whose classes or enrollments differ from the
    files."""

    wrong: list[str] = field(default_factory=list)
    schools: set[str] = field(default_factory=set)
    compared: str = "every row"
    """Or ``number of rows`` if the set's files are no longer in storage, or ``additions``."""
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    """By table, if only additions were allowed: the live rows that differ from the set or are not in it."""


def as_filed(connection: Connection, found: Import, storage: UPath) -> AsFiled:
    """Compare the live roster with the staged files of an applied import; `found` is the import that was staged."""
    if not all(staged_file(storage, found.import_id, table.name).exists() for table in ROSTER_TABLES):
        return _by_number(connection, found)
    if found.decision is Decision.ADDITIONS_ONLY:
        return _additions(connection, found, storage)
    result = AsFiled()
    with columnar() as duck:
        for table in ROSTER_TABLES:
            with local_copy(staged_file(storage, found.import_id, table.name)) as staged:
                _compare(table, _live(connection, table), _staged(duck, table, str(staged)), result)
    return result


def _compare(table: Table, live: Totals, staged: Totals, result: AsFiled) -> None:
    if live == staged:
        return
    schools = sorted(school for school in {*live, *staged} - {ALL} if live.get(school) != staged.get(school))
    result.schools |= set(schools)
    more = f", … ({len(schools)} schools)" if len(schools) > SHOWN_SCHOOLS else ""
    where = f" (in {', '.join(schools[:SHOWN_SCHOOLS])}{more})" if schools else ""
    rows, filed = (sum(count for count, _ in side.values()) for side in (live, staged))
    result.wrong.append(f"{table.name} has {rows} active rows that are not the {filed} of the files{where}")


def _live(connection: Connection, table: Table) -> Totals:
    query = select(func.count(), func.sum(table.c.row_hash)).where(table.c.status == "active")
    if _has_school(table):
        query = query.add_columns(table.c.school_id).group_by(table.c.school_id)
    return _totals(connection.execute(query))


def _staged(duck: duckdb.DuckDBPyConnection, table: Table, staged: str) -> Totals:
    school, by = (", school_id", "GROUP BY school_id") if _has_school(table) else ("", "")
    query = STAGED_TOTALS.format(school=school, by=by, staged=with_hash(table, STAGED))
    return _totals(duck.execute(query, {"staged": staged}).fetchall())


def _has_school(table: Table) -> bool:
    return "school_id" in table.c


def _totals(rows: Iterable[Sequence[Any]]) -> Totals:
    return {school[0] if school else ALL: (count, int(hashes)) for count, hashes, *school in rows if count}


def _by_number(connection: Connection, found: Import) -> AsFiled:
    """Compare the numbers of accepted rows only: the files were removed when the import was finished."""
    result = AsFiled(compared="number of rows")
    for table in ROSTER_TABLES:
        rows = connection.scalar(select(func.count()).where(table.c.status == "active")) or 0
        accepted = found.details.validation.accepted.get(table.name)
        is_right = rows == accepted or (found.decision is Decision.ADDITIONS_ONLY and rows >= (accepted or 0))
        if not is_right:
            result.wrong.append(f"{table.name} has {rows} active rows, and the files had {accepted}")
    return result


def _additions(connection: Connection, found: Import, storage: UPath) -> AsFiled:
    result = AsFiled(compared="additions")
    with columnar() as duck:
        for table in ROSTER_TABLES:
            with local_copy(staged_file(storage, found.import_id, table.name)) as staged:
                _compare_additions(connection, duck, table, str(staged), found.import_id, result)
    return result


def _compare_additions(
    connection: Connection, duck: duckdb.DuckDBPyConnection, table: Table, staged: str, import_id: str, result: AsFiled
) -> None:
    keys = key_columns(table)
    live = load_live(connection, duck, table, [*keys, ROW_HASH, "status", "import_id"])
    query = ADDITIONS.format(keys=", ".join(keys), live=live, staged=with_hash(table, STAGED))
    row = duck.execute(query, {"staged": staged, "import_id": import_id}).fetchone()
    assert row is not None
    missing, other, unchanged, kept = (int(count) for count in row)
    duck.execute(f"DROP TABLE {live}")
    if missing:
        result.wrong.append(f"{table.name} lacks {missing} rows of the files")
    if other:
        result.wrong.append(f"{table.name} has {other} rows that the import added, and that are not as in the files")
    if unchanged or kept:
        result.left_out[table.name] = {"not_changed": unchanged, "not_removed": kept}
