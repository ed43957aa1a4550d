"""A vendor with thousands of tenants: district files, and a ledger with years of history and open items.

What reads the season is measured against it. Nothing in it is a person's.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, text

from bench.config import write_districts
from rollover.config import Catalog
from rollover.lint import load_catalog
from rollover.settings import Settings

SQL = Path(__file__).with_suffix(".sql")
LINKS = 60
"""Links of evidence for each rollover."""


def catalog(folder: Path, tenants: int) -> Catalog:
    """District files with at least `tenants` tenants, in a new folder."""
    folder.mkdir()
    write_districts(folder, tenants // 2 + 1)
    return load_catalog(folder, Settings().products)


def fill(owner: Engine, known: Catalog, *, open_items: int) -> None:
    """Fill an empty database with the ledger of a catalog's tenants, with `open_items` that wait for a person."""
    values = {"tenants": [tenant.id for tenant in known.tenants], "open": open_items // 2}
    with owner.begin() as connection:
        for statement in SQL.read_text().split(";\n"):
            if statement.strip():
                connection.execute(text(statement), values)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
