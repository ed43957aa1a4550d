"""Checks district and product files against the tables, reports and roster formats that they name.

Every reader of the files loads them through :func:`load_catalog`: a file that names something unknown is left out of
the catalog, so that its tenants do not run.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Lock

from sqlalchemy import Table

from rollover import config
from rollover.config import Action, Catalog, CrossChecks, Problem, Product, TenantConfig
from rollover.config.document import Document
from rollover.config.problems import nearest
from rollover.database.tables import product_tables, roster
from rollover.database.tables.base import is_activity
from rollover.database.tables.columns import column_problems
from rollover.exports import reports_of
from rollover.roster.formats import FORMATS

FIELD = "data_classes"


def load_catalog(districts: Path, products: Path, *, only: str | None = None) -> Catalog:
    """Read both folders with every check; see :func:`rollover.config.load_catalog`."""
    return config.load_catalog(districts, products, CrossChecks(product_problems, format_problems), only=only)


class CatalogCache:
    """The catalog of a server, which serves many requests: read again when a file was added, changed or removed."""

    LOOK_SECONDS = 5.0
    """How long the folders are not looked at again."""

    def __init__(self, districts: Path, products: Path) -> None:
        self._folders = (districts, products)
        self._lock = Lock()
        self._looked_at = float("-inf")
        self._files: list[tuple[str, int, int]] | None = None
        self._catalog: Catalog | None = None

    def get(self) -> Catalog:
        """The catalog; the same object as long as no file has changed."""
        with self._lock:
            if self._catalog is None or time.monotonic() - self._looked_at > self.LOOK_SECONDS:
                files = [
                    (entry.path, entry.stat().st_mtime_ns, entry.stat().st_size)
                    for folder in self._folders
                    if folder.is_dir()
                    for entry in os.scandir(folder)
                ]
                if self._catalog is None or sorted(files) != self._files:
                    self._files, self._catalog = sorted(files), load_catalog(*self._folders)
                self._looked_at = time.monotonic()
            return self._catalog


def product_problems(document: Document, product: Product) -> list[Problem]:
    """Where a product file disagrees with the tables or reports.

    Each data class has exactly one rule, each table a data class, each listed report a definition.
    """
    tables = [*product_tables(product.product), *roster.ROSTER_TABLES]
    found = _class_problems(document, product, tables)
    found += [document.problem((FIELD,), said) for table in tables for said in column_problems(table)]
    for table in tables:
        found += _rule_problems(document, product, table)
    known = reports_of(product.product)
    for n, report in enumerate(product.reports):
        if report not in known:
            message = f"'{report}' is not a report of {product.product}"
            found.append(document.problem(("reports", str(n)), message, nearest(report, known)))
    return found


def _class_problems(document: Document, product: Product, tables: list[Table]) -> list[Problem]:
    """Tables without a data class, data classes without a rule, and rules for a data class of no table."""
    in_tables = {str(table.info["data_class"]) for table in tables if table.info.get("data_class")}
    return [
        *(
            document.problem((FIELD,), f"table {table.fullname} names no data class")
            for table in tables
            if not table.info.get("data_class")
        ),
        *(
            document.problem((FIELD,), f"has no rule for '{missing}'")
            for missing in sorted(in_tables - product.data_classes.keys())
        ),
        *(
            document.problem((FIELD, extra), "is a data class of no table", nearest(extra, in_tables))
            for extra in sorted(product.data_classes.keys() - in_tables)
        ),
    ]


def _rule_problems(document: Document, product: Product, table: Table) -> list[Problem]:
    """Where the rule of a table's data class cannot be applied to the table."""
    name = str(table.info.get("data_class"))
    rule, found = product.data_classes.get(name), list[Problem]()
    if rule is None:
        return found
    if rule.action is Action.ARCHIVE_OR_ERASE and not is_activity(table):
        message = f"{table.fullname} has no school year, so a year of it cannot be archived"
        found.append(document.problem((FIELD, name, "action"), message))
    if rule.action is Action.RESET and is_activity(table):
        message = f"{table.fullname} belongs to a school year: archive or erase it"
        found.append(document.problem((FIELD, name, "action"), message))
    for column in sorted((rule.set or {}).keys() - set(table.c.keys())):
        message = f"{table.fullname} has no column '{column}'"
        found.append(document.problem((FIELD, name, "set", column), message, nearest(column, table.c.keys())))
    return found


def format_problems(document: Document, where: tuple[str, ...], tenant: TenantConfig) -> list[Problem]:
    """Where a district file names a roster format, file or column that Rollover does not read."""
    if tenant.roster_format not in (None, *FORMATS):
        message = f"'{tenant.roster_format}' is not one of {', '.join(FORMATS)}"
        return [document.problem((*where, "roster_format"), message)]
    found = []
    formats = [spec for spec in FORMATS.values() if tenant.roster_format in (None, spec.name)]
    for name, columns in tenant.column_map.items():
        files = [file for spec in formats for file in spec.files if file.name == name]
        if not files:
            known = sorted({file.name for spec in formats for file in spec.files})
            found.append(document.problem((*where, "column_map", name), f"'{name}' is not one of {', '.join(known)}"))
        read = sorted({column.name for file in files for column in file.columns})
        for column in columns if files else ():
            if column not in read:
                message = f"'{column}' is not one of {', '.join(read)}"
                found.append(document.problem((*where, "column_map", name, column), message))
    return found
