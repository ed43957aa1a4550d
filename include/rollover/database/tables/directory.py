"""Declares the directory: districts, their tenants and schools, and what each school subscribes to."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from rollover.database.tables.base import metadata

districts = Table(
    "districts",
    metadata,
    Column("district_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("org_sourced_id", Text, nullable=False, comment="the district's id in its own roster files"),
    schema="directory",
)

tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("district_id", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("current_school_year", Text, nullable=False, comment="moves on when the year is reset"),
    ForeignKeyConstraint(["district_id"], ["directory.districts.district_id"]),
    UniqueConstraint("district_id", "product"),
    schema="directory",
)

schools = Table(
    "schools",
    metadata,
    Column("district_id", Text, nullable=False),
    Column("school_id", Text, nullable=False, comment="the school's id in the roster files"),
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("district_id", "school_id"),
    ForeignKeyConstraint(["district_id"], ["directory.districts.district_id"]),
    schema="directory",
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("subscription_id", BigInteger, Identity(), primary_key=True),
    Column("district_id", Text, nullable=False),
    Column("school_id", Text, nullable=False),
    Column("product", Text, nullable=False),
    # As the source says it. The plan refuses a value that it does not know.
    Column("state", Text, nullable=False),
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date, nullable=False, comment="the last day, inclusive"),
    Column("source", Text, nullable=False),
    Column("read_at", DateTime(timezone=True), nullable=False, comment="when the source was last read"),
    ForeignKeyConstraint(
        ["district_id", "school_id"], ["directory.schools.district_id", "directory.schools.school_id"]
    ),
    schema="directory",
)
Index(None, subscriptions.c.district_id, subscriptions.c.product)
