"""The partitions of activity tables: one per school year, made when a year is first needed."""

from __future__ import annotations

from sqlalchemy import Connection, text


def ensure_school_year(connection: Connection, school_year: str) -> None:
    """Make the partitions of a school year, where they are missing. The role that works may call it."""
    connection.execute(text("SELECT ledger.ensure_school_year(:year)"), {"year": school_year})
