"""Migrates a database to the newest schema. Only the owner role can do this, not the working role."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

MIGRATIONS = Path(__file__).parent / "migrations"


def config(connection: Connection | None = None) -> Config:
    """Return the Alembic configuration, bound to an open connection if one is given."""
    cfg = Config()
    cfg.set_main_option("script_location", str(MIGRATIONS))
    cfg.attributes["connection"] = connection
    return cfg


def upgrade(engine: Engine) -> None:
    """Create or upgrade every schema, table, policy and grant. Does nothing if the schema is the newest."""
    with engine.begin() as connection:
        command.upgrade(config(connection), "head")
