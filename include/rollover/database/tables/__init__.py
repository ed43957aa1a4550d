"""Every table, as SQLAlchemy Core. Product tables name their data class in ``Table.info["data_class"]``.

``directory`` and ``ledger`` are ours, ``roster`` follows the districts' files, and each product has its schema.
"""

from __future__ import annotations

from rollover.database.tables import directory, hero, imagine, ledger, roster
from rollover.database.tables.base import metadata, product_tables, tables_of

__all__ = ["directory", "hero", "imagine", "ledger", "metadata", "product_tables", "roster", "tables_of"]
