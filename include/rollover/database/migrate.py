"""Migrates a database to the newest schema. Only the owner role can do this, not the working role."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from rollover.errors import Refused

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST = 16
"""The oldest PostgreSQL whose roles can be granted without being inherited."""


def config(connection: Connection | None = None) -> Config:
    """Return the Alembic configuration, bound to an open connection if one is given."""
    cfg = Config()
    cfg.set_main_option("script_location", str(MIGRATIONS))
    cfg.attributes["connection"] = connection
    return cfg


def upgrade(engine: Engine) -> None:
    """Create or upgrade every schema, table, policy and grant. Does nothing if the schema is the newest.

    Raises Refused, with nothing changed, if the server is older than `OLDEST`.
    """
    with engine.begin() as connection:
        found = int((connection.dialect.server_version_info or (0,))[0])
        if found < OLDEST:
            raise Refused(
                f"The product database is PostgreSQL {found}; {OLDEST} is the oldest that Rollover works with.",
                f"move it to a server of version {OLDEST} or newer.",
            )
        command.upgrade(config(connection), "head")
