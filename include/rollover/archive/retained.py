"""Lists the archived years of a tenant by the ledger alone: no file is read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import Connection, text

YEARS = (Path(__file__).parent / "sql" / "retained.sql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Retained:
    """An archived year. `tables` has the number of rows by table, `manifest` the path of the newest one.

    Of a year that has expired, or whose key was destroyed, nothing can be read any more.
    """

    school_year: str
    reset_date: date
    archived_at: datetime
    schools: int
    files: int
    bytes: int
    keys: tuple[str, ...]
    tables: dict[str, int]
    manifest: str
    sha256: str
    expired_at: datetime | None
    key_destroyed_at: datetime | None

    @property
    def is_there(self) -> bool:
        return self.expired_at is None and self.key_destroyed_at is None


def retained_years(connection: Connection) -> list[Retained]:
    """The archived years of the session's tenant, oldest first, also those that are gone."""
    rows = connection.execute(text(YEARS)).mappings()
    return [Retained(**{**row, "keys": tuple(row["keys"])}) for row in rows]
