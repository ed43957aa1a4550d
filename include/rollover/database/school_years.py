"""Makes the partitions of activity tables: one per school year, when a year is first needed."""

from __future__ import annotations

from sqlalchemy import Connection, text


def ensure_school_year(connection: Connection, school_year: str) -> None:
    """Make the missing partitions of a school year. The working role may call it."""
    connection.execute(text("SELECT ledger.ensure_school_year(:year)"), {"year": school_year})
