"""Keeps the old values of everything that an import changes in ``roster.history``, so that the import can be undone.

A row of it has, as JSON, what a table had before:

- ``{"sourced_id": "a", "role": …}``: a row, or the columns of one that the import changed;
- ``{"sourced_id": ["a", "b", …], "status": "active", "import_id": …}``: columns that many rows had in common, and the
  keys of these rows;
- ``{"account_id": ["a", "b", …]}``: keys alone, of rows that were not there. The import made them.

Rows that an import added to the roster need no history: they have its id. Only the last import that changed something
can be undone, so the history of an import is removed when the next one is applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Table, delete, text, update

from rollover.database.tables.ledger import imports
from rollover.database.tables.roster import history
from rollover.roster.imports import ImportDetails
from rollover.roster.imports.model import patched
from rollover.roster.staged import key_columns

KEYS_IN_A_LIST = 10_000

INTO_HISTORY = "INSERT INTO roster.history (tenant_id, import_id, table_name, before)"
# Each key is looked up in the table's index, and each row changed in its place. OFFSET 0 and the list of places keep
# the planner from other ways, such as going through all of a tenant's rows for each key: rows that came a moment ago
# are not in its statistics, and it takes them for few.
FOUND = """
    WITH found AS MATERIALIZED (
        SELECT t.*, i.*
        FROM pg_temp.{incoming} i
        CROSS JOIN LATERAL (
            SELECT ctid AS place, {before} FROM {table} t WHERE {same_key} OFFSET 0
        ) t
    )
"""
ROWS = """
    {found}, kept AS (
        {into_history} SELECT current_setting('rollover.tenant_id'), :import_id, '{table}', before FROM found
    )
    UPDATE {table} t SET {assignments}, import_id = :import_id FROM found
    WHERE t.ctid = ANY (ARRAY(SELECT place FROM found)) AND t.ctid = found.place
"""
# The rows that one import removes were brought by few others, so their keys make a few lists.
STATUS = """
    {found}, kept AS (
        {into_history}
        SELECT current_setting('rollover.tenant_id'), :import_id, '{table}',
               jsonb_build_object({key_lists}, 'status', t.status, 'import_id', t.import_id)
        FROM found t
        GROUP BY t.status, t.import_id
    )
    UPDATE {table} t SET {assignments}, import_id = :import_id WHERE t.ctid = ANY (ARRAY(SELECT place FROM found))
"""
MADE = """
    WITH made AS ({insert} RETURNING {keys})
    {into_history}
    SELECT current_setting('rollover.tenant_id'), :import_id, '{table}', jsonb_build_object({key_lists})
    FROM (SELECT *, row_number() OVER () / {many} AS part FROM made) t
    GROUP BY part
    RETURNING jsonb_array_length(before -> '{first_key}')
"""
REMOVED = """
    WITH removed AS ({delete} RETURNING {keys}, {shared})
    {into_history}
    SELECT current_setting('rollover.tenant_id'), :import_id, '{table}',
           jsonb_build_object({key_lists}, '{shared}', {shared})
    FROM (SELECT *, row_number() OVER () / {many} AS part FROM removed) t
    GROUP BY part, {shared}
    RETURNING jsonb_array_length(before -> '{first_key}')
"""
CHANGED = """
    WITH changing AS MATERIALIZED (
        SELECT t.{key}, to_jsonb(t) AS before, {new_values}
        FROM ({source}) s JOIN {table} t ON t.{refers_by} = s.{refers_by}
        WHERE ({old}) IS DISTINCT FROM ({new})
    ), kept AS (
        {into_history}
        SELECT current_setting('rollover.tenant_id'), :import_id, '{table}', jsonb_build_object({key_and_old})
        FROM changing
    )
    UPDATE {table} t SET {assignments} FROM changing WHERE t.{key} = changing.{key}
