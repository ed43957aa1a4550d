"""Says what an archived year consists of: the tables that are archived, and what is needed to read them.

Codes, settings, names of schools and people change later. An archived year keeps them as they were. Of people it
keeps only those that its rows name, and only what a report shows of them.
"""

from __future__ import annotations

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, Table, Text

from rollover.config import Action, Product
from rollover.database.tables import metadata, tables_of
from rollover.database.tables.people import PERSON_COLUMNS

_OURS = MetaData()

PEOPLE = Table(
    "people",
    _OURS,
    Column("tenant_id", Text, nullable=False),
    Column("sourced_id", Text, nullable=False),
    Column("family_name", Text, nullable=False),
    Column("given_name", Text, nullable=False),
    Column("grade", Text),
    PrimaryKeyConstraint("tenant_id", "sourced_id"),
    schema="roster",
    info={"data_class": "roster"},
)
SCHOOLS = Table(
    "schools",
    _OURS,
    Column("district_id", Text, nullable=False),
    Column("school_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("district_id", "school_id"),
    schema="directory",
    info={"data_class": "directory"},
)


def table_of(name: str) -> Table:
    """Return an archived table by its full name."""
    return _OURS.tables[name] if name in _OURS.tables else metadata.tables[name]


def archived_tables(product: Product) -> list[Table]:
    """Return the tables whose rows move from the live database into an archived year."""
    return [table for name in product.classes(Action.ARCHIVE_OR_ERASE) for table in tables_of(product.product, name)]


def settings_tables(product: Product) -> list[Table]:
    """Return the tables that stay live, and are copied into each archived year."""
    bound = [name for name, rule in product.data_classes.items() if rule.bound_to_archive]
    return [table for name in bound for table in tables_of(product.product, name)]


def person_columns(table: Table) -> tuple[str, ...]:
    """Return the columns of a table that identify a person of the roster."""
    return PERSON_COLUMNS.get(table.fullname, ())
