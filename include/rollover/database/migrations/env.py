"""Alembic's entry point; :func:`rollover.database.migrate.upgrade` hands it the connection."""

from __future__ import annotations

from typing import Any

from alembic import context

from rollover.database.tables import metadata


def include_name(name: str | None, type_: str, parent_names: Any) -> bool:
    """Leave partitions out of the comparison: the code declares the tables that they are part of."""
    return not (type_ == "table" and name is not None and "__" in name)


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_schemas=True,
    include_name=include_name,
    version_table="schema_version",
)
with context.begin_transaction():
    context.run_migrations()
