"""Declares what all tables share: the metadata, the tenant column, and the kinds of product tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, PrimaryKeyConstraint, Table, Text

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)


def tenant_column() -> Column[str]:
    """Return the column that row-level security compares with the session's tenant."""
    return Column("tenant_id", Text, nullable=False)


def product_table(
    schema: str, name: str, key: str, data_class: str, *columns: Column[Any] | Any, comment: str
) -> Table:
    """Declare a table of a product's current state: one row per ``key`` and tenant, in a school."""
    return Table(
        name,
        metadata,
        tenant_column(),
        Column("school_id", Text, nullable=False),
        *columns,
        PrimaryKeyConstraint("tenant_id", *key.split(",")),
        schema=schema,
        comment=comment,
        info={"data_class": data_class},
    )


def activity_table(
    schema: str, name: str, key: str, data_class: str, *columns: Column[Any] | Any, comment: str
) -> Table:
    """Declare a table that grows with activity: rows belong to a school year, its partition key."""
    table = Table(
        name,
        metadata,
        tenant_column(),
        Column("school_year", Text, nullable=False),
        Column("school_id", Text, nullable=False),
        *columns,
        PrimaryKeyConstraint("tenant_id", "school_year", *key.split(",")),
        schema=schema,
        comment=comment,
        info={"data_class": data_class},
        postgresql_partition_by="LIST (school_year)",
    )
    Index(None, table.c.tenant_id, table.c.school_id)
    return table


def bigint(name: str, **kw: Any) -> Column[int]:
    return Column(name, BigInteger, nullable=False, **kw)


def text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def product_tables(product: str) -> list[Table]:
    """Return the tables of a product's schema, by name."""
    return sorted((t for t in metadata.tables.values() if t.schema == product), key=lambda t: t.name)


def tables_of(product: str, data_class: str) -> list[Table]:
    """Return the tables of a product that hold one data class, by name."""
    return [t for t in product_tables(product) if t.info.get("data_class") == data_class]


def is_activity(table: Table) -> bool:
    """Whether the table's rows belong to a school year (else: to the tenant's current state)."""
    return "school_year" in table.c
