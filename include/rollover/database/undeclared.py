"""Finds tables and columns that the database has but the code does not declare, in PostgreSQL's catalog."""

from __future__ import annotations

from sqlalchemy import Connection, text

from rollover.database.tables import metadata
from rollover.errors import ProofFailed

COLUMNS = """
    SELECT format('%s.%s', c.relnamespace::regnamespace, c.relname) AS table_name, a.attname AS column_name
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition
      AND c.relnamespace::regnamespace::text IN (:product, 'roster')
    ORDER BY 1, a.attnum
"""


def undeclared(connection: Connection, product: str) -> list[str]:
    """Tables in the schemas of a product and of the roster that the code does not declare, and columns of known tables.

    No rule applies to their rows, so they may still have data that is certified as erased.
    """
    found: dict[str, None] = {}
    for table, column in connection.execute(text(COLUMNS), {"product": product}):
        if table not in metadata.tables:
            found[table] = None
        elif column not in metadata.tables[table].c:
            found[f"{table}.{column}"] = None
    return list(found)


def refuse_undeclared(connection: Connection, product: str) -> None:
    """Raise ProofFailed if :func:`undeclared` finds anything, naming all of it."""
    if found := undeclared(connection, product):
        raise ProofFailed(
            f"{', '.join(found)} in the database belongs to no data class, so nobody knows what becomes of its rows.",
            "declare it in rollover.database.tables with its data class, or drop it, then clear this task.",
        )