"""


def forget(connection: Connection) -> None:
    """Remove the history of the session's tenant, before an import that changes something writes its own.

    Earlier imports can then no longer be undone, even if this one is.
    """
    mark_gone(connection, connection.scalars(delete(history).returning(history.c.import_id)))


def mark_gone(connection: Connection, import_ids: Iterable[str]) -> None:
    """Record that the history of these imports is gone."""
    if ended := set(import_ids):
        details = patched(ImportDetails(history_is_gone=True))
        connection.execute(update(imports).where(imports.c.import_id.in_(ended)).values(details=details))


def clear(connection: Connection) -> None:
    """Remove the history of an import that was undone."""
    connection.execute(delete(history))


def change_rows(connection: Connection, import_id: str, table: Table, incoming: Table, values: Sequence[str]) -> int:
    """Set `values` of the rows of a roster table to those of `incoming`, and keep the old rows; returns how many."""
    assignments = ", ".join(["status = 'active'", *(f'"{name}" = found."{name}"' for name in values)])
    return _update(connection, ROWS, import_id, table, incoming, "to_jsonb(t) AS before", assignments)


def remove_rows(connection: Connection, import_id: str, table: Table, incoming: Table) -> int:
    """Mark the rows of a roster table whose keys are in `incoming`, and keep their old values; returns how many."""
    return _update(connection, STATUS, import_id, table, incoming, "status, import_id", "status = 'tobedeleted'")


def _update(
    connection: Connection, statement: str, import_id: str, table: Table, incoming: Table, before: str, assignments: str
) -> int:
    keys = key_columns(table)
    same_key = " AND ".join(f"t.{key} = i.{key}" for key in keys)
    filled = statement.format(
        found=FOUND.format(incoming=incoming.name, table=table.fullname, before=before, same_key=same_key),
        into_history=INTO_HISTORY,
        table=table.fullname,
        key_lists=_lists(keys),
        assignments=assignments,
    )
    return connection.execute(text(filled), {"import_id": import_id}).rowcount


def make(connection: Connection, import_id: str, table: str, keys: Sequence[str], insert: str) -> int:
    """Run an INSERT into a product's table and keep the keys of the rows that it makes; returns how many."""
    return _run(connection, MADE, import_id, table, keys, insert=insert)


def remove(connection: Connection, import_id: str, table: str, keys: Sequence[str], shared: str, delete: str) -> int:
    """Run a DELETE on a product's table and keep the rows, which are their keys and the column `shared`."""
    return _run(connection, REMOVED, import_id, table, keys, delete=delete, shared=shared)


def _run(connection: Connection, statement: str, import_id: str, table: str, keys: Sequence[str], **parts: str) -> int:
    filled = statement.format(
        into_history=INTO_HISTORY,
        table=table,
        keys=", ".join(keys),
        key_lists=_lists(keys),
        first_key=keys[0],
        many=KEYS_IN_A_LIST,
        **parts,
    )
    return sum(connection.scalars(text(filled), {"import_id": import_id}))


def change(
    connection: Connection,
    import_id: str,
    table: str,
    key: str,
    columns: Sequence[str],
    *,
    source: str,
    refers_by: str,
) -> int:
    """Set `columns` of a product's table to the values of a query, and keep the old ones; returns the rows changed.

    `refers_by` is the column that tells which row of the query is for which of the table.
    """
    filled = CHANGED.format(
        into_history=INTO_HISTORY,
        table=table,
        key=key,
        source=source,
        refers_by=refers_by,
        new_values=", ".join(f"s.{name} AS new_{name}" for name in columns),
        old=", ".join(f"t.{name}" for name in columns),
        new=", ".join(f"s.{name}" for name in columns),
        key_and_old=", ".join(f"'{name}', before -> '{name}'" for name in (key, *columns)),
        assignments=", ".join(f"{name} = changing.new_{name}" for name in columns),
    )
    return connection.execute(text(filled), {"import_id": import_id}).rowcount


def _lists(keys: Sequence[str]) -> str:
    return ", ".join(f"'{key}', jsonb_agg(t.{key})" for key in keys)
